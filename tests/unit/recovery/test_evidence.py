"""Evidence: gathered from runs, canonical, and as strict when it is read as when it is written."""

import json
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace
from tests.recorded import BEGAN, FOUND, TERMS, a_remark, a_run, an_evidence

from holdfast.recovery.errors import EvidenceRefused
from holdfast.recovery.evidence import (
    MOST_TEXT,
    Holds,
    Measure,
    Outcome,
    Where,
    canonical,
    entry_of,
    evidence_id,
)
from holdfast.recovery.gathering import Terms, evidence_of
from holdfast.recovery.model import RunState


def test_evidence_tells_who_when_what_and_how_long() -> None:
    found = an_evidence()

    assert (found.scenario, found.drill, found.subject) == ("restore", True, "print")
    assert (found.started_by, found.began_at, found.ended_at) == ("ben", BEGAN, BEGAN + timedelta(seconds=20))
    assert found.what == "print: a copy out of region a"
    assert found.data_bytes == 1_048_576
    assert [(each.name, each.within, each.lasted_ms) for each in found.phases] == [
        ("allow", "", 0),
        ("restore", "", 20_000),
        ("fetch", "restore", 3_500),
    ]
    assert found.phases[1].attempts == 2
    assert [(each.gate, each.who) for each in found.approvals] == [("allow", "ada")]
    assert found.found == {"restore.odd": "7"}


def test_target_contract_and_measurement_are_three_figures() -> None:
    found = an_evidence()

    assert found.rpo == Measure(target_ms=5_000, contract_ms=60_000, measured_ms=1_250)
    assert found.rto == Measure(target_ms=60_000, contract_ms=1_800_000, measured_ms=12_500)
    assert found.passed


def test_what_nobody_knows_is_unknown_and_never_nothing() -> None:
    found = an_evidence(found={**FOUND, "rpo_s": "unknown", "rto_s": "soon", "lost_transactions": "many"})

    assert found.rpo.measured_ms is None
    assert found.rpo.is_met is None
    assert found.rto.measured_ms is None
    assert found.loss.transactions is None
    assert found.loss.entries is None
    assert found.found == {"restore.odd": "7", "restore.rto_s": "soon", "restore.lost_transactions": "many"}
    assert found.passed, "not measured is told, and is no failure"


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        ({"rto_s": "1800"}, True),
        ({"rto_s": "1800.001"}, False),
        ({"rpo_s": "61"}, False),
        ({"invariant.jobs have owners": "fails: 3 have none"}, False),
        ({"invariant.jobs have owners": "unknown: the table is away"}, True),
        ({"invariant.jobs have owners": "perhaps"}, True),
    ],
)
def test_it_passes_when_nothing_misses_what_was_agreed(found: dict[str, str], passes: bool) -> None:
    assert an_evidence(found={**FOUND, **found}).passed is passes


def test_invariants_keep_their_reason() -> None:
    found = an_evidence(
        found={"invariant.a": "fails: 3 have none", "invariant.b": "odd", "invariant.c": "holds"}
    )

    assert [(each.name, each.holds, each.detail) for each in found.invariants] == [
        ("a", Holds.FAILS, "3 have none"),
        ("b", Holds.UNKNOWN, "odd"),
        ("c", Holds.HOLDS, ""),
    ]


def test_without_a_contract_the_target_decides() -> None:
    terms = Terms(rto_target=timedelta(seconds=10))

    assert evidence_of(a_run(), terms, BEGAN).rto.is_met is False
    assert evidence_of(a_run(), Terms(), BEGAN).rto.is_met is None
    assert evidence_of(a_run(), TERMS, BEGAN).rto.is_met is True


def test_one_that_was_cancelled_has_not_passed_whatever_it_found() -> None:
    found = an_evidence(state=RunState.CANCELLED)

    assert found.outcome is Outcome.CANCELLED
    assert not found.passed


def test_one_that_records_itself_is_done_when_all_before_is() -> None:
    found = evidence_of(a_run(state=RunState.RUNNING), TERMS, BEGAN)

    assert found.outcome is Outcome.DONE
    assert found.ended_at is None
    assert "record" not in [each.name for each in found.phases]


def test_a_real_playbook_that_is_drilled_is_a_drill() -> None:
    real = an_evidence(name="region-outage")
    drilled = an_evidence(
        name="switchover", given={"drill": "yes", "on": "lab", "scenario": "region-outage", "seed": "12"}
    )

    assert (real.scenario, real.drill, real.where) == ("region-outage", False, Where.PRODUCTION)
    assert (drilled.scenario, drilled.drill, drilled.where) == ("region-outage", True, Where.LAB)
    assert drilled.seed == 12


def test_recorded_twice_it_has_the_same_id() -> None:
    assert an_evidence("r1").id == an_evidence("r1").id == evidence_id("r1")
    assert an_evidence("r2").id != an_evidence("r1").id
    assert a_remark("x").id == a_remark("x").id != a_remark("x", who="ben").id


def test_the_canonical_form_is_sorted_without_blanks_and_whole() -> None:
    content = canonical(an_evidence())
    told = json.loads(content)

    assert content == json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert entry_of(content) == an_evidence()
    assert entry_of(canonical(a_remark("x"))) == a_remark("x")


def test_no_number_in_it_has_a_fraction() -> None:
    def numbers(value: object) -> list[object]:
        if isinstance(value, dict):
            return [each for part in value.values() for each in numbers(part)]
        if isinstance(value, list):
            return [each for part in value for each in numbers(part)]
        return [value] if isinstance(value, float) else []

    assert numbers(json.loads(canonical(an_evidence()))) == []


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"kind":"other"}',
        canonical(an_evidence()).replace(b'{"approvals"', b'{ "approvals"'),
        canonical(an_evidence()).replace(b'"revision":3', b'"revision":3.0'),
        canonical(an_evidence())[:-1] + b',"zz":1}',
        b" " * ((1 << 20) + 1),
    ],
)
def test_anything_else_is_refused(wrong: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        entry_of(wrong)


def test_endless_texts_are_cut_and_say_so() -> None:
    found = an_evidence(found={"loss": "x" * (MOST_TEXT + 5), "what": "a\x00b"})

    assert found.loss.statement.endswith("... (5 more characters)")
    assert found.what == "a\ufffdb"
    assert len(canonical(found)) < 100_000


def test_an_entry_beyond_all_measure_is_refused_when_it_is_written() -> None:
    huge = replace(an_evidence(), found={f"k{n}": "x" * MOST_TEXT for n in range(60)})

    with pytest.raises(EvidenceRefused, match="more than"):
        canonical(huge)


def test_the_reader_is_msgspec_and_forgets_nothing() -> None:
    assert msgspec.json.decode(canonical(an_evidence()))["kind"] == "evidence"
