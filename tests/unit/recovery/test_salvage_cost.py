"""What putting damaged data back took and cost, from what its run found."""

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.bootstrap.recovery.playbooks import read_shelf
from holdfast.recovery.model import Did, Record, Run
from holdfast.recovery.salvage_cost import cost_of

BEGAN = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return BEGAN + timedelta(minutes=minutes)


def a_run(**ended: float) -> Run:
    """Of the packaged playbook; each step that is named ended so many minutes after the beginning."""
    playbook = read_shelf(None)["corruption"].playbook
    assert playbook is not None
    records = {
        name.replace("_", "-"): Record(did=Did.DONE, began=BEGAN, ended=after(minutes))
        for name, minutes in ended.items()
    }
    return Run(id="r", playbook=playbook, subject="shop", started_by="ann", started_at=BEGAN, records=records)


def test_it_lasts_until_the_database_is_written_to_again_and_not_until_the_copy_is_gone() -> None:
    run = a_run(verify=10, thaw=12, release=30)
    assert cost_of(run, {"lost": "0"}, after(31)) == {
        "rto_s": "720.000",
        "rpo_s": "0",
        "lost_transactions": "0",
    }
    began = {"lost": "0", "began": after(-5).isoformat()}
    assert cost_of(run, began, after(31))["rto_s"] == "1020.000"
    assert cost_of(a_run(), {"lost": "0"}, after(2))["rto_s"] == "120.000"


@pytest.mark.parametrize("lost", ["3", "unknown", ""])
def test_what_is_lost_is_at_most_what_was_written_behind_the_last_good_commit(lost: str) -> None:
    run = a_run(freeze=1, salvage=8, thaw=9)
    given = {"lost": lost, "until": after(-4).isoformat()}
    assert cost_of(run, {**given, "frozen": "yes"}, after(9))["rpo_s"] == "300.000"
    found = cost_of(run, {**given, "frozen": "no", "told": "all rows replaced"}, after(9))
    assert (found["rpo_s"], found["loss"]) == ("720.000", "all rows replaced")
    assert "lost_transactions" not in found


@pytest.mark.parametrize("until", ["", "never", "2026-11-23T02:59:00"])
def test_without_a_last_good_moment_it_is_not_known(until: str) -> None:
    run = a_run(freeze=1, salvage=8)
    assert cost_of(run, {"lost": "1", "until": until, "frozen": "yes"}, after(9))["rpo_s"] == "unknown"


def test_what_has_not_come_about_proves_no_end() -> None:
    run = a_run()
    given = {"lost": "1", "until": after(-4).isoformat(), "frozen": "yes"}
    assert cost_of(run, given, after(9))["rpo_s"] == "unknown"
