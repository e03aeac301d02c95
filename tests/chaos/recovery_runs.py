"""Replicas that work on runs and are killed, and what must hold of the runs afterwards."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from holdfast.adapters.postgres.conninfo import Role
from holdfast.bootstrap.database import packed
from holdfast.recovery.model import Did, Gate, Pause, Playbook, Retry, Run, RunState, Step, Together

if TYPE_CHECKING:
    import psycopg

    from conftest import Database

REPLICA = Path(__file__).with_name("recovery_replica.py")
WITHIN_S = 120.0


@dataclass
class Replica:
    """A process that works on runs, and what it has said."""

    name: str
    process: "subprocess.Popen[str]"
    said: "queue.Queue[Mapping[str, Any]]" = field(default_factory=queue.Queue)
    hearing: threading.Thread = field(default_factory=threading.Thread)

    def hear(self, out: IO[str]) -> None:
        for line in out:
            if line.startswith("{"):
                self.said.put(json.loads(line))

    def until(self, what: str) -> Mapping[str, Any]:
        """The next thing of that kind that it says."""
        ends = time.monotonic() + WITHIN_S
        while True:
            found = self.said.get(timeout=max(ends - time.monotonic(), 0.01))
            if what in found:
                return found

    def heard(self, what: str) -> list[Mapping[str, Any]]:
        """All of that kind that it has said and that nobody has asked for."""
        found = list[Mapping[str, Any]]()
        while not self.said.empty():
            each = self.said.get_nowait()
            found += [each] if what in each else []
        return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, also of one that is stopped."""
        self.process.kill()
        self.process.wait()
        self.hearing.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def replicas(database: "Database", count: int, *, lease_s: float) -> Iterator[list[Replica]]:
    """So many, ready. None is left at the end."""
    running = list[Replica]()
    try:
        running += [started(database, f"replica{number}", lease_s=lease_s) for number in range(count)]
        for each in running:
            each.until("ready")
        yield running
    finally:
        for each in running:
            each.kill()


def started(database: "Database", name: str, *, lease_s: float) -> Replica:
    process = subprocess.Popen(
        [sys.executable, str(REPLICA)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    login = packed(database.conninfo(Role.RECOVERY)).decode()
    process.stdin.write(json.dumps({"login": login, "name": name, "lease_s": lease_s}) + "\n")
    process.stdin.flush()
    replica = Replica(name, process)
    replica.hearing = threading.Thread(target=replica.hear, args=(process.stdout,), daemon=True)
    replica.hearing.start()
    return replica


def playbook(kind: str, seconds: float = 0.2) -> Playbook:
    """`done` goes through; `undone` fails near its end, so that all before it is taken back."""

    def step(name: str, **more: Any) -> Step:
        return Step(
            name=name,
            title=name,
            action="mark.set",
            undo="mark.unset",
            given={"mark": f"{{subject}}/{name}", "seconds": f"{seconds}", **more.pop("given", {})},
            within=timedelta(seconds=60),
            retry=Retry(attempts=3, pause=timedelta(milliseconds=50)),
            **more,
        )

    ends = [step("last", given={"fails": "yes"})] if kind == "undone" else [step("last", no_return=True)]
    return Playbook(
        name=kind,
        title=kind,
        moves_traffic=True,
        stages=[
            step("first"),
            Together(name="all", title="All", steps=[step(f"one{number}") for number in range(3)], at_once=2),
            Gate(name="go", title="Go?", roles=["lead"], expires_after=timedelta(hours=2)),
            step("second"),
            Pause(name="settle", title="Settle", lasts=timedelta(milliseconds=300)),
            *ends,
        ],
    )


def new_run(number: int, *, seconds: float = 0.2) -> Run:
    kind = "undone" if number % 3 == 2 else "done"
    return Run(
        id=f"run{number:04}",
        playbook=playbook(kind, seconds),
        subject=f"cluster{number}",
        started_by="ada",
        started_at=datetime.fromtimestamp(0, UTC),
    )


def runs_of(connection: "psycopg.Connection[Any]") -> Sequence[Run]:
    rows = connection.execute("SELECT run::text FROM recovery.run ORDER BY number").fetchall()
    return [msgspec.json.decode(text, type=Run) for (text,) in rows]


def owners(connection: "psycopg.Connection[Any]") -> Counter[str]:
    """How many active runs each replica has."""
    rows = connection.execute(
        "SELECT owner, count(*) FROM recovery.run"
        " WHERE leased_until > clock_timestamp() AND state IN ('running', 'cancelling') GROUP BY owner"
    ).fetchall()
    return Counter(dict(rows))


def breaches(connection: "psycopg.Connection[Any]") -> list[str]:
    """What does not hold of the runs, which are all over."""
    found = list[str]()
    journal = defaultdict[str, list[tuple[str, Mapping[str, Any]]]](list)
    rows = connection.execute("SELECT event, facts FROM holdfast.journal WHERE facts ? 'run' ORDER BY id")
    for event, facts in rows.fetchall():
        journal[facts["run"]].append((event, facts))
    marks = dict(connection.execute("SELECT name, value FROM recovery.mark").fetchall())
    newest = dict(connection.execute("SELECT id, epoch FROM recovery.run").fetchall())
    fences = connection.execute("SELECT scope, run_id, epoch FROM recovery.fence").fetchall()
    found += [f"{scope}: epoch {epoch}" for scope, run_id, epoch in fences if epoch > newest[run_id]]
    for run in runs_of(connection):
        found += [f"{run.id}: {each}" for each in _breaches_of(run, journal[run.id], marks)]
    return found


def _breaches_of(
    run: Run, journal: Sequence[tuple[str, Mapping[str, Any]]], marks: Mapping[str, str]
) -> Iterator[str]:
    wanted = RunState.CANCELLED if run.playbook.name == "undone" else RunState.DONE
    if run.state is not wanted:
        yield f"is {run.state.value}: {run.why}"
        return
    epochs = [facts["epoch"] for _, facts in journal if "epoch" in facts]
    if any(late < early for early, late in pairwise(epochs)):
        yield f"an epoch went back: {epochs}"
    for event in ("run.step_done", "run.undo_done", "run.stage_reached", "run.stage_passed"):
        key = "stage" if "stage" in event else "step"
        twice = Counter(facts[key] for name, facts in journal if name == event)
        yield from (f"{event} {name} {count} times" for name, count in twice.items() if count > 1)
    begun = list[str]()
    for event, facts in journal:
        # Between an end and the next beginning of the same step nothing else ends it.
        if event == "run.step_begun":
            begun.append(facts["step"])
        elif event in {"run.step_done", "run.step_failed"} and facts["step"] not in begun:
            yield f"{facts['step']} ended before it began"
    for step in run.playbook.steps():
        mark = marks.get(f"{run.subject}/{step.name}", "")
        if wanted is RunState.DONE:
            if run.did(step.name) is not Did.DONE or mark != "set":
                yield f"{step.name} is {run.did(step.name)}, and the mark {mark!r}"
        elif run.did(step.name) not in {None, Did.UNDONE} or mark == "set":
            yield f"{step.name} is {run.did(step.name)}, and the mark {mark!r}"


SIGSTOP, SIGCONT = signal.SIGSTOP, signal.SIGCONT
