"""Recording evidence: once of each run, by whoever is quicker, and later when it cannot be done now."""

import asyncio
from datetime import datetime, timedelta

import pytest
from test_region_drills import ESTATE
from tests.recorded import BEGAN, ORIGIN, SIGNER, a_run

from holdfast.adapters.memory.evidence import MemoryEvidence
from holdfast.adapters.memory.recovery import MemoryRuns
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.recovery.recording import Recorder, Recording
from holdfast.bootstrap.recovery.sealing import check_log, seal_with
from holdfast.recovery.errors import EvidenceRefused, NotThere, RunUnreadable
from holdfast.recovery.evidence import Evidence, Remark, entry_of
from holdfast.recovery.evidence_ports import Seal
from holdfast.recovery.model import Run, RunState
from holdfast.recovery.ports import Fence, Held, Note

NOTE = Note("ben", "run.started", {})


class Recorded:
    """Runs in memory, and what is recorded of them. `away`: the key cannot be had."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.runs = MemoryRuns(self._time)
        self.all: list[Run] = []
        self.log = MemoryEvidence(self._time, lambda: self.all)
        self.away = False
        self.recorder = Recorder(self.log, self.runs, ESTATE, self._seal)

    def _time(self) -> datetime:
        return self.now

    def _seal(self) -> Seal:
        if self.away:
            raise EvidenceRefused("the key is away")
        return seal_with(SIGNER)

    async def over(self, run_id: str, state: RunState = RunState.DONE) -> None:
        run = a_run(run_id, state=state)
        await self.runs.start(run, NOTE)
        self.all.append(run)

    def evidence(self) -> list[str]:
        entries = [entry_of(each.content) for each in self.log.kept]
        return [each.run for each in entries if isinstance(each, Evidence)]


async def test_runs_that_ended_without_get_theirs_in_order() -> None:
    recorded = Recorded()
    for run_id, state in (("r1", RunState.DONE), ("r2", RunState.CANCELLED), ("r3", RunState.RUNNING)):
        await recorded.over(run_id, state)

    assert await recorded.recorder.record_what_is_over() == 2
    assert await recorded.recorder.record_what_is_over() == 0
    assert recorded.evidence() == ["r1", "r2"]
    assert check_log(recorded.log.kept, ORIGIN, [SIGNER.key], verifies).holds


async def test_the_step_and_the_duty_and_another_process_make_one() -> None:
    recorded = Recorded()
    await recorded.over("r1")
    step = Recording(recorded.recorder)

    await asyncio.gather(
        step.act({}, Fence("r1", 1, 1)),
        recorded.recorder.record_what_is_over(),
        recorded.recorder.record("r1"),
        step.act({}, Fence("r1", 2, 2)),
    )

    assert recorded.evidence() == ["r1"]
    assert await step.verify({}) == {}
    assert await step.observe({}) is None


async def test_without_the_key_nothing_is_kept_and_later_everything_is() -> None:
    recorded = Recorded()
    recorded.away = True
    await recorded.over("r1")
    await recorded.over("r2")

    with pytest.raises(EvidenceRefused, match="the key is away"):
        await recorded.recorder.record_what_is_over()
    assert recorded.evidence() == []
    recorded.away = False
    assert await recorded.recorder.record_what_is_over() == 2
    assert recorded.evidence() == ["r1", "r2"]


async def test_one_that_cannot_be_read_does_not_keep_the_others_back() -> None:
    recorded = Recorded()
    for run_id in ("r1", "odd", "r2"):
        await recorded.over(run_id)

    class Odd(MemoryRuns):
        async def get(self, run_id: str) -> Held:
            if run_id == "odd":
                raise RunUnreadable("a newer program wrote it")
            return await recorded.runs.get(run_id)

    recorder = Recorder(recorded.log, Odd(recorded._time), ESTATE, recorded._seal)
    with pytest.raises(RunUnreadable):
        await recorder.record_what_is_over()
    assert recorded.evidence() == ["r1", "r2"]


async def test_a_remark_is_under_a_name_and_once() -> None:
    recorded = Recorded()
    await recorded.over("r1")
    kept = await recorded.recorder.record("r1")
    later = BEGAN + timedelta(days=30)

    one = await recorded.recorder.remark(kept.id, "ada", "the disk was changed", later)
    again = await recorded.recorder.remark(kept.id, "ada", "the disk was changed", later + timedelta(days=1))
    other = await recorded.recorder.remark(kept.id, "ben", "the disk was changed", later)

    assert one == again
    assert one != other
    told = entry_of(one.content)
    assert isinstance(told, Remark)
    assert (told.about, told.who, told.at) == (kept.id, "ada", later)
    for wrong in ("nothing", one.id):
        with pytest.raises(NotThere):
            await recorded.recorder.remark(wrong, "ada", "x", later)
    assert check_log(recorded.log.kept, ORIGIN, [SIGNER.key], verifies).holds
