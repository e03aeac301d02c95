"""Two regions: the primary is killed under load, and no acknowledged record of the ledger is lost or doubled.

HOLDFAST_CHAOS_ROUNDS says how often; HOLDFAST_CHAOS_SEED repeats what went wrong once.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos.ledger_loss import AT_ONCE, LEAST, How, figures, rounds
from tests.chaos.ledger_whole import Whole

from holdfast.ledger.log.tree import Edge, leaf_hashes

ROUNDS = int(os.environ.get("HOLDFAST_CHAOS_ROUNDS", "20"))
PROCESS_ROUNDS = int(os.environ.get("HOLDFAST_CHAOS_ROUNDS", "5"))
"""With the real processes, which take seconds to start."""
CONTROL_ROUNDS = 5
SEED = int(os.environ.get("HOLDFAST_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))

Told = Callable[[str, object], None]


@pytest.mark.timeout(max(ROUNDS, PROCESS_ROUNDS) * 120 + 120)
@pytest.mark.parametrize(("count", "how"), [(ROUNDS, How()), (PROCESS_ROUNDS, How(process=True))], ids=str)
def test_nothing_acknowledged_is_lost_and_no_checkpoint_forks(
    tmp_path: Path, record_property: Told, count: int, how: How
) -> None:
    outcomes, breaches = rounds(count, tmp_path, how, seed=SEED)
    record_property("figures", f"ledger, {how}: {len(outcomes)} rounds, {figures(outcomes)} (seed {SEED})")
    assert breaches == []
    assert [each.refused for each in outcomes] == [""] * count
    assert [each.lost for each in outcomes] == [0] * count
    # There was something to lose, each time; and what came again was there.
    assert min(each.acknowledged for each in outcomes) >= LEAST
    assert sum(each.repeated for each in outcomes) > count
    assert sum(each.handed_out for each in outcomes) >= count


@pytest.mark.timeout(CONTROL_ROUNDS * 60 + 120)
def test_records_acknowledged_at_once_are_lost(tmp_path: Path, record_property: Told) -> None:
    """What the rounds before look for: it is there to be found."""
    outcomes, breaches = rounds(CONTROL_ROUNDS, tmp_path, How(acknowledged=AT_ONCE), seed=SEED)
    record_property(
        "figures", f"ledger, acknowledged at once: {len(outcomes)} rounds, {figures(outcomes)} (seed {SEED})"
    )
    assert sum(each.lost for each in outcomes) > 0
    # What is left is a log like any other, and what was handed out is of it.
    assert breaches == []


@pytest.mark.timeout(CONTROL_ROUNDS * 60 + 120)
def test_a_log_whose_checkpoints_were_handed_out_at_once_is_refused_by_its_witness(tmp_path: Path) -> None:
    outcomes, breaches = rounds(CONTROL_ROUNDS, tmp_path, How(AT_ONCE, AT_ONCE), seed=SEED)
    refused = [each.refused for each in outcomes if each.refused]
    assert "witness" in refused[0]
    assert breaches == []  # not looked for: it stands still


def test_roots_of_a_whole_log_are_those_it_had() -> None:
    hashes = leaf_hashes([str(number).encode() for number in range(40_000)])
    whole = Whole(hashes)
    for size in (0, 1, 16_384, 40_000, 16_383, 33_000, 16_385, 32_768):
        assert whole.root_at(size) == Edge().grown(hashes[: size * 32])[0].root
    assert whole.root_at(40_001) is None
