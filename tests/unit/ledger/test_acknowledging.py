"""What an acknowledgement says when the second region is there, away, and back."""

from collections.abc import Mapping

import pytest

from holdfast.adapters.memory.ledger import MemorySecondRegion
from holdfast.ledger.acknowledging import Gate, WhenAway
from holdfast.ledger.errors import NotFlushed
from holdfast.ledger.model import Reach


class Heard(list[str]):
    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        del facts
        self.append(event)


async def test_it_waits_for_nobody_whose_place_is_known() -> None:
    second, heard = MemorySecondRegion(), Heard()
    gate = Gate(second, WhenAway.STALL, 1.0, heard)
    assert [await gate.passed(lsn) for lsn in (5, 3, 5)] == [Reach.TWO_REGIONS] * 3
    assert second.asked == 1
    assert not heard


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
    assert await gate.passed(10) is Reach.TWO_REGIONS
    second.up_to = 12
    assert await gate.passed(12) is Reach.TWO_REGIONS
    assert heard[0] == "second_region_away"
    assert heard[-1] == "second_region_back"


async def test_a_database_that_waits_by_itself_is_believed() -> None:
    assert await Gate(None, WhenAway.STALL, 1.0, Heard()).passed(9) is Reach.TWO_REGIONS
