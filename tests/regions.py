"""The two-region lab with a whole Holdfast beside it, used through the command line, and users who write."""

import json
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec
from tests.installation import REPOSITORY, Installation, Started, eventually, free_base_port, free_port

from holdfast.lab.regions.layout import REGIONS_OFFSET
from holdfast.recovery.model import Run
from holdfast.recovery.views import view_of

SAMPLE = REPOSITORY / "examples" / "printcloud" / "regions.yaml"
DEFAULT_BASE = 18_400
ADDRESSES = {"a": "127.0.1.1", "b": "127.0.2.1"}
ENDED = ("done", "cancelled", "needs operator", "parked")
_RUN = msgspec.json.Decoder(Run).decode


class TwoRegions:
    """Enter it to have the lab and Holdfast running; leave it to end all of it."""

    def __init__(
        self, folder: Path, *, fast: bool = False, namespaces: bool = False, may_lose: str = ""
    ) -> None:
        """`may_lose`: a failover begins by itself while at most so much may be lost; nothing by default."""
        self.base = free_base_port()
        self.installation = Installation(folder, HOLDFAST_LAB_BASE_PORT=str(self.base))
        self.fast = fast
        self.namespaces = namespaces
        self._may_lose = may_lose
        self.up: Started | None = None

    @property
    def edge_port(self) -> int:
        return self.base + REGIONS_OFFSET

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        wanted = {"--fast": self.fast, "--namespaces": self.namespaces}
        self.lab("up", "regions", *(option for option, is_wanted in wanted.items() if is_wanted))
        self.installation.config.write_text(self._estate(), encoding="utf-8")
        self.up = self.installation.start("up")
        eventually(
            lambda: "regions_seen" in self.log(),
            f"the regions are watched: {self.up.said.err}",
            within_s=180,
        )

    def __exit__(self, *_: object) -> None:
        try:
            if self.up is not None and self.up.process.poll() is None:
                self.up.stop()
        finally:
            self.installation.run("lab", "down", code=None)
            self.installation.end()

    def run(self, *arguments: str) -> Any:
        """What a command answers in JSON."""
        return self.installation.run(*arguments, "--json").json

    def lab(self, *arguments: str) -> Any:
        return self.run("lab", *arguments)

    def log(self) -> str:
        """What recovery's process has told."""
        file = self.installation.data_dir / "log" / "recovery.log"
        return file.read_text(encoding="utf-8") if file.is_file() else ""

    def runs(self) -> list[dict[str, Any]]:
        """All of them, the newest first."""
        found = self.installation.run("run", "list", "--all", "--json", code=None)
        return list(found.json) if found.code == 0 else []

    def runs_seen(self) -> list[Run]:
        """The newest hundred, out of Holdfast's database: no command need be started to look often."""
        statement = "SELECT run::text FROM recovery.run ORDER BY number DESC LIMIT 100"
        return [_RUN(text) for (text,) in self.installation.available(statement)]

    def begun_beside(self, known: set[str], within_s: float = 180) -> Run:
        """As `begun_behind`."""

        def fresh() -> Run | None:
            return next((each for each in self.runs_seen() if each.id not in known), None)

        run = eventually(fresh, f"a run begins: {self.log()[-2000:]}", within_s=within_s)
        assert run is not None
        return run

    def over(self, run_id: str, within_s: float = 240) -> Run:
        """As `ended`."""

        def ended() -> Run | None:
            run = self._seen(run_id)
            return run if run.state.value in ENDED else None

        run = eventually(ended, f"{run_id} ends: {self.log()[-2000:]}", within_s=within_s)
        assert run is not None
        return run

    def until_gated(self, run_id: str, gate: str) -> None:
        """As `waits`."""

        def waiting() -> bool:
            run = self._seen(run_id)
            assert run.state.value == "running", f"{run.playbook.name} came to {run.state.value}: {run.why}"
            row = view_of(run, run.started_at).waits_at
            return row is not None and row.name == gate

        eventually(waiting, f"{run_id} waits at {gate}", within_s=240)

    def _seen(self, run_id: str) -> Run:
        return next(each for each in self.runs_seen() if each.id == run_id)

    def brought_home(self) -> None:
        """What is under way ends, and the cluster goes back where it belongs, as people would do it."""
        for run in self.runs_seen():
            if run.state.value not in ("done", "cancelled"):
                self.installation.run("run", "cancel", run.id, code=None)
        plan = self.installation.run("failback", "print", "--dry-run", "--json", code=None)
        if plan.code == 0:
            run_id = self.run("failback", "print")["id"]
            self.until_gated(run_id, "agree")
            self.run("run", "approve", run_id)
            self.over(run_id)

    def begun_behind(self, known: set[str]) -> dict[str, Any]:
        """The first run that is none of these."""

        def fresh() -> dict[str, Any] | None:
            return next((each for each in self.runs() if each["id"] not in known), None)

        run = eventually(fresh, f"a run begins: {self.log()[-2000:]}", within_s=120)
        assert run is not None
        return run

    def ended(self, run_id: str, within_s: float = 240) -> dict[str, Any]:
        """The run, once it goes on no more by itself."""

        def over() -> dict[str, Any] | None:
            run: dict[str, Any] = self.run("run", "show", run_id)
            return run if run["state"] in ENDED else None

        run = eventually(over, f"{run_id} ends: {self.log()[-2000:]}", within_s=within_s)
        assert run is not None
        return run

    def waits(self, run_id: str, gate: str) -> None:
        """Until it waits for people."""

        def waiting() -> bool:
            run = self.run("run", "show", run_id)
            assert run["state"] == "running", run
            return bool(run["waits_at"] == gate)

        eventually(waiting, f"{run_id} waits at {gate}", within_s=240)

    def healed(self) -> None:
        """Until the database of the region that was lost answers, so that a failback can begin."""

        def answers() -> bool:
            plan = self.installation.run("failback", "print", "--dry-run", "--json", code=None)
            return plan.code == 0 and plan.json["against"] == []

        eventually(answers, "the region that was lost answers", within_s=240)

    def whole(self) -> None:
        """Until both regions are up, and commits in the leading one wait for the other."""

        def well() -> bool:
            plan = self.installation.run("switchover", "print", "--dry-run", "--json", code=None)
            return plan.code == 0 and plan.json["against"] == []

        eventually(well, "a switchover would lose nothing", within_s=240)

    def _estate(self) -> str:
        text = SAMPLE.read_text(encoding="utf-8")
        text = re.sub(r"\b18(4\d\d)\b", lambda match: str(self.edge_port + int(match[1]) - 400), text)
        text = text.replace(".holdfast/lab/", f"{self.installation.data_dir}/lab/")
        text = re.sub(r"release_lock: \w+", f"release_lock: {str(self.fast).lower()}", text)
        limits = {"hold": "2s" if self.fast else "", "lag": self._may_lose}
        hold = "{" + ", ".join(f"{name}: {limit}" for name, limit in limits.items() if limit) + "}"
        text = re.sub(r"(?m)^ +automatic:.*\n", "", text).rstrip() + f"\n      automatic: {hold}\n"
        if self.fast:
            text = text.replace("watch: {every: 1s", "watch: {every: 500ms")
        for section in ("site", "agents", "console"):
            listen = f"  listen: 127.0.0.1:{free_port()}\n"
            if f"\n{section}:\n" in text:
                text = text.replace(f"\n{section}:\n", f"\n{section}:\n{listen}", 1)
            else:
                text += f"\n{section}:\n{listen}"
        return text


def found_by(run: dict[str, Any], step: str) -> dict[str, str]:
    """What a step of a run has found; empty when it was not done."""
    for stage in run["stages"]:
        for each in (stage, *stage.get("steps", ())):
            if each["name"] == step:
                return dict(each.get("found") or {})
    return {}


@dataclass
class Attempt:
    """A user's request: when it ended, and whether it was answered as hoped. Monotonic seconds."""

    began: float
    ended: float
    well: bool
    id: str = ""


@dataclass
class Users:
    """People who write and read at an edge without end, each a thread. Enter it.

    What they write is a member of the set, or with `jobs` a job: its title is the attempt's id.
    """

    url: str
    every_s: float = 0.05
    within_s: float = 2.0
    jobs: bool = False
    writes: list[Attempt] = field(default_factory=list)
    reads: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._write, self._read)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join(30)

    def first_write_after(self, moment: float, within_s: float = 120) -> Attempt:
        """The first acknowledged one that ended behind that moment."""

        def found() -> Attempt | None:
            return next((each for each in list(self.writes) if each.well and each.ended > moment), None)

        attempt = eventually(found, f"a write at {self.url} is acknowledged", within_s=within_s)
        assert attempt is not None
        return attempt

    @property
    def longest_without_write(self) -> float:
        """Seconds between two acknowledged writes that follow each other."""
        times = [each.ended for each in self.writes if each.well]
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    @property
    def acknowledged(self) -> set[str]:
        return {each.id for each in self.writes if each.well}

    def _write(self) -> None:
        while not self._ended.wait(self.every_s):
            made, began = uuid.uuid4().hex, time.monotonic()
            told = {"owner": "a user", "title": made, "pages": 1} if self.jobs else {"member": made}
            url = f"{self.url}/{'jobs' if self.jobs else 'set'}"
            well = self._asked(Request(url, data=json.dumps(told).encode(), method="POST")) is not None
            self.writes.append(Attempt(began, time.monotonic(), well, made))

    def _read(self) -> None:
        while not self._ended.wait(self.every_s):
            began = time.monotonic()
            well = self._asked(Request(f"{self.url}/jobs?limit=1")) is not None
            self.reads.append(Attempt(began, time.monotonic(), well))

    def _asked(self, request: Request) -> bytes | None:
        request.add_header("content-type", "application/json")
        try:
            with urlopen(request, timeout=self.within_s) as answer:
                body: bytes = answer.read()
                return body
        except (HTTPError, URLError, OSError, TimeoutError):
            return None


def members(url: str) -> set[str]:
    """What the set holds. Raises OSError."""
    with urlopen(f"{url}/set", timeout=20) as answer:
        return set(json.loads(answer.read())["members"])
