"""What an acknowledgement says when the second region is there, away, and back."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from holdfast.adapters.memory.ledger.logs import MemorySecondRegion
from holdfast.ledger.append import acknowledging
from holdfast.ledger.append.acknowledging import Gate, WhenAway
from holdfast.ledger.errors import NotFlushed, WitnessAway
from holdfast.ledger.model import Reach


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acknowledging, "LOOK_AGAIN_S", 0.001)


class Heard(list[str]):
    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        del facts
        self.append(event)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_it_asks_for_each_place() -> None:
    second, heard = MemorySecondRegion(), Heard()
    gate = Gate(second, WhenAway.STALL, 1.0, heard)
    assert [await gate.passed(lsn) for lsn in (5, 3, 5)] == [Reach.TWO_REGIONS] * 3
    assert second.asked == 3
    assert not heard


async def test_what_was_flushed_before_a_restore_counts_for_nothing() -> None:
    """The database was restored, and so its WAL goes on from a lower place: the standby has none of it."""
    second, heard = MemorySecondRegion(), Heard()
    gate = Gate(second, WhenAway.STALL, 1.0, heard)
    assert await gate.passed(1000) is Reach.TWO_REGIONS
    second.up_to = 10
    with pytest.raises(NotFlushed):
        await gate.passed(500)
    await gate.aclose()


@pytest.mark.parametrize("policy", WhenAway)
async def test_away_and_back(policy: WhenAway) -> None:
    second, heard = MemorySecondRegion(), Heard()
    gate = Gate(second, policy, 1.0, heard)
    second.up_to = 10
    for lsn in (11, 12):
        if policy is WhenAway.STALL:
            with pytest.raises(NotFlushed):
                await gate.passed(lsn)
        else:
            assert await gate.passed(lsn) is Reach.ONE_REGION
    assert (gate.away, gate.stalls) == (True, policy is WhenAway.STALL)
    second.up_to = 11  # it comes back, and is not yet where it has to be
    asked = second.asked
    await until(lambda: second.asked > asked + 3)
    assert gate.away
    second.up_to = 12
    await asyncio.wait_for(gate.until_back(), 60)
    assert await gate.passed(12) is Reach.TWO_REGIONS
    assert heard == ["second_region_away", "second_region_back"]
    assert not gate.stalls


async def test_while_it_is_away_nobody_waits() -> None:
    class Never:
        asked = 0

        async def flushed(self, lsn: int, within_s: float) -> bool:
            del lsn, within_s
            self.asked += 1
            if self.asked > 1:
                await asyncio.Event().wait()
            return False

    gate = Gate(second := Never(), WhenAway.ACCEPT, 1.0, Heard())
    assert [await gate.passed(lsn) for lsn in range(50)] == [Reach.ONE_REGION] * 50
    assert second.asked <= 2
    await gate.aclose()


async def test_who_cannot_be_asked_has_nothing() -> None:
    class Unknown:
        there = False

        async def flushed(self, lsn: int, within_s: float) -> bool:
            del lsn, within_s
            if not self.there:
                raise WitnessAway("the database is away")
            return True

    gate = Gate(second := Unknown(), WhenAway.STALL, 1.0, heard := Heard())
    with pytest.raises(NotFlushed):
        await gate.passed(1)
    second.there = True
    await asyncio.wait_for(gate.until_back(), 60)
    assert heard[:2] == ["second_region_unknown", "second_region_away"]
    assert heard[-1] == "second_region_back"


async def test_without_a_second_region_everything_is_in_one() -> None:
    assert await Gate(None, WhenAway.STALL, 1.0, Heard()).passed(9) is Reach.ONE_REGION
