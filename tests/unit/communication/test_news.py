"""What readers are told: drafts never, merged ones under their target, the open and planned ones always."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.adapters.memory.incidents import MemoryIncidents
from holdfast.adapters.memory.maintenance import MemoryMaintenances
from holdfast.communication.model import (
    Change,
    ComponentState,
    Impact,
    Incident,
    Maintenance,
    Phase,
    Revision,
    Stage,
    Update,
)
from holdfast.communication.news import (
    BACK,
    MOST_INCIDENTS,
    News,
    NewsReader,
    lasted,
    mentioned,
    told_states,
    worked,
)
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import Window

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DOWN = ComponentState.MAJOR_OUTAGE
ENTRY = JournalEntry(NOW, "test", "test.told")


def incident(number: int, began_at: datetime, *, over_after: timedelta | None = None) -> Incident:
    resolved = None if over_after is None else began_at + over_after
    return Incident(
        f"{number:012}",
        f"Trouble {number}",
        Impact.MAJOR,
        Phase.INVESTIGATING if resolved is None else Phase.RESOLVED,
        began_at,
        {1: DOWN},
        (Update(f"u{number:011}", began_at, "investigating", "We look.", "ada", {1: DOWN}),),
        published_at=began_at,
        resolved_at=resolved,
    )


def work(key: str, start: datetime, stage: Stage = Stage.SCHEDULED) -> Maintenance:
    return Maintenance(key, "Work", "", Window(start, start + HOUR), stage, frozenset({1}))


async def reader_of(incidents: Sequence[Incident], works: Sequence[Maintenance] = ()) -> NewsReader:
    clock = ManualClock(NOW)
    told, planned = MemoryIncidents(clock), MemoryMaintenances(clock)
    for each in incidents:
        await told.record(each, (), ENTRY)
    for one in works:
        await planned.record(one, (), ENTRY)
    return NewsReader(told, planned, clock)


async def test_news_are_of_ninety_days_and_all_that_is_open() -> None:
    old_open = incident(1, NOW - 300 * DAY)
    old = incident(2, NOW - 200 * DAY, over_after=HOUR)
    recent = incident(3, NOW - 2 * DAY, over_after=HOUR)
    reader = await reader_of([old_open, old, recent], [work("w" * 12, NOW + 30 * DAY)])
    news = await reader.news()
    assert [each.id for each in news.incidents] == [recent.id, old_open.id]
    assert [each.id for each in news.open_incidents] == [old_open.id]
    assert [each.id for each in news.planned] == ["w" * 12]
    assert (news.at, news.since) == (NOW, NOW - BACK)


async def test_a_store_with_more_than_fits_says_since_when_it_is_complete() -> None:
    told = [incident(number, NOW - number * HOUR, over_after=HOUR) for number in range(MOST_INCIDENTS + 5)]
    news = await (await reader_of(told)).news()
    assert len(news.incidents) == MOST_INCIDENTS
    assert news.since == told[MOST_INCIDENTS - 1].began_at


async def test_drafts_are_no_news_and_what_they_said_before_never_becomes_any() -> None:
    clock = ManualClock(NOW - HOUR)
    store = MemoryIncidents(clock)
    reader = NewsReader(store, MemoryMaintenances(clock), clock)

    async def then(told: Incident) -> Incident:
        clock.advance(60)
        return await store.record(told, (), ENTRY)

    def said(told: Incident, body: str, title: str) -> Incident:
        (first,) = told.updates
        before = Revision(first.body, first.at, clock.now(), "ada")
        edited = replace(first, body=body, revisions=(*first.revisions, before))
        trail = Change(clock.now(), "ada", "title", told.title, title)
        return replace(told, title=title, updates=(edited,), changes=(*told.changes, trail))

    draft = await then(replace(incident(1, NOW - 2 * HOUR), draft=True, published_at=None))
    draft = await then(said(draft, "second thoughts", "B"))
    assert (await reader.news()).incidents == []
    assert await reader.incident(draft.id) is None

    public = await then(replace(draft, draft=False))
    await then(said(public, "what was learnt", "C"))
    found = await reader.incident(draft.id)
    assert found is not None
    for told in (found, (await reader.news()).incidents[0]):
        assert [each.body for each in told.updates[0].revisions] == ["second thoughts"]
        assert [each.after for each in told.changes] == ["C"]


async def test_a_merged_incident_is_found_under_the_one_that_lives_on() -> None:
    target = incident(1, NOW - HOUR)
    first = replace(incident(2, NOW - HOUR), merged_into=target.id)
    second = replace(incident(3, NOW - HOUR), merged_into=first.id)
    reader = await reader_of([target, first, second])
    assert [each.id for each in (await reader.news()).incidents] == [target.id]
    found = await reader.incident(second.id)
    assert found is not None
    assert found.id == target.id
    # What leads in a circle, which no desk makes, leads nowhere rather than on for ever.
    circle = [replace(incident(number, NOW), merged_into=f"{3 - number:012}") for number in (1, 2)]
    assert await (await reader_of(circle)).incident(circle[0].id) is None


async def test_a_month_has_all_that_was_going_on_in_it() -> None:
    month = Window(NOW - 60 * DAY, NOW - 30 * DAY)
    told = [
        incident(1, NOW - 70 * DAY, over_after=15 * DAY),
        incident(2, NOW - 70 * DAY, over_after=5 * DAY),
        incident(3, NOW - 35 * DAY),
        incident(4, NOW - 10 * DAY),
    ]
    works = [work("a" * 12, NOW - 40 * DAY, Stage.COMPLETED), work("b" * 12, NOW - 20 * DAY)]
    reader = await reader_of(told, works)
    seen = await reader.month(month)
    assert [each.id for each in seen.incidents] == [told[2].id, told[0].id]
    assert [each.id for each in seen.maintenance] == ["a" * 12]
    whole = await reader.news()
    assert [each.id for each in whole.within(month).incidents] == [told[2].id, told[0].id]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([ComponentState.DEGRADED, DOWN], DOWN),
        ([DOWN, ComponentState.DEGRADED], DOWN),
        ([ComponentState.OPERATIONAL, ComponentState.UNDER_MAINTENANCE], ComponentState.UNDER_MAINTENANCE),
        ([ComponentState.PARTIAL_OUTAGE, ComponentState.UNKNOWN], ComponentState.PARTIAL_OUTAGE),
    ],
)
def test_of_several_told_states_the_worst_counts(
    states: Sequence[ComponentState], expected: ComponentState
) -> None:
    told = [replace(incident(n, NOW), affected={1: state}) for n, state in enumerate(states, 1)]
    over = replace(incident(9, NOW, over_after=HOUR), affected={1: DOWN, 2: DOWN})
    found = told_states([*told, over])
    assert {each: state for each, (state, _) in found.items()} == {1: expected}


def test_what_was_ever_mentioned_stays_mentioned() -> None:
    told = incident(1, NOW)
    later = Update("u" * 12, NOW, "identified", "x", "ada", {7: DOWN})
    told = replace(told, updates=(*told.updates, later), affected={2: DOWN})
    assert mentioned(told) == {1, 2, 7}


def test_lengths_are_never_empty_nor_negative() -> None:
    now = incident(1, NOW)
    assert lasted(now, NOW - HOUR).duration > timedelta()
    assert lasted(now, NOW + HOUR) == Window(NOW, NOW + HOUR)
    late = replace(work("w" * 12, NOW - 2 * HOUR, Stage.IN_PROGRESS), began_at=NOW - HOUR)
    assert worked(late, NOW) == Window(NOW - HOUR, NOW)


def test_versions_differ_whenever_anything_told_does() -> None:
    one = News(NOW, [incident(1, NOW)], [work("w" * 12, NOW)])
    changed = replace(one, incidents=[replace(one.incidents[0], version=1)])
    assert one.versions != changed.versions
    assert one.versions == replace(one, at=NOW + HOUR).versions
