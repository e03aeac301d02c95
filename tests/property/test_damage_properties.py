"""Jumps are told from growth and noise, whatever the history; nothing is said without one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from holdfast.backup.model import Suspicion
from holdfast.backup.verify.damage import (
    FEWEST_BEFORE,
    Sample,
    Standing,
    Verdict,
    is_suspect,
    judged,
    suspicion_of,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TABLE = "rows:shop.public.orders"

sizes = st.floats(2e6, 1e13)
growths = st.floats(0.0, 0.1)
counts = st.integers(FEWEST_BEFORE + 1, 40)
wobbles = st.lists(st.floats(-1.0, 1.0), min_size=41, max_size=41)


def history(values: Sequence[Mapping[str, float]]) -> tuple[list[Sample], Sample]:
    samples = [Sample(START + DAY * number, each, f"b{number}") for number, each in enumerate(values)]
    return samples[:-1], samples[-1]


def standing(verdicts: Sequence[Verdict], figure: str) -> Standing:
    return next(each.standing for each in verdicts if each.figure == figure)


@given(size=sizes, growth=growths, count=counts, wobble=wobbles)
def test_steady_growth_with_some_noise_is_no_jump(
    size: float, growth: float, count: int, wobble: Sequence[float]
) -> None:
    values = [
        {
            "size": grown,
            TABLE: grown / 1000,
            "changed": 0.02 * (1 + each / 4),
            "compression:full": 0.3 + each / 50,
        }
        for number, each in enumerate(wobble[: count + 1])
        for grown in (size * (1 + growth) ** number * (1 + 0.02 * each),)
    ]
    before, newest = history(values)
    assert {each.standing for each in judged(before, newest)} == {Standing.STEADY}


@given(ratio=st.floats(0.1, 0.5), count=counts, wobble=wobbles)
def test_what_was_encrypted_does_not_compress_any_more(
    ratio: float, count: int, wobble: Sequence[float]
) -> None:
    values = [{"compression:full": ratio * (1 + 0.02 * each)} for each in wobble[:count]]
    before, newest = history([*values, {"compression:full": 1.0}])
    assert standing(judged(before, newest), "compression:full") is Standing.JUMPED


@given(share=st.floats(0.001, 0.05), count=counts, wobble=wobbles)
def test_a_mass_update_changes_more_than_ever(share: float, count: int, wobble: Sequence[float]) -> None:
    values = [{"changed": share * (1 + each / 4)} for each in wobble[:count]]
    before, newest = history([*values, {"changed": 0.9}])
    assert standing(judged(before, newest), "changed") is Standing.JUMPED


@given(rows=st.integers(1000, 10**10), count=counts, left=st.floats(0.0, 0.4))
def test_a_table_that_lost_most_of_its_rows_is_found(rows: int, count: int, left: float) -> None:
    values = [{TABLE: rows * 1.01**number} for number in range(count)]
    before, newest = history([*values, {TABLE: rows * left}])
    assert standing(judged(before, newest), TABLE) is Standing.JUMPED


@given(rows=st.integers(1000, 10**10), count=counts)
def test_a_table_that_is_gone_has_no_rows(rows: int, count: int) -> None:
    values = [{TABLE: float(rows), "rows:shop.public.other": 5.0}] * count
    before, newest = history([*values, {"rows:shop.public.other": 5.0}])
    assert standing(judged(before, newest), TABLE) is Standing.JUMPED


@given(st.lists(st.floats(0.0, 1e12), min_size=1, max_size=FEWEST_BEFORE))
def test_without_history_nothing_is_said(values: Sequence[float]) -> None:
    before, newest = history([{"size": each, "deletes": each} for each in values])
    assert {each.standing for each in judged(before, newest)} == {Standing.UNKNOWN}
    assert suspicion_of(judged(before, newest), before, newest, (), "m", newest.at) is None


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["size", "changed", "deletes", "drops", "compression:full", TABLE]),
            st.floats(0.0, 1e15),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_is_measured_it_is_judged_and_a_mark_reaches_back_to_the_last_good_point(
    values: Sequence[Mapping[str, float]],
) -> None:
    before, newest = history(values)
    verdicts = judged(before, newest)
    mark = suspicion_of(verdicts, before, newest, (), "m", newest.at)
    jumped = any(each.standing is Standing.JUMPED for each in verdicts)
    assert (mark is not None) == jumped
    if mark is not None:
        assert mark.since == before[-1].at
        assert is_suspect(newest.at, [mark])
        assert not is_suspect(before[-1].at, [mark])
        assert all(each.text for each in verdicts)


ENCRYPTED = [{"compression:full": 0.3}] * 8 + [{"compression:full": 1.0}] * 3


def test_suspect_points_are_no_measure_and_one_mark_is_enough() -> None:
    before, newest = history(ENCRYPTED)
    first = Suspicion("m1", START + DAY * 7, START + DAY * 8, "jumped")
    verdicts = judged(before, newest, [first])
    assert standing(verdicts, "compression:full") is Standing.JUMPED
    assert verdicts[0].usual == 0.3
    assert suspicion_of(verdicts, before, newest, [first], "m2", newest.at) is None


def test_what_a_person_has_accepted_is_no_jump_and_another_one_is() -> None:
    lifted = Suspicion("m1", START + DAY * 7, START + DAY * 8, "jumped", START + DAY * 9, "ada")
    before, newest = history(ENCRYPTED)
    assert standing(judged(before, newest, [lifted]), "compression:full") is Standing.STEADY
    before, newest = history([*ENCRYPTED, {"compression:full": 0.01}])
    assert standing(judged(before, newest, [lifted]), "compression:full") is Standing.JUMPED


def test_a_pause_makes_a_longer_step_and_no_jump() -> None:
    samples = [Sample(START + DAY * number, {"size": 1e9 * 1.05**number}) for number in range(10)]
    late = Sample(START + DAY * 30, {"size": 1e9 * 1.05**30})
    assert standing(judged(samples, late), "size") is Standing.STEADY
    halved = Sample(START + DAY * 10, {"size": 1e9 * 0.4})
    assert standing(judged(samples, halved), "size") is Standing.JUMPED


def test_what_fell_and_should_not_and_what_rose_and_may() -> None:
    quiet = [{"deletes": 50.0, "drops": 0.0, TABLE: 5000.0, "changed": 0.2}] * 8
    before, newest = history(
        [*quiet, {"deletes": 90_000.0, "drops": 60.0, TABLE: 50_000.0, "changed": 0.001}]
    )
    verdicts = judged(before, newest)
    assert {each.figure for each in verdicts if each.standing is Standing.JUMPED} == {"deletes", "drops"}
    assert "rows deleted: 90,000 where 50 is usual" in {each.text for each in verdicts}
