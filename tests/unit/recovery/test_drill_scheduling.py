"""Drills that begin by themselves: once in each stretch of their time, and never beside themselves."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
from tests.recorded import BEGAN, a_run

from holdfast.adapters.memory.recovery import MemoryRuns
from holdfast.bootstrap.recovery.scheduling import start_due
from holdfast.bootstrap.recovery.working import Working
from holdfast.estate.drills import Drill
from holdfast.recovery.drills import standing_of
from holdfast.recovery.model import Playbook, Run, RunState, Taken
from holdfast.recovery.ports import Note

DAILY = Drill.model_validate({"scenario": "restore", "subject": "print", "every": "1d"})
PLAYBOOK = Playbook(
    name="drill-restore", title="A drill", stages=[], takes={"seed": Taken(title="a seed", default="0")}
)


@dataclass
class Starting:
    """The service, as far as a schedule needs it."""

    runs: MemoryRuns
    given: list[dict[str, str]] = field(default_factory=list)

    def playbooks(self) -> dict[str, Playbook]:
        return {PLAYBOOK.name: PLAYBOOK}

    async def start(
        self, name: str, subject: str, given: dict[str, str], who: str, roles: object, run_id: str
    ) -> Run:
        del roles
        self.given.append(given)
        run = a_run(run_id, name=name, subject=subject, given=given, state=RunState.RUNNING)
        return await self.runs.start(run, Note(who, "run.started", {}))


def working() -> Working:
    runs = MemoryRuns(lambda: BEGAN)
    nothing: Any = None
    return Working(nothing, nothing, nothing, nothing, nothing, runs, Starting(runs), nothing)  # type: ignore[arg-type]


async def test_it_begins_once_in_a_stretch_and_again_in_the_next() -> None:
    around, due = working(), standing_of("daily", DAILY, None, None, BEGAN)

    assert await start_due(around, due)
    assert not await start_due(around, due)
    [run] = await around.runs.newest(10)
    over = replace(due, now=BEGAN + timedelta(days=1))
    assert not await start_due(around, over), "the first one goes on still"
    await around.runs.change(run.id, lambda each, _: _done(each), Note("x", "x", {}))
    assert await start_due(around, over)
    assert len(await around.runs.newest(10)) == 2


async def test_it_is_given_what_its_playbook_takes_and_no_more() -> None:
    around = working()

    await start_due(around, standing_of("daily", DAILY, None, None, BEGAN))

    [given] = around.recovery.given  # type: ignore[attr-defined]
    assert list(given) == ["seed"]
    assert given["seed"].isdecimal()


async def test_one_without_a_time_is_never_started() -> None:
    around = working()
    by_hand = DAILY.model_copy(update={"every": None})

    assert not await start_due(around, standing_of("daily", by_hand, None, None, BEGAN))
    assert await around.runs.newest(10) == []


def _done(run: Run) -> Run:

    return msgspec.structs.replace(run, state=RunState.DONE, ended_at=BEGAN)
