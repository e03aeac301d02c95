"""Keeps as many replicas of the service running as a region wants.

Run as `python -m holdfast.lab.regions.supervisor FILE`:

    GET /replicas   {"wanted": 2, "running": [1, 2], "ready": [1, 2], "fence": [epoch, turn]}
    PUT /replicas   {"wanted": 4, "fence": [epoch, turn]}   200; 409 when the fence is stale

What is wanted is kept in a file. A replica that dies is started again; replicas outlive their supervisor, and
the next one finds them.
"""

import http.client
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from holdfast.lab import processes
from holdfast.lab.processes import Phase, Process
from holdfast.lab.regions.fence import StaleFenceError, newest, passing
from holdfast.lab.regions.http import Answer, Login, fence_of, serve
from holdfast.lab.service import LAB_VARIABLE, PART_VARIABLE

LOOK_S = 0.25


def main(file: Path) -> None:
    settings = json.loads(file.read_bytes())
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    fleet = Fleet(settings)
    server = serve(
        (settings["listen"][0], settings["listen"][1]),
        {("GET", "/replicas"): fleet.told, ("PUT", "/replicas"): fleet.want},
        Login(*settings["login"]),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not ended.is_set():
        fleet.look()
        ended.wait(LOOK_S)
    server.shutdown()


class Fleet:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._region: str = settings["region"]
        self._command: list[str] = settings["command"]
        self._environment: dict[str, str] = {**os.environ, **settings["environment"]}
        self._host: str = settings["host"]
        self._ports: list[int] = settings["ports"]
        self._log: str = settings["log"]
        self._wanted = Path(settings["wanted"])
        self._fence = self._wanted.with_suffix(".fence")
        self._running: dict[int, Process] = {}
        self._lock = threading.Lock()
        for process, environment in processes.find_by_environment(
            LAB_VARIABLE, self._environment[LAB_VARIABLE]
        ):
            name = environment.get(PART_VARIABLE, "")
            if name.startswith(f"{self._region}-replica-"):
                self._running[int(name.rpartition("-")[2])] = process

    @property
    def wanted(self) -> int:
        try:
            return min(max(int(self._wanted.read_text(encoding="ascii")), 0), len(self._ports))
        except (OSError, ValueError):
            return 2

    def look(self) -> None:
        """Start what is missing and end what is too much, once."""
        with self._lock:
            for number, process in list(self._running.items()):
                if processes.phase_of(process) is Phase.GONE:
                    processes.reap(process)
                    del self._running[number]
            wanted = self.wanted
            for number in range(1, wanted + 1):
                if number not in self._running:
                    self._running[number] = self._start(number)
            too_much = [process for number, process in self._running.items() if number > wanted]
        for process in too_much:
            processes.send_signal(process, signal.SIGTERM)

    def told(self, _: Mapping[str, object]) -> Answer:
        with self._lock:
            running = sorted(self._running)
        with ThreadPoolExecutor(max(1, len(running))) as pool:
            answers = list(pool.map(self._answers, running))
        ready = [number for number, answer in zip(running, answers, strict=True) if answer]
        return 200, {
            "wanted": self.wanted,
            "running": running,
            "ready": ready,
            "fence": list(newest(self._fence)),
        }

    def want(self, request: Mapping[str, object]) -> Answer:
        wanted = request.get("wanted")
        if type(wanted) is not int or not 0 <= wanted <= len(self._ports):
            return 400, {"error": f"wanted is a whole number from 0 to {len(self._ports)}"}
        try:
            with passing(self._fence, fence_of(request)):
                fresh = self._wanted.with_suffix(".fresh")
                fresh.write_text(str(wanted), encoding="ascii")
                fresh.replace(self._wanted)
        except StaleFenceError as error:
            return 409, {"error": str(error), "fence": list(error.newest)}
        except ValueError as error:
            return 400, {"error": str(error)}
        self.look()
        return self.told({})

    def _start(self, number: int) -> Process:
        port = self._ports[number - 1]
        environment = {**self._environment, PART_VARIABLE: f"{self._region}-replica-{number}"}
        return processes.spawn(
            [*self._command, "--host", self._host, "--port", str(port)],
            environment,
            Path(self._log.format(number=number)),
        )

    def _answers(self, number: int) -> bool:
        connection = http.client.HTTPConnection(self._host, self._ports[number - 1], timeout=1)
        try:
            connection.request("GET", "/alive")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
