"""What a failover loses: the bound before it, the exact list afterwards. Pure.

**Before**, nobody can read the region that is lost: all that is known is how far it was when it was seen last
and how far the one is that takes over, so a bound is told. **Afterwards**, once the old primary's tail is
archived, every transaction is known that it committed and the new one never had, and every ledger entry in
them. What is not known is printed as unknown, never as nothing.

A transaction in the tail was lost by a user only when it was acknowledged. With commits that wait for the
other region none of them was: it is listed all the same, since it may be what a user tried.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

UNKNOWN = "unknown"
MOST_SEQUENCES = 20
"""Sources of a ledger in a bound: those that sent last."""
MOST_LISTED = 10_000
"""Transactions in a statement; the count is of all of them."""


class Position(Struct, frozen=True, kw_only=True):
    """How far a server's log was, and when that was seen."""

    lsn: int
    at: datetime
    timeline: int | None = None


class Bound(Struct, frozen=True, kw_only=True):
    """At most so much is lost, as far as anybody can tell before. None is unknown."""

    primary: Position | None
    """The lost primary, when it was seen last."""
    candidate: Position | None
    """Who takes over."""
    waited: bool | None
    """Whether each commit waited for the one that takes over: then nothing acknowledged is lost."""
    bytes: int | None
    """What the primary had when it was seen last and the other one lacks. It may have written more since."""
    seconds: float | None
    """From when the candidate had all of it until it is decided: commits of this time may be lost."""
    entries: Mapping[str, int | None] = {}
    """By ledger: how many entries may be lost."""
    sequences: Mapping[str, Mapping[str, int]] = {}
    """By ledger, then by source and epoch: up to which number its entries are there, at least."""

    @property
    def nothing_acknowledged(self) -> bool | None:
        """Whether it is known that no acknowledged write is lost."""
        if self.waited:
            return True
        return None if self.waited is None else False


def bound(
    primary: Position | None,
    candidate: Position | None,
    *,
    waited: bool | None,
    caught_up_at: datetime | None,
    at: datetime,
    acknowledged: Mapping[str, int | None] | None = None,
    has: Mapping[str, int | None] | None = None,
    sequences: Mapping[str, Mapping[str, int]] | None = None,
) -> Bound:
    """`caught_up_at`: when the candidate was seen to have all that the primary had.

    `acknowledged` and `has`: by ledger, how many entries were acknowledged, and how many will be there;
    `sequences`, up to which number of each source.
    """
    behind = None
    if primary is not None and candidate is not None:
        behind = max(primary.lsn - candidate.lsn, 0)
    seconds = None
    if waited:
        seconds = 0.0
    elif caught_up_at is not None:
        seconds = max((at - caught_up_at).total_seconds(), 0.0)
    held = has or {}
    entries = {
        name: None if size is None or (there := held.get(name)) is None else max(size - there, 0)
        for name, size in (acknowledged or {}).items()
    }
    return Bound(
        primary=primary,
        candidate=candidate,
        waited=waited,
        bytes=behind,
        seconds=seconds,
        entries=entries,
        sequences={name: found for name, found in (sequences or {}).items() if found},
    )


class LostTransaction(Struct, frozen=True, kw_only=True):
    """A transaction that the old primary committed and the new one never had."""

    lsn: int
    xid: int
    at: datetime
    """By the old primary's clock."""
    rows: int
    tables: Sequence[str] = ()
    """Names, where somebody could tell them; else the number of the file."""


class LostEntry(Struct, frozen=True, kw_only=True):
    """A ledger entry that was in the tail."""

    ledger: str
    """The key of its tenant."""
    source: str
    epoch: int
    sequence: int
    """By which its source counts."""
    job: str
    leaf: int
    """Where it stood in the lost primary's log. In the log that goes on, another entry may stand there."""
    acknowledged: bool | None
    again: bool | None = None
    """Whether its source has posted it again since, or it was re-applied. None: not looked at."""
    by_hand: str = ""
    """Why it cannot simply be taken in again; empty when it can."""


class LostEntries(Struct, frozen=True, kw_only=True):
    """All of a tail."""

    entries: Sequence[LostEntry]
    """The first of them."""
    count: int
    complete: bool
    """False: the log holds some that could not be read."""
    by_hand: int = 0
    """How many cannot simply be taken in again."""
    kept_at: str = ""
    """The file with all that can be."""


NO_ENTRIES = LostEntries(entries=(), count=0, complete=True)


class Loss(Struct, frozen=True, kw_only=True):
    """The exact list, of the tail [from, to) of timeline `timeline` of the old primary."""

    from_lsn: int
    """Where the histories part."""
    to_lsn: int
    """The end of the last whole record: nothing was written behind it that was flushed."""
    timeline: int
    transactions: Sequence[LostTransaction]
    count: int
    """Of all transactions, also those that are not listed."""
    acknowledged: int | None
    """How many of them a user was told of. None is unknown."""
    entries: LostEntries | None
    """None: nobody looked for ledger entries, or could."""
    archived_at: str
    """Where the tail is kept."""
    complete: bool
    """False: the log ends in a way that leaves doubt about what followed."""

    @property
    def seconds(self) -> float | None:
        """From the first of them to the last, by the old primary's clock. 0 when there is none."""
        if not self.transactions:
            return 0.0 if self.complete else None
        first, last = self.transactions[0].at, self.transactions[-1].at
        return max((last - first).total_seconds(), 0.0)


def exact(
    transactions: Sequence[LostTransaction],
    *,
    from_lsn: int,
    to_lsn: int,
    timeline: int,
    waited: bool | None,
    archived_at: str,
    complete: bool,
    entries: LostEntries | None = None,
) -> Loss:
    """The statement of a tail. Transactions that end before the parting are in both histories, and left out.

    With `waited`, commits were acknowledged only once the other region had them: those of the tail never.
    """
    lost = sorted((each for each in transactions if each.lsn >= from_lsn), key=lambda each: each.lsn)
    acknowledged = 0 if waited or (complete and not lost) else None
    return Loss(
        from_lsn=from_lsn,
        to_lsn=max(to_lsn, from_lsn),
        timeline=timeline,
        transactions=lost[:MOST_LISTED],
        count=len(lost),
        acknowledged=acknowledged,
        entries=entries,
        archived_at=archived_at,
        complete=complete,
    )


def to_reapply(loss: Loss) -> int:
    """How many entries are offered to be taken in again: doing it twice changes nothing."""
    if loss.entries is None:
        return 0
    there = sum(each.again is True and not each.by_hand for each in loss.entries.entries)
    return loss.entries.count - loss.entries.by_hand - there


BOUND_KEYS = (
    "bound_bytes",
    "bound_s",
    "bound_lsn",
    "candidate_lsn",
    "bound_entries",
    "bound_sequences",
    "nothing_acknowledged_lost",
)
LOSS_KEYS = ("lost_transactions", "lost_acknowledged", "lost_entries", "entries_to_reapply", "tail", "loss")


def found_before(told: Bound) -> Mapping[str, str]:
    """What a step of a run tells of a bound."""
    return {
        "bound_bytes": _number(told.bytes),
        "bound_s": _number(told.seconds),
        "bound_lsn": "unknown" if told.primary is None else lsn_text(told.primary.lsn),
        "candidate_lsn": "unknown" if told.candidate is None else lsn_text(told.candidate.lsn),
        "bound_entries": _entries(told.entries),
        "bound_sequences": "; ".join(
            f"{name}: {', '.join(_sequences(found))}" for name, found in told.sequences.items()
        )
        or UNKNOWN,
        "nothing_acknowledged_lost": {True: "yes", False: "no", None: UNKNOWN}[told.nothing_acknowledged],
    }


def found_after(loss: Loss) -> Mapping[str, str]:
    """What a step of a run tells of the exact list."""
    return {
        "lost_transactions": str(loss.count) if loss.complete else f"at least {loss.count}",
        "lost_acknowledged": _number(loss.acknowledged),
        "lost_entries": _entry_count(loss),
        "entries_to_reapply": UNKNOWN if loss.entries is None else str(to_reapply(loss)),
        "tail": f"{lsn_text(loss.from_lsn)} to {lsn_text(loss.to_lsn)}",
        "loss": "\n".join(loss_lines(loss)),
    }


def bound_lines(told: Bound) -> Iterator[str]:
    """For people, before."""
    primary, candidate = told.primary, told.candidate
    seen = UNKNOWN if primary is None else f"{lsn_text(primary.lsn)}, seen {primary.at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"the primary's log     {seen}"
    yield f"who takes over has    {UNKNOWN if candidate is None else lsn_text(candidate.lsn)}"
    yield f"bytes behind          {_number(told.bytes)}" + (" when it was seen last" if told.bytes else "")
    yield f"seconds               {_at_most(told.seconds)}"
    for name, count in told.entries.items():
        yield f"entries of {name}  {_at_most(count)}"
        if name in told.sequences:
            yield f"  there, at least: {', '.join(_sequences(told.sequences[name]))}"
    match told.nothing_acknowledged:
        case True:
            yield "acknowledged writes   none is lost: each waited for the region that takes over"
        case False:
            yield "acknowledged writes   may be lost: commits did not wait for the region that takes over"
        case None:
            yield f"acknowledged writes   {UNKNOWN}: nobody can tell whether commits waited"


def loss_lines(loss: Loss, most: int = 20) -> Iterator[str]:
    """For people, afterwards."""
    stretch = f"{lsn_text(loss.from_lsn)} to {lsn_text(loss.to_lsn)}, timeline {loss.timeline}"
    yield f"tail                  {stretch}"
    yield f"kept at               {loss.archived_at}"
    yield f"transactions          {'' if loss.complete else 'at least '}{loss.count}"
    yield f"of them acknowledged  {_number(loss.acknowledged)}"
    yield f"ledger entries        {_entry_count(loss)}"
    for each in loss.transactions[:most]:
        tables = ", ".join(each.tables) or "no table"
        yield f"  {lsn_text(each.lsn)}  {each.at:%Y-%m-%d %H:%M:%S.%f} UTC  {each.rows} rows  {tables}"
    if loss.count > most:
        yield f"  and {loss.count - most} more"
    if not loss.complete:
        yield "the log's end leaves doubt: more may have followed"
    yield from _entry_lines(loss, most)


def _entry_lines(loss: Loss, most: int) -> Iterator[str]:
    found = loss.entries
    if found is None or not (found.count or not found.complete):
        return
    yield "entries of the ledger that were in it:"
    for each in found.entries[:most]:
        why = f"  ({each.by_hand})" if each.by_hand else ""
        yield f"  {each.ledger}  {each.source} {each.epoch}/{each.sequence}  job {each.job}{why}"
    if found.count > most:
        yield f"  and {found.count - most} more"
    if not found.complete:
        yield "  and some that could not be read out of the log"
    if to_reapply(loss):
        yield f"take them in again, as often as you like: holdfast ledger reapply {found.kept_at}"
    if found.by_hand:
        yield f"{found.by_hand} cannot be taken in again as they are: look at them one by one"


def lsn_text(lsn: int) -> str:
    """As PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """The other way. Raises ValueError."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def _entry_count(loss: Loss) -> str:
    if loss.entries is None:
        return UNKNOWN
    return f"{'' if loss.entries.complete else 'at least '}{loss.entries.count}"


def _number(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return str(value) if isinstance(value, int) else f"{value:.3f}".rstrip("0").rstrip(".")


def _sequences(found: Mapping[str, int]) -> Iterator[str]:
    yield from (f"{source} up to {number}" for source, number in list(found.items())[:MOST_SEQUENCES])
    if len(found) > MOST_SEQUENCES:
        yield f"{len(found) - MOST_SEQUENCES} sources more"


def _at_most(value: float | None) -> str:
    return UNKNOWN if value is None else f"at most {_number(value)}"


def _entries(entries: Mapping[str, int | None]) -> str:
    return ", ".join(f"{name}: {_number(count)}" for name, count in entries.items()) or UNKNOWN
