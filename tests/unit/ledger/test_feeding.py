"""Feeding lines: what fails in passing is tried again, nothing is lost, and all of it is counted."""

import io
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import pytest

from holdfast.ledger.errors import NotFlushed
from holdfast.ledger.intake.cups import PageLog
from holdfast.ledger.intake.drafts import Draft
from holdfast.ledger.intake.feeding import MOST_TOLD, FeedDrafts, Told, Total
from holdfast.ledger.intake.files import Line, Lines, marker
from holdfast.ledger.intake.importing import MOST_DRAFTS, Outcome
from holdfast.ledger.model import Reach, Refusal

LATER = datetime(2027, 1, 1, tzinfo=UTC)


class Taking:
    """An importer that fails every other time."""

    def __init__(self) -> None:
        self.asked = 0
        self.took = list[int]()

    async def take(self, drafts: Sequence[Draft]) -> Outcome:
        self.asked += 1
        if self.asked % 2:
            raise NotFlushed("the second region is away")
        self.took.append(len(drafts))
        return Outcome(taken=[(draft.line, draft.line) for draft in drafts], reach=Reach.TWO_REGIONS)

    async def looked_at(self, drafts: Sequence[Draft]) -> Outcome:
        raise AssertionError(f"nobody asked for a dry run of {len(drafts)}")


async def insist(work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    while True:
        try:
            return await work()
        except NotFlushed:
            continue


def lines(count: int) -> list[Line | Refusal]:
    at = "[20/May/2026:10:00:00 +0000]"
    content = "".join(f"P1 ada {n} {at} total 1 - pc7 x A4 one-sided\n" for n in range(count))
    return Lines(io.BytesIO(content.encode()), marker(b"")).read(10**6)


async def test_what_fails_in_passing_is_tried_again() -> None:
    taking = Taking()
    feed = FeedDrafts(PageLog(), taking, dry_run=False, insisting=insist)  # type: ignore[arg-type]
    await feed.feed("page_log", lines(MOST_DRAFTS * 2 + 5))
    assert taking.took == [MOST_DRAFTS, MOST_DRAFTS]
    await feed.flush(LATER)
    assert taking.took == [MOST_DRAFTS, MOST_DRAFTS, 5]
    assert (feed.total.taken, feed.total.lines) == (MOST_DRAFTS * 2 + 5,) * 2


async def test_who_does_not_insist_hears_of_it_and_loses_nothing() -> None:
    taking = Taking()
    feed = FeedDrafts(PageLog(), taking, dry_run=False)  # type: ignore[arg-type]
    await feed.feed("page_log", lines(5))
    with pytest.raises(NotFlushed):
        await feed.flush(LATER)
    await feed.flush(LATER)
    assert (taking.took, feed.total.taken) == ([5], 5)


def test_all_is_counted_and_the_first_of_it_told() -> None:
    total = Total()
    total.add("a", Outcome(taken=[(1, 7), (2, 5)], repeated=3, reach=Reach.TWO_REGIONS, size=8))
    total.add("b", Outcome(conflicts=[(4, 9)], otherwise=[Refusal(5, "other")], reach=Reach.ONE_REGION))
    total.add("c", Outcome(refused=[Refusal(n, "why") for n in range(MOST_TOLD + 10)]))
    total.add("d", Outcome(taken=[(1, -1)]))
    assert (total.taken, total.first_leaf, total.last_leaf, total.size) == (3, 5, 7, 8)
    assert (total.repeated, total.conflicts, total.otherwise) == (3, 1, 1)
    assert (total.refused, len(total.told), total.one_region) == (MOST_TOLD + 10, MOST_TOLD, True)
    assert total.told[0] == Told("b", 5, "other")
