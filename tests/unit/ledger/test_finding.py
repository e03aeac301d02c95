"""The index says where something certainly is not, and nothing that is there is ever ruled out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.errors import LogDamaged, Unsuitable
from holdfast.ledger.find.finding import (
    BLOCK,
    LINE_BYTES,
    LINES,
    UNREADABLE,
    Dimension,
    Filter,
    Indexed,
    Look,
    Mention,
    What,
    indexed,
    lines_of,
    mentions_of,
    named_by,
    stretches,
)
from holdfast.ledger.model import Conflict, Correction, Kind, Record, Status

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def record(seq: int = 1, **told: object) -> Record:
    usual: dict[str, object] = {
        "epoch": 1,
        "job": f"job-{seq}",
        "kind": Kind.PRINT,
        "occurred_at": NOON,
        "seq": seq,
        "source": "print-server",
        "status": Status.COMPLETED,
        "tenant": "acme",
    }
    return Record(**{**usual, **told})  # type: ignore[arg-type]


def conflict(leaf: int, came: Record) -> Conflict:
    return Conflict(
        came=leaf_of(came).decode(), epoch=1, leaf=leaf, seq=came.seq, source=came.source, tenant="acme"
    )


def look(row: Indexed, wanted: Filter) -> Look:
    return Look(0, row.occurred_from, row.occurred_to, lines_of(row.terms, wanted.asked.lines))


def found(row: Indexed, wanted: Filter) -> bool:
    return wanted.asked.may_be_in(look(row, wanted))


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
RECORDS = st.builds(
    record,
    st.integers(0, 1000),
    job=WORDS,
    kind=st.sampled_from(Kind),
    status=st.sampled_from(Status),
    user=WORDS | st.just(UNSET),
    device=WORDS | st.just(UNSET),
    cost_centre=WORDS | st.just(UNSET),
    source=WORDS,
    occurred_at=st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)


@given(st.lists(RECORDS, min_size=1, max_size=20), st.data())
def test_what_is_in_a_block_is_never_ruled_out(records: list[Record], data: st.DataObject) -> None:
    row = indexed(records)
    one = data.draw(st.sampled_from(records))
    asked = data.draw(st.sets(st.sampled_from(list(Dimension)), max_size=8))
    others = data.draw(st.sets(WORDS, max_size=3))
    closed = {Dimension.KIND, Dimension.STATUS, Dimension.WHAT}
    values = {
        dimension: {_of(one, dimension)} | (set() if dimension in closed else others) for dimension in asked
    }
    wanted = Filter.of(one.occurred_at, one.occurred_at + timedelta(microseconds=1), values)
    assert wanted.matches(one)
    assert wanted.may_be(leaf_of(one))
    assert found(row, wanted)
    assert Filter.from_facts(wanted.facts()) == wanted


def _of(one: Record, dimension: Dimension) -> str:
    if dimension is Dimension.WHAT:
        return "record"
    value = getattr(one, dimension)
    return "" if value is UNSET else str(value)


def test_a_full_block_rules_out_nearly_all_that_is_not_there() -> None:
    row = indexed(
        record(n, user=f"user-{n % 900}", device=f"device-{n % 80}", cost_centre=f"{n % 40}")
        for n in range(BLOCK)
    )
    assert len(row.terms) == LINES * LINE_BYTES
    others = [Filter.of(wanted={Dimension.USER: [f"somebody-{n}"]}) for n in range(4000)]
    assert sum(found(row, each) for each in others) < 60
    assert not found(row, Filter.of(wanted={Dimension.KIND: [Kind.FAX]}))
    assert not found(row, Filter.of(wanted={Dimension.WHAT: [What.CONFLICT, What.CORRECTION]}))
    assert not found(row, Filter.of(since=NOON + timedelta(microseconds=1)))
    assert not found(row, Filter.of(until=NOON))
    assert found(row, Filter.of(since=NOON))


def test_both_dimensions_must_be_there_and_one_value_of_each() -> None:
    row = indexed([record(user="ann", device="d1")])
    assert found(row, Filter.of(wanted={Dimension.USER: ["ann", "bob"], Dimension.DEVICE: ["d1"]}))
    assert not found(row, Filter.of(wanted={Dimension.USER: ["ann"], Dimension.DEVICE: ["d2"]}))


def test_a_block_that_cannot_be_read_is_never_ruled_out() -> None:
    wanted = Filter.of(NOON, NOON + timedelta(days=1), {Dimension.JOB: ["any"]})
    assert found(UNREADABLE, wanted)


def test_the_order_of_entries_changes_nothing() -> None:
    records = [record(n, user=f"u{n}") for n in range(300)]
    assert indexed(records) == indexed(records[::-1])


def test_a_conflict_is_found_by_what_came() -> None:
    entry = conflict(4, record(5, user="ann", job='with "quotes" and ü'))
    wanted = Filter.of(wanted={Dimension.USER: ["ann"], Dimension.JOB: ['with "quotes" and ü']})
    assert found(indexed([entry]), wanted)
    assert wanted.may_be(leaf_of(entry))
    assert wanted.matches(entry)
    assert not Filter.of(wanted={Dimension.WHAT: [What.RECORD]}).matches(entry)


def test_a_value_of_another_field_is_not_taken_for_it() -> None:
    wanted = Filter.of(wanted={Dimension.USER: ["ann"]})
    sly = record(user="bob", job='"user":"ann"')
    assert not wanted.may_be(leaf_of(sly))
    assert not wanted.matches(sly)


def test_nothing_told_is_found_by_the_empty_text() -> None:
    wanted = Filter.of(wanted={Dimension.COST_CENTRE: [""]})
    assert wanted.matches(record())
    assert wanted.may_be(leaf_of(record()))
    assert found(indexed([record()]), wanted)
    assert not wanted.matches(record(cost_centre="42"))


@pytest.mark.parametrize(
    "wanted",
    [
        {"wanted": {Dimension.KIND: ["plot"]}},
        {"wanted": {Dimension.USER: [f"u{n}" for n in range(101)]}},
        {"wanted": {Dimension.USER: ["u" * 201]}},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"since": NOON, "until": NOON},
    ],
)
def test_what_cannot_be_asked_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(Unsuitable):
        Filter.of(**wanted)  # type: ignore[arg-type]


def test_a_filter_that_was_kept_wrongly_is_damage() -> None:
    with pytest.raises(LogDamaged):
        Filter.from_facts({"since": "yesterday"})
    with pytest.raises(LogDamaged):
        Filter.from_facts({"colour": ["red"]})


def corrects(leaf: int, seq: int) -> Record:
    return record(seq, corrects=Correction(actor="ops", leaf=leaf, reason="wrong tray"))


def test_a_leaf_is_corrected_once_and_the_next_correction_names_the_one_before() -> None:
    entries = list(
        enumerate(
            [
                record(0),
                corrects(0, 1),
                corrects(0, 2),  # void: 0 is corrected already
                corrects(1, 3),
                corrects(2, 4),  # void: it names a void one
                corrects(9, 5),  # void: it names what is not there yet
                conflict(0, record(0, job="other")),
                corrects(6, 6),  # void: it names a conflict
            ]
        )
    )
    named = {leaf: entry for leaf, entry in entries if leaf in named_by(entries)}
    whole = mentions_of(entries, named, ())
    void = {each.by for each in whole if each.void}
    assert void == {2, 4, 5, 7}
    assert Mention(0, 6, What.CONFLICT) in whole
    for cut in range(1, len(entries)):  # in two portions it comes to the same
        first = mentions_of(entries[:cut], named, ())
        assert first + mentions_of(entries[cut:], named, first) == whole


@given(st.sets(st.integers(0, 40)), st.integers(1, 41 * BLOCK))
def test_stretches_are_the_blocks_and_nothing_else(blocks: set[int], below: int) -> None:
    asked = sorted((each for each in blocks if each * BLOCK < below), reverse=True)
    found = list(stretches(asked, below))
    covered = [block for start, end in found for block in range(start // BLOCK, -(-end // BLOCK))[::-1]]
    assert covered == asked
    assert all(start < end <= below for start, end in found)
    assert all(end - start <= 4 * BLOCK for start, end in found)
    if found:
        assert found[0][1] - found[0][0] <= BLOCK
