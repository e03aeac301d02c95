"""An estate with vantage points, agents as processes of their own, and the ways between them."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from holdfast.adapters.agent.segments import results_in
from holdfast.availability.model import Result, State
from installation import Installation, Started, eventually, fetch

VANTAGES = ("tokyo", "oslo")
BEAT = "beat-of-the-night-job"

ESTATE = """\
version: 1
site:
  title: Test status
  listen: 127.0.0.1:{site}
agents:
  listen: 127.0.0.1:{agents}
regions:
  here: {{name: Here}}
vantage_points:
  tokyo: {{name: Tokyo}}
  oslo: {{name: Oslo}}
clusters:
  main:
    name: Main
    region: here
    components:
      web:
        name: Web
        checks:
          page:
            url: {url}
            every: 1s
            timeout: 800ms
            headers: {{X-From: "env:VANTAGE"}}
            seen_from: [local, tokyo, oslo]
            quorum: 2
      far:
        name: Seen from afar
        checks:
          page:
            url: {url}
            every: 1s
            timeout: 800ms
            headers: {{X-From: "env:VANTAGE"}}
            seen_from: [tokyo]
      job:
        name: Night job
        checks:
          beat:
            type: heartbeat
            token: env:BEAT_TOKEN
            every: 4s
            grace: 1s
            timeout: 1s
"""


class PickyTarget:
    """Answers every GET with 200, but 503 to those that it is down for."""

    def __init__(self) -> None:
        self.down_for: set[str] = set()
        self.asked: list[str] = []
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                caller = self.headers["X-From"]
                target.asked.append(caller)
                self.send_response(503 if caller in target.down_for else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/"


@contextmanager
def picky() -> Iterator[PickyTarget]:
    target = PickyTarget()
    thread = threading.Thread(target=target.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield target
    finally:
        target.server.shutdown()
        target.server.server_close()
        thread.join()


class Way:
    """The way of an agent to its controller: a port that passes everything on, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._cut = False
        self._open: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End what is open, in the middle of whatever it is, and take nothing new."""
        self._cut = True
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                if self._cut:
                    raise ConnectionError
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            self._open += (near, far)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := one.recv(65_536):
            other.sendall(part)
    for each in (one, other):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    one.close()


class RemoteAgent:
    """An agent in a folder of its own, as on a machine of its own."""

    def __init__(self, installation: Installation, key: str, way: Way) -> None:
        self.key = key
        self.way = way
        self._installation = installation
        self.folder = installation.folder / f"agent-{key}"
        self.folder.mkdir(exist_ok=True)
        self._process: Started | None = None

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def spool(self) -> Path:
        return self.folder / "data" / "agent" / "spool"

    def enrol(self) -> None:
        token = self._installation.run("agent", "add", self.key).out.strip()
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(token)

    def start(self) -> None:
        self._installation.environment["VANTAGE"] = self.key
        self._process = self._installation.start(
            *("serve", "agent", "--controller", self.way.url),
            *("--token-file", str(self.token_file), "--data-dir", str(self.folder / "data")),
        )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def stop(self) -> None:
        assert self._process is not None
        assert self._process.stop().code == 0, self._process.said

    def told(self, event: str) -> list[dict[str, Any]]:
        assert self._process is not None
        lines = [line for line in self._process.said.err.splitlines() if line.startswith("{")]
        return [each for each in map(json.loads, lines) if each["event"] == event]

    def spooled(self) -> list[Result]:
        """Whole results that are on the disk now."""
        found: list[Result] = []
        for path in sorted(self.spool.glob("*.spool")):
            with contextlib.suppress(FileNotFoundError):  # delivered meanwhile
                found += [result for result in results_in(path) if result is not None]
        return found


class Scene:
    """A Holdfast that is up, with two agents."""

    def __init__(self, installation: Installation, target: PickyTarget, site: int, agents: int) -> None:
        self.installation = installation
        self.target = target
        self.port = site
        self.agents_port = agents
        self.agents = {key: RemoteAgent(installation, key, Way(agents)) for key in VANTAGES}

    def shown(self) -> dict[str, str]:
        """Each component's state on the site, by its key."""
        status, body = fetch(f"http://127.0.0.1:{self.port}/api/v1/status.json")
        if status != 200:
            return {}
        return {each["key"]: each["state"] for each in json.loads(body)["clusters"][0]["components"]}

    def reason(self, component: str) -> str:
        _, body = fetch(f"http://127.0.0.1:{self.port}/api/v1/status.json")
        components = json.loads(body)["clusters"][0]["components"]
        return str(next(each["reason"] for each in components if each["key"] == component))

    def becomes(self, component: str, state: str) -> None:
        eventually(lambda: self.shown().get(component) == state, f"{component} is {state}: {self.shown()}")

    def beat(self, query: str = "") -> int:
        return fetch(f"http://127.0.0.1:{self.agents_port}/beat/{BEAT}{query}")[0]

    def probe(self, component: str, key: str) -> int:
        rows = self.installation.query(
            "SELECT p.id FROM estate.probe p JOIN estate.component c ON c.id = p.component_id"
            " WHERE c.key = %s AND p.key = %s",
            *(component, key),
        )
        return int(rows[0][0])

    def transitions(self, probe: int) -> list[tuple[Any, State]]:
        rows = self.installation.query(
            "SELECT at, state FROM availability.transition WHERE check_id = %s ORDER BY at", probe
        )
        return [(at, State(state)) for at, state in rows]

    def times(self, probe: int) -> list[Any]:
        rows = self.installation.query(
            "SELECT at FROM availability.result WHERE check_id = %s ORDER BY at", probe
        )
        return [at for (at,) in rows]
