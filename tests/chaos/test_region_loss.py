"""A region is lost by kill -9 of all in it, its link cut first: nothing acknowledged is lost or doubled.

HOLDFAST_CHAOS_ROUNDS says how often; HOLDFAST_CHAOS_SEED repeats what went wrong once.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos.ledger_loss import AT_ONCE
from tests.chaos.region_loss import HowLost, region_figures, region_rounds
from tests.chaos.region_rounds import LEAST

ROUNDS = int(os.environ.get("HOLDFAST_CHAOS_ROUNDS", "10"))
FEWEST = 3
"""A machine that is busy with something else gets no further in the time that there is."""
WITHIN_S = 480.0 if ROUNDS <= 10 else ROUNDS * 120.0
CONTROL_ROUNDS = 3
SEED = int(os.environ.get("HOLDFAST_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))

RegionTold = Callable[[str, object], None]


@pytest.mark.timeout(WITHIN_S + 600)
def test_no_acknowledged_job_or_entry_is_lost_with_its_region(
    tmp_path: Path, record_property: RegionTold
) -> None:
    came = region_rounds(ROUNDS, tmp_path, HowLost(namespaces=True), seed=SEED, within_s=WITHIN_S)
    record_property("figures", f"region lost: {region_figures(came)} (seed {SEED})")
    assert came.failed == []
    assert came.breaches == []
    assert [(each.lost_jobs, each.lost_entries, each.doubled) for each in came.outcomes] == [(0, 0, 0)] * len(
        came.outcomes
    )
    # There was something to lose, each time; and nobody was asked, but the first time.
    assert len(came.outcomes) >= min(ROUNDS, FEWEST)
    assert min(min(each.jobs, each.entries) for each in came.outcomes) >= LEAST
    assert {each.playbook for each in came.outcomes[1:]} <= {"region-outage-automatic"}


@pytest.mark.timeout(900)
def test_what_waits_for_nobody_is_lost_with_its_region_and_stated(
    tmp_path: Path, record_property: RegionTold
) -> None:
    """What the rounds before look for: it is there to be found."""
    how = HowLost(acknowledged=AT_ONCE)
    came = region_rounds(CONTROL_ROUNDS, tmp_path, how, seed=SEED, until_lost=True)
    record_property("figures", f"region lost, {how}: {region_figures(came)} (seed {SEED})")
    assert came.failed == []
    assert came.breaches == []  # what is left is a log like any other
    last = came.outcomes[-1]
    assert last.lost_jobs > 0
    assert last.lost_entries > 0
    assert last.stated >= last.lost_jobs
    assert last.stated_entries >= last.lost_entries
