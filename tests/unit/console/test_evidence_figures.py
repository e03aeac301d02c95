"""Figures of drills and evidence, for a monitoring system: what nobody knows is left out."""

from datetime import timedelta

from tests.recorded import BEGAN, SIGNER, an_evidence

from holdfast.adapters.memory.evidence import MemoryEvidence
from holdfast.bootstrap.recovery.figures import log_figures
from holdfast.bootstrap.recovery.sealing import seal_with
from holdfast.estate.drills import Drill
from holdfast.interfaces.console.evidence_metrics import evidence_figures
from holdfast.interfaces.evidence_desk import DrillShown
from holdfast.kernel.clock import ManualClock
from holdfast.recovery.drills import standing_of
from holdfast.recovery.evidence_ports import Grown, Why
from holdfast.recovery.model import RunState

DAY = timedelta(days=1)


def told(lines: list[str]) -> dict[str, str]:
    """Samples by name and labels."""
    samples = [each.rpartition(" ") for each in lines if not each.startswith("#")]
    return {name: value for name, _, value in samples}


def figures(
    *newest: object, drills: dict[str, Drill], passed: dict[str, int], grown: Grown
) -> dict[str, str]:
    now = BEGAN + 100 * DAY
    shown = [
        DrillShown(
            standing_of(key, drill, None, now - passed[key] * DAY if key in passed else None, now), None
        )
        for key, drill in drills.items()
    ]
    return told(
        list(evidence_figures(shown, newest, grown, {"print": "eu", "eu": "eu"}.get, now))  # type: ignore[arg-type]
    )


def test_ages_and_what_has_expired() -> None:
    drills = {
        "a": Drill(scenario="restore", subject="print"),
        "b": Drill(scenario="corruption", subject="print", valid_for=5 * DAY),
        "c": Drill(scenario="region-outage", subject="eu", where="lab"),
    }
    found = figures(drills=drills, passed={"a": 10, "b": 6}, grown=Grown())
    of = 'cluster="eu",subject="{}",scenario="{}"'
    restore, corruption = of.format("print", "restore"), of.format("print", "corruption")
    outage = of.format("eu", "region-outage")
    assert found[f"holdfast_drill_age_seconds{{{restore}}}"] == "864000"
    assert found[f"holdfast_drill_expired{{{restore}}}"] == "0"
    assert found[f"holdfast_drill_expired{{{corruption}}}"] == "1"
    assert found[f"holdfast_drill_expired{{{outage}}}"] == "1"
    assert f"holdfast_drill_age_seconds{{{outage}}}" not in found, "it never passed"


def test_what_was_measured_last_and_how_it_ended() -> None:
    newest = [
        an_evidence("r4", found={}),
        an_evidence("r3", found={"rto_s": "7.5"}),
        an_evidence("r2"),
        an_evidence("r1", subject='odd"\n', name="restore", state=RunState.CANCELLED),
    ]
    found = figures(*newest, drills={}, passed={}, grown=Grown(size=4))
    labels = 'cluster="eu",subject="print",scenario="restore"'
    assert found[f"holdfast_evidence_rto_seconds{{{labels}}}"] == "7.5"
    assert found[f"holdfast_evidence_rpo_seconds{{{labels}}}"] == "1.25"
    assert found['holdfast_evidence_rto_seconds{cluster="",subject="odd\\"?",scenario="restore"}'] == "12.5"
    passed = 'scenario="restore",kind="drill",verdict="passed"'
    assert found[f"holdfast_evidence_newest{{{passed}}}"] == "3"
    assert found['holdfast_evidence_newest{scenario="restore",kind="real",verdict="cancelled"}'] == "1"
    assert (found["holdfast_evidence_entries"], found["holdfast_evidence_not_cosigned"]) == ("4", "4")


async def test_the_process_tells_of_the_log_and_names_nobody() -> None:
    log = MemoryEvidence(ManualClock(BEGAN).now)
    await log.append(an_evidence("r1"), seal_with(SIGNER))
    await log.keep_waiting(Why.FORK, "another log")
    found = told(list(log_figures(await log.grown())))
    assert found == {
        "holdfast_recovery_evidence_entries": "1",
        "holdfast_recovery_evidence_not_cosigned": "1",
        'holdfast_recovery_evidence_waits{reason="witness_away"}': "0",
        'holdfast_recovery_evidence_waits{reason="witness_refuses"}': "0",
        'holdfast_recovery_evidence_waits{reason="fork"}': "1",
        'holdfast_recovery_evidence_waits{reason="failed"}': "0",
    }
