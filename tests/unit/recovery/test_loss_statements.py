"""What a failover loses, told before and after: what is not known is said to be unknown."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.recovery.loss import (
    MOST_LISTED,
    NO_ENTRIES,
    Loss,
    LostEntries,
    LostEntry,
    LostTransaction,
    Position,
    bound,
    bound_lines,
    exact,
    found_after,
    found_before,
    loss_lines,
    lsn_number,
    lsn_text,
    to_reapply,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(lsn: int, ago_s: float = 1.0) -> Position:
    return Position(lsn=lsn, at=NOW - timedelta(seconds=ago_s))


def transaction(lsn: int) -> LostTransaction:
    return LostTransaction(lsn=lsn, xid=lsn, at=NOW + timedelta(milliseconds=lsn), rows=1, tables=["job"])


def lost(lsns: list[int], *, waited: bool | None = None, complete: bool = True, **more: object) -> Loss:
    return exact(
        [transaction(each) for each in lsns],
        from_lsn=100,
        to_lsn=max([*lsns, 100]) + 10,
        timeline=3,
        waited=waited,
        archived_at="/kept",
        complete=complete,
        **more,  # type: ignore[arg-type]
    )


def test_nothing_is_known_and_nothing_is_told() -> None:
    told = bound(None, None, waited=None, caught_up_at=None, at=NOW, acknowledged={"l/a": None, "l/b": 5})
    assert (told.bytes, told.seconds, told.nothing_acknowledged) == (None, None, None)
    found = found_before(told)
    assert set(found.values()) == {"unknown", "l/a: unknown, l/b: unknown"}
    assert "".join(bound_lines(told)).count("unknown") == 7


def test_commits_that_waited_lose_nothing_that_was_acknowledged() -> None:
    told = bound(at(500), at(400), waited=True, caught_up_at=None, at=NOW)
    assert (told.bytes, told.seconds, told.nothing_acknowledged) == (100, 0.0, True)
    assert found_before(told)["nothing_acknowledged_lost"] == "yes"
    assert "none is lost" in "\n".join(bound_lines(told))


def test_commits_that_did_not_wait_are_bound_by_what_the_other_one_had() -> None:
    caught_up = NOW - timedelta(seconds=42)
    told = bound(
        at(500),
        at(400),
        waited=False,
        caught_up_at=caught_up,
        at=NOW,
        acknowledged={"l/a": 10, "l/b": 3},
        has={"l/a": 7, "l/b": 4},
    )
    assert (told.bytes, told.seconds) == (100, 42.0)
    assert told.entries == {"l/a": 3, "l/b": 0}
    assert found_before(told)["nothing_acknowledged_lost"] == "no"
    assert "may be lost" in "\n".join(bound_lines(told))


def test_how_far_each_source_has_come_is_told_where_it_is_known() -> None:
    many = {f"mfp-{n} 1": n for n in range(30)}
    told = bound(
        at(500),
        at(400),
        waited=None,
        caught_up_at=None,
        at=NOW,
        acknowledged={"l/a": 10, "l/b": None},
        has={"l/a": 10, "l/b": None},
        sequences={"l/a": many, "l/b": {}},
    )
    found = found_before(told)
    assert found["bound_entries"] == "l/a: 0, l/b: unknown"
    assert found["bound_sequences"].startswith("l/a: mfp-0 1 up to 0, mfp-1 1 up to 1,")
    assert found["bound_sequences"].endswith("10 sources more")
    lines = list(bound_lines(told))
    assert any(line.startswith("  there, at least: mfp-0 1 up to 0,") for line in lines)
    assert sum("at least" in line for line in lines) == 1
    assert (
        found_before(bound(None, None, waited=None, caught_up_at=None, at=NOW))["bound_sequences"]
        == "unknown"
    )


def test_what_both_histories_have_is_not_lost() -> None:
    loss = lost([40, 99, 100, 150, 120])
    assert [each.lsn for each in loss.transactions] == [100, 120, 150]
    assert (loss.count, loss.acknowledged) == (3, None)
    assert loss.seconds == 0.05


def test_with_commits_that_waited_the_tail_was_never_acknowledged() -> None:
    assert lost([150], waited=True).acknowledged == 0
    assert lost([150], waited=False).acknowledged is None
    assert lost([]).acknowledged == 0
    assert lost([], complete=False).acknowledged is None
    assert lost([], complete=False).seconds is None


def test_a_log_that_leaves_doubt_says_at_least() -> None:
    told = found_after(lost([150, 160], complete=False))
    assert told["lost_transactions"] == "at least 2"
    assert told["lost_acknowledged"] == "unknown"
    assert told["lost_entries"] == "unknown"
    assert "leaves doubt" in told["loss"]


def entry(number: int, **more: object) -> LostEntry:
    what: dict[str, object] = {"ledger": "acme", "source": "mfp-1", "epoch": 1, "acknowledged": True, **more}
    return LostEntry(sequence=number, job=f"job-{number}", leaf=100 + number, **what)  # type: ignore[arg-type]


def test_entries_are_offered_again_unless_they_are_there() -> None:
    entries = [
        entry(1),
        entry(2, again=True),
        entry(3, again=False),
        entry(4, by_hand="it corrects a lost entry"),
    ]
    found = LostEntries(entries=entries, count=4, complete=True, by_hand=1, kept_at="/kept/entries.ndjson")
    loss = lost([150], entries=found)
    assert to_reapply(loss) == 2
    told = found_after(loss)
    assert (told["lost_entries"], told["entries_to_reapply"]) == ("4", "2")
    assert "acme  mfp-1 1/3  job job-3" in told["loss"]
    assert "holdfast ledger reapply /kept/entries.ndjson" in told["loss"]
    assert "1 cannot be taken in again as they are" in told["loss"]
    assert msgspec.json.decode(msgspec.json.encode(loss), type=Loss) == loss


def test_entries_that_could_not_be_read_are_said() -> None:
    told = found_after(lost([150], entries=LostEntries(entries=[entry(1)], count=1, complete=False)))
    assert told["lost_entries"] == "at least 1"
    assert "could not be read" in told["loss"]


def test_many_entries_are_counted_and_few_are_shown() -> None:
    found = LostEntries(entries=[entry(n) for n in range(50)], count=70, complete=True, kept_at="/kept/e")
    lines = list(loss_lines(lost([150], entries=found), most=3))
    assert sum("job job-" in line for line in lines) == 3
    assert "  and 67 more" in lines


def test_a_tail_without_entries_offers_nothing() -> None:
    told = found_after(lost([150], entries=NO_ENTRIES))
    assert (told["lost_entries"], told["entries_to_reapply"]) == ("0", "0")
    assert "reapply" not in told["loss"]


def test_a_long_list_is_cut_and_its_count_is_not() -> None:
    loss = lost(list(range(100, 100 + MOST_LISTED + 5)))
    assert (loss.count, len(loss.transactions)) == (MOST_LISTED + 5, MOST_LISTED)
    lines = list(loss_lines(loss, most=3))
    assert f"  and {MOST_LISTED + 2} more" in lines


@given(lsn=st.integers(0, 2**64 - 1))
def test_a_place_in_the_log_is_written_as_postgresql_does(lsn: int) -> None:
    assert lsn_number(lsn_text(lsn)) == lsn
