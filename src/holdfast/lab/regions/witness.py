"""The witness: a voter that holds no data. Run as `python -m holdfast.lab.regions.witness FILE`.

It votes in Patroni's raft, tells what the raft knows, and lets go of a leader's lock when it is told to:

    GET  /view      {"quorum", "raft": {site: connected}, "leader": {"name", "index", "expires_in_s"} | null,
                     "members": [...], "sync": {"leader", "standby"}}
    POST /release   {"leader": NAME, "index": N, "fence": [epoch, turn]}

    POST /pass      {"fence": [epoch, turn]}

`release` deletes the lock in the raft if it is still the one that was seen: 200, 409 when the lock has been
refreshed or taken since, or the fence is stale (then the answer has the newest), 503 without a quorum. `pass`
only takes note of the fence, for a change that Patroni carries out. A leader that lives refreshes its lock
every few seconds, and so is left alone or steps down.
"""

import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.lab.regions.clocked import set_clock
from holdfast.lab.regions.fence import StaleFenceError, passing
from holdfast.lab.regions.http import Answer, Login, fence_of, serve

RETRY_S = 3
TRY_EVERY_S, REACHED_WITHIN_S = 0.5, 1.0


def main(file: Path) -> None:
    settings = json.loads(file.read_bytes())
    set_clock(Path(settings["clock"]))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    witness = Witness(settings)
    server = serve(
        (settings["listen"][0], settings["listen"][1]),
        {
            ("GET", "/view"): witness.view,
            ("POST", "/release"): witness.release,
            ("POST", "/pass"): witness.pass_,
        },
        Login(*settings["login"]),
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ended.wait()
    server.shutdown()
    witness.close()


class Witness:
    def __init__(self, settings: Mapping[str, Any]) -> None:
        from patroni.dcs.raft import KVStoreTTL  # noqa: PLC0415  an extra; only this process needs it

        raft = settings["raft"]
        self._sites: dict[str, str] = settings["sites"]  # by raft address
        self._prefix: str = settings["prefix"]
        self._fence = Path(raft["data_dir"]).parent / "release.fence"
        self._store = KVStoreTTL(None, None, None, **raft, retry_timeout=RETRY_S, commandsWaitLeader=False)
        self._store.startAutoTick()
        self._reaching = Reaching([node.id for node in self._store.otherNodes])

    def close(self) -> None:
        self._reaching.close()
        self._store.destroy()

    def view(self, _: Mapping[str, object]) -> Answer:
        values = self._values()
        leader = values.get("leader")
        connected: dict[str, bool] = {}
        for address, site in self._sites.items():
            node = next((each for each in self._store.otherNodes if each.id == address), None)
            connected[site] = node is None or (
                self._store.isNodeConnected(node) and self._reaching.reaches(address)
            )
        return 200, {
            "quorum": self._has_quorum(),
            "raft": connected,
            "leader": leader
            and {
                "name": leader["value"],
                "index": leader["index"],
                "expires_in_s": round(leader.get("expire", 0) - time.time(), 3),
            },
            "members": [
                {"name": key.partition("/")[2], **_members(json.loads(value["value"]))}
                for key, value in sorted(values.items())
                if key.startswith("members/")
            ],
            "sync": _sync(values.get("sync")),
        }

    def release(self, request: Mapping[str, object]) -> Answer:
        name, index = request.get("leader"), request.get("index")
        if not isinstance(name, str) or type(index) is not int:
            return 400, {"error": "say which leader, and the index of its lock as /view shows it"}
        try:
            with passing(self._fence, fence_of(request)):
                return self._release(name, index)
        except StaleFenceError as error:
            return 409, {"error": str(error), "fence": list(error.newest)}
        except ValueError as error:
            return 400, {"error": str(error)}

    def pass_(self, request: Mapping[str, object]) -> Answer:
        """Only take note of a fence: for changes that somebody else carries out."""
        try:
            with passing(self._fence, fence_of(request)) as newest:
                return 200, {"fence": list(newest)}
        except StaleFenceError as error:
            return 409, {"error": str(error), "fence": list(error.newest)}
        except ValueError as error:
            return 400, {"error": str(error)}

    def _release(self, name: str, index: int) -> Answer:
        lock = self._values().get("leader")
        if lock is None:
            return 200, {"released": False, "leader": None}
        if lock["value"] != name or lock["index"] != index:
            return 409, {"error": f"the lock is {lock['value']}'s, index {lock['index']}"}
        if not self._has_quorum():
            return 503, {"error": "the witness is in no quorum"}
        done = self._store.delete(f"{self._prefix}leader", prevValue=name, prevIndex=index, timeout=RETRY_S)
        if done:
            return 200, {"released": True, "leader": None}
        after = self._values().get("leader")
        if after is not None and after["index"] != index:
            return 409, {"error": f"the lock is {after['value']}'s, index {after['index']}"}
        return 503, {"error": "the others did not agree in time"}

    def _has_quorum(self) -> bool:
        return bool(self._store._isReady() and self._store.getStatus()["has_quorum"])  # noqa: SLF001

    def _values(self) -> dict[str, dict[str, Any]]:
        while True:
            try:
                found = self._store.get(self._prefix, recursive=True)
            except RuntimeError:  # the raft's thread changed it while we were walking
                continue
            return {key[len(self._prefix) :]: value for key, value in (found or {}).items() if value}


class Reaching:
    """Tries again and again whether the other voters can be reached, each by a thread of its own.

    Raft's own connections do not tell: those who follow never talk to each other, so that a region behind a
    line that loses everything without a word would stay connected for ever.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._reached = dict.fromkeys(addresses, True)
        self._ended = threading.Event()
        for each in addresses:
            threading.Thread(target=self._keep_trying, args=(each,), daemon=True).start()

    def reaches(self, address: str) -> bool:
        """At the last try; true before the first has come to an end."""
        return self._reached.get(address, True)

    def close(self) -> None:
        self._ended.set()

    def _keep_trying(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        while not self._ended.is_set():
            try:
                socket.create_connection((host, int(port)), REACHED_WITHIN_S).close()
            except OSError:
                self._reached[address] = False
            else:
                self._reached[address] = True
            self._ended.wait(TRY_EVERY_S)


def _members(told: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("role", "state", "timeline", "xlog_location", "replication_state", "version")
    return {key: told[key] for key in kept if key in told}


def _sync(value: Mapping[str, Any] | None) -> dict[str, Any]:
    told = json.loads(value["value"]) if value else {}
    return {"leader": told.get("leader"), "standby": told.get("sync_standby")}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
