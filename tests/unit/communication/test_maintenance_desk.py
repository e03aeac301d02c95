"""What people, series and the clock do with planned work, over the stores in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from holdfast.adapters.memory.announcements import MemoryAnnouncements
from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.memory.maintenance import MemoryMaintenances
from holdfast.communication.directory import Directory
from holdfast.communication.errors import ChangedMeanwhile, NotPossible, NotThere
from holdfast.communication.maintenance_desk import (
    MaintenanceDesk,
    NewMaintenance,
    NewSeries,
    SeriesChanges,
)
from holdfast.communication.model import (
    MOST_UPDATES,
    Channel,
    Maintenance,
    Notice,
    Place,
    Scope,
    Stage,
    Standing,
    Subscription,
)
from holdfast.communication.upkeep import Upkeep
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry
from holdfast.kernel.windows import Window

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DIRECTORY = Directory({1: Place("eu", "EU", "api", "API"), 2: Place("eu", "EU", "web", "Website")}, {})
WINDOW = Window(NOW + DAY, NOW + DAY + 2 * HOUR)
WEEKLY = NewSeries(
    "Patches", "Each Sunday.", frozenset({1}), "FREQ=WEEKLY;BYDAY=SU", "Europe/Berlin", NOW + DAY, HOUR
)


class Scene:
    """A desk with one subscriber by mail, the clock's upkeep, and all that was told."""

    def __init__(self, directory: Directory = DIRECTORY) -> None:
        self.clock = ManualClock(NOW)
        self.directory = directory
        reader = Subscription("s", Channel.MAIL, "en", Scope(), Standing.ACTIVE, NOW)
        self.announcements = MemoryAnnouncements(lambda: [reader])
        self.availability = MemoryAvailability({}, self.clock)
        self.store = MemoryMaintenances(self.clock, self.announcements, self.availability)
        self.ids: Iterator[int] = count(1)
        self.desk = self.another_desk(self.store)
        self.events: list[tuple[str, object]] = []
        self.upkeep = Upkeep(
            self.store,
            self.desk,
            self.clock,
            lambda: self.directory,
            on_event=lambda event, facts: self.events.append((event, facts.get("waits_for"))),
            make_id=self.fresh,
        )

    def fresh(self) -> str:
        return f"{next(self.ids):012d}"

    def another_desk(self, store: MemoryMaintenances) -> MaintenanceDesk:
        return MaintenanceDesk(
            store, self.announcements, self.clock, lambda: self.directory, make_id=self.fresh
        )

    @property
    def told(self) -> list[str]:
        return [each.notice.event.value.removeprefix("maintenance.") for each in self.announcements.announced]

    @property
    def last(self) -> Notice:
        return self.announcements.announced[-1].notice

    async def plan(self, window: Window = WINDOW, **others: object) -> Maintenance:
        new = NewMaintenance("Switches", "New ones.", frozenset({1}), window)
        return await self.desk.plan(replace(new, **others), "ann")  # type: ignore[arg-type]

    async def at(self, moment: datetime) -> int:
        """The clock's round then; returns how much it did."""
        self.clock.jump_to(moment)
        return await self.upkeep.run_once()

    async def coming(self) -> list[Maintenance]:
        found = await self.desk.maintenances(Window(self.clock.now(), NOW + 400 * DAY))
        return [each for each in found if not each.stage.is_over]


@pytest.fixture
def scene() -> Scene:
    return Scene()


# --- one maintenance


async def test_a_life_by_the_clock(scene: Scene) -> None:
    made = await scene.plan(remind=(HOUR,))
    assert await scene.at(WINDOW.start - HOUR - MINUTE) == 0
    assert await scene.at(WINDOW.start - HOUR) == 1
    assert await scene.at(WINDOW.start - HOUR + MINUTE) == 0
    assert await scene.at(WINDOW.start) == 1
    assert await scene.at(WINDOW.start + MINUTE) == 0
    assert await scene.at(WINDOW.end) == 1
    assert await scene.at(WINDOW.end + DAY) == 0
    assert scene.told == ["planned", "reminder", "started", "completed"]
    assert (await scene.desk.maintenance(made.id)).stage is Stage.COMPLETED
    assert [each.event for each in scene.store.journal] == [
        f"maintenance.{what}" for what in ("planned", "reminded", "started", "completed")
    ]
    assert {each.actor for each in scene.store.journal} == {"ann", "controller"}


async def test_a_life_by_hand(scene: Scene) -> None:
    made = await scene.plan(starts_by_clock=False, ends_by_clock=False)
    assert await scene.at(WINDOW.start + 10 * MINUTE) == 0
    assert await scene.at(WINDOW.start + 11 * MINUTE) == 0
    await scene.desk.start(made.id, "bob")
    await scene.desk.post(made.id, "Half done.", Stage.IN_PROGRESS, "bob")
    await scene.desk.extend(made.id, WINDOW.end + HOUR, "bob")
    assert await scene.at(WINDOW.end + HOUR + 5 * MINUTE) == 0
    over = await scene.desk.finish(made.id, "bob", body="All done.")
    assert over.began_at == WINDOW.start + 11 * MINUTE
    assert scene.told == ["planned", "started", "updated", "changed", "completed"]
    assert scene.events == [("maintenance_overdue", "start"), ("maintenance_overdue", "end")]


async def test_a_clock_that_runs_ahead_of_the_stores_ends_nothing_early(scene: Scene) -> None:
    await scene.plan()
    ahead = Upkeep(scene.store, scene.desk, ManualClock(WINDOW.end), lambda: scene.directory)
    assert await ahead.run_once() == 0
    assert scene.told == ["planned"]


async def test_the_same_planned_twice_is_planned_once(scene: Scene) -> None:
    new = NewMaintenance("Switches", "", frozenset({1}), WINDOW)
    once = await scene.desk.plan(new, "ann", maintenance_id="abcdefghijkl")
    assert await scene.desk.plan(new, "ann", maintenance_id="abcdefghijkl") == once
    assert scene.told == ["planned"]
    with pytest.raises(ChangedMeanwhile):
        await scene.desk.plan(new, "mallory", maintenance_id="abcdefghijkl")


@pytest.mark.parametrize("key", ["", "nobodyhasit0", "x" * 5000, "'; drop table", "ABCDEFGHIJKL"])
async def test_what_is_not_there_is_said(scene: Scene, key: str) -> None:
    with pytest.raises(NotThere) as refused:
        await scene.desk.start(key, "ann")
    assert len(str(refused.value)) < 100
    with pytest.raises(NotThere):
        await scene.desk.end_series(key, "ann")


async def test_a_step_is_decided_anew_when_somebody_was_faster(scene: Scene) -> None:
    made = await scene.plan()

    class Overtaken(MemoryMaintenances):
        """Somebody else extends it between reading and storing, once."""

        def __init__(self) -> None:
            super().__init__(scene.clock)
            self.overtaken = False

        async def maintenance(self, maintenance_id: str) -> Maintenance | None:
            return await scene.store.maintenance(maintenance_id)

        async def record(self, maintenance: Maintenance, notices: object, entry: JournalEntry) -> Maintenance:
            if not self.overtaken:
                self.overtaken = True
                await scene.desk.extend(made.id, WINDOW.end + HOUR, "bob")
            return await scene.store.record(maintenance, notices, entry)  # type: ignore[arg-type]

    both = await scene.another_desk(Overtaken()).change(made.id, title="Routers", actor="ann")
    assert (both.title, both.window.end) == ("Routers", WINDOW.end + HOUR)


async def test_a_dry_run_says_who_would_be_told_and_does_nothing(scene: Scene) -> None:
    made = await scene.plan(starts_by_clock=False)
    before = await scene.desk.maintenance(made.id)
    new = NewMaintenance("More", "", frozenset({2}), WINDOW)
    previews = [
        await scene.desk.preview(new, "ada"),
        await scene.desk.preview_extend(made.id, WINDOW.end + HOUR, "ada"),
        await scene.desk.preview_cancel(made.id, "No.", "ada"),
        await scene.desk.preview_post(made.id, "Hello.", Stage.SCHEDULED, "ada"),
    ]
    assert [each.audience.by_channel for each in previews] == [{Channel.MAIL: 1}] * 4
    assert [each.notice.event.value for each in previews] == [
        f"maintenance.{what}" for what in ("planned", "changed", "cancelled", "updated")
    ]
    foreseen = [each.notice.maintenance for each in previews]
    assert foreseen[0] is not None
    assert foreseen[0].announced_by == "ada"
    assert [each.updates[-1].author for each in foreseen[2:] if each is not None] == ["ada"] * 2
    with pytest.raises(NotPossible):
        await scene.desk.preview_finish(made.id, "ada")
    scene.clock.jump_to(WINDOW.start)
    assert (await scene.desk.preview_start(made.id, "ada")).audience.total == 1
    assert await scene.desk.maintenance(made.id) == before
    assert scene.told == ["planned"]
    assert len(scene.store.journal) == 1


async def test_private_work_is_told_to_its_customers_only() -> None:
    scene = Scene(Directory(DIRECTORY.places, {1: frozenset({"acme"})}))
    await scene.plan()
    assert scene.last.audience == ("acme",)
    assert scene.announcements.announced[0].recipients == ()


async def test_however_much_was_said_it_begins_and_ends(scene: Scene) -> None:
    full = await scene.plan()
    for number in range(MOST_UPDATES):
        full = await scene.desk.post(full.id, f"and {number}", Stage.SCHEDULED, "ann")
    with pytest.raises(NotPossible, match="500 updates"):
        await scene.desk.post(full.id, "and more", Stage.SCHEDULED, "ann")
    assert await scene.at(WINDOW.start) == 1
    assert await scene.at(WINDOW.end) == 1


async def test_one_that_fails_keeps_no_other_from_its_turn(scene: Scene) -> None:
    broken, other = await scene.plan(), await scene.plan()

    class Refusing(MemoryMaintenances):
        async def unfinished(self) -> Sequence[Maintenance]:
            return await scene.store.unfinished()

        async def record(self, maintenance: Maintenance, *what: object) -> Maintenance:
            if maintenance.id == broken.id:
                raise NotThere("there is no such thing")
            return await scene.store.record(maintenance, *what)  # type: ignore[arg-type]

    told: list[str] = []
    upkeep = Upkeep(
        Refusing(scene.clock),
        scene.desk,
        scene.clock,
        lambda: DIRECTORY,
        on_event=lambda what, _: told.append(what),
    )
    scene.clock.jump_to(WINDOW.start)
    assert [await upkeep.run_once(), await upkeep.run_once()] == [1, 0]
    assert (await scene.desk.maintenance(other.id)).stage is Stage.IN_PROGRESS
    assert told == ["maintenance_postponed"]


# --- series


async def test_a_series_plans_ahead_and_tells_of_all_of_it_in_one_message(scene: Scene) -> None:
    series = await scene.desk.plan_series(WEEKLY, "ann")
    planned = await scene.coming()
    assert [f"{each.window.start:%m-%d %H:%M}" for each in planned] == [
        "11-29 12:00",
        "12-06 12:00",
        "12-13 12:00",
        "12-20 12:00",
    ]
    assert {each.series for each in planned} == {series.id}
    assert scene.told == ["planned"]
    notice = scene.last
    assert notice.maintenance is not None
    assert notice.maintenance.id == planned[0].id
    assert "2026-12-20 13:00 – 14:00 (Europe/Berlin)" in notice.maintenance.body  # noqa: RUF001
    assert planned[0].body == "Each Sunday.", "the list is in the message alone"
    assert len(await scene.availability.maintenance(Window(NOW, NOW + 99 * DAY))) == 4


async def test_the_next_one_is_planned_when_its_time_comes_near(scene: Scene) -> None:
    await scene.desk.plan_series(WEEKLY, "ann")
    assert await scene.upkeep.plan_ahead() == 0
    scene.clock.jump_to(NOW + 7 * DAY)
    assert await scene.upkeep.plan_ahead() == 1
    assert await scene.upkeep.plan_ahead() == 0
    assert scene.told == ["planned", "planned"]
    (*_, last) = await scene.coming()
    assert f"{last.window.start:%m-%d}" == "12-27"
    assert last.announced_at == NOW + 7 * DAY


async def test_what_was_missed_while_nobody_looked_is_not_planned_afterwards(scene: Scene) -> None:
    await scene.desk.plan_series(WEEKLY, "ann")
    scene.clock.jump_to(NOW + 60 * DAY)
    await scene.upkeep.plan_ahead()
    assert (
        min(each.window.start for each in await scene.coming() if each.announced_at != NOW) > NOW + 60 * DAY
    )


async def test_ending_a_series_cancels_what_has_not_begun(scene: Scene) -> None:
    series = await scene.desk.plan_series(WEEKLY, "ann")
    first, *others = await scene.coming()
    await scene.at(first.window.start)
    await scene.desk.end_series(series.id, "bob")
    assert [each.id for each in await scene.coming()] == [first.id]
    assert (await scene.desk.maintenance(first.id)).stage is Stage.IN_PROGRESS
    assert {(await scene.desk.maintenance(each.id)).stage for each in others} == {Stage.CANCELLED}
    assert scene.told == ["planned", "started", "cancelled"]
    assert scene.last.maintenance is not None
    assert scene.last.maintenance.body.count("Europe/Berlin") == 3
    scene.clock.jump_to(NOW + 60 * DAY)
    assert await scene.upkeep.plan_ahead() == 0
    with pytest.raises(NotPossible, match="ended"):
        await scene.desk.change_series(series.id, SeriesChanges(title="x"), "bob")


async def test_a_change_reaches_what_has_not_begun_and_is_told_once(scene: Scene) -> None:
    series = await scene.desk.plan_series(WEEKLY, "ann")
    first, *others = await scene.coming()
    await scene.at(first.window.start)
    await scene.desk.change_series(series.id, SeriesChanges(title="Big patches", lasts=2 * HOUR), "bob")
    assert (await scene.desk.maintenance(first.id)).title == "Patches"
    now = [each for each in await scene.coming() if each.id != first.id]
    assert [each.id for each in now][:3] == [each.id for each in others], "they are the same ones"
    assert {(each.title, each.window.duration) for each in now} == {("Big patches", 2 * HOUR)}
    assert scene.told == ["planned", "started", "changed", "planned"], "a fifth came near meanwhile"
    assert await scene.upkeep.plan_ahead() == 0


async def test_another_rule_cancels_what_it_does_not_name_and_may_take_it_up_again(scene: Scene) -> None:
    series = await scene.desk.plan_series(WEEKLY, "ann")
    before = await scene.coming()
    await scene.desk.change_series(series.id, SeriesChanges(rule="FREQ=WEEKLY;BYDAY=MO"), "bob")
    assert {f"{each.window.start:%a}" for each in await scene.coming()} == {"Mon"}
    await scene.desk.change_series(series.id, SeriesChanges(rule=WEEKLY.rule), "bob")
    after = await scene.coming()
    assert [each.window for each in after] == [each.window for each in before]
    assert {each.id for each in after}.isdisjoint(each.id for each in before), "announced anew"


async def test_one_that_was_cancelled_by_hand_is_not_planned_again(scene: Scene) -> None:
    await scene.desk.plan_series(WEEKLY, "ann")
    first, *_ = await scene.coming()
    await scene.desk.cancel(first.id, "Holidays.", "ann")
    assert await scene.upkeep.plan_ahead() == 0
    assert first.window.start not in {each.window.start for each in await scene.coming()}


async def test_one_that_was_moved_by_hand_stays_there_until_the_series_changes(scene: Scene) -> None:
    series = await scene.desk.plan_series(WEEKLY, "ann")
    first, *_ = await scene.coming()
    moved = Window(first.window.start + HOUR, first.window.end + HOUR)
    await scene.desk.change(first.id, window=moved, actor="ann")
    assert await scene.upkeep.plan_ahead() == 0
    assert (await scene.desk.maintenance(first.id)).window == moved
    await scene.desk.change_series(series.id, SeriesChanges(title="Others"), "bob")
    assert (await scene.desk.maintenance(first.id)).window == first.window


async def test_what_was_interrupted_is_finished_by_the_next_round(scene: Scene) -> None:
    """The process dies after the series was ended and before anything of it was cancelled."""
    series = await scene.desk.plan_series(WEEKLY, "ann")
    entry = JournalEntry(NOW, "bob", "series.ended", {})
    await scene.store.record_series(replace(series, ended_at=NOW, ended_by="bob"), entry)
    assert len(await scene.coming()) == 4
    assert await scene.upkeep.plan_ahead() == 4
    assert await scene.coming() == []
    assert scene.told == ["planned", "cancelled"]


async def test_when_the_one_that_speaks_is_overtaken_the_next_one_does(scene: Scene) -> None:
    """Somebody else changes the first while the series is ended: readers hear of all the others."""
    series = await scene.desk.plan_series(WEEKLY, "ann")
    first, *others = await scene.coming()

    class Overtaken(MemoryMaintenances):
        async def occurrences(self, series_id: str, since: datetime) -> Sequence[Maintenance]:
            return await scene.store.occurrences(series_id, since)

        async def record(self, maintenance: Maintenance, *what: object) -> Maintenance:
            if maintenance.id == first.id:
                raise ChangedMeanwhile("somebody was faster")
            return await scene.store.record(maintenance, *what)  # type: ignore[arg-type]

    assert await scene.another_desk(Overtaken(scene.clock)).follow(replace(series, ended_at=NOW)) == 3
    assert scene.told == ["planned", "cancelled"]
    assert scene.last.maintenance is not None
    assert scene.last.maintenance.id == others[0].id
    assert scene.last.maintenance.body.count("Europe/Berlin") == 3


async def test_two_replicas_plan_the_same_ones_once(scene: Scene) -> None:
    series = await scene.desk.plan_series(WEEKLY, "ann")
    scene.clock.jump_to(NOW + 7 * DAY)

    class Behind(MemoryMaintenances):
        """Sees what was there before the other one planned."""

        def __init__(self, seen: list[Maintenance]) -> None:
            super().__init__(scene.clock)
            self._seen = seen

        async def occurrences(self, *_: object) -> list[Maintenance]:
            return self._seen

        async def record(self, *what: object) -> Maintenance:
            return await scene.store.record(*what)  # type: ignore[arg-type]

    behind = scene.another_desk(Behind(list(await scene.store.occurrences(series.id, scene.clock.now()))))
    assert await scene.desk.follow(series) == 1
    assert await behind.follow(series) == 0
    assert scene.told == ["planned", "planned"]


async def test_a_series_that_can_plan_nothing_any_more_is_told_to_operators_once() -> None:
    scene = Scene()
    await scene.desk.plan_series(WEEKLY, "ann")
    scene.clock.jump_to(NOW + 7 * DAY)
    scene.directory = Directory({2: DIRECTORY.places[2]}, {})
    assert await scene.upkeep.plan_ahead() == 0
    assert await scene.upkeep.plan_ahead() == 0
    assert scene.events == [("series_postponed", None)]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (replace(WEEKLY, rule="FREQ=HOURLY"), "more often"),
        (replace(WEEKLY, time_zone="Mars"), "no time zone"),
        (replace(WEEKLY, lasts=timedelta()), "at least a moment"),
        (replace(WEEKLY, lasts=32 * DAY), "at most a month"),
        (replace(WEEKLY, rule="FREQ=DAILY", lasts=25 * HOUR), "not be over"),
        (replace(WEEKLY, title=""), "a title"),
        (replace(WEEKLY, component_ids=frozenset()), "at least one component"),
        (replace(WEEKLY, rule="FREQ=DAILY;COUNT=2", first_at=NOW - 9 * DAY), "never happens again"),
    ],
)
async def test_a_series_that_makes_no_sense_is_refused(scene: Scene, wrong: NewSeries, why: str) -> None:
    with pytest.raises(NotPossible, match=why):
        await scene.desk.plan_series(wrong, "ann")
    assert await scene.desk.series() == []


async def test_a_dry_run_of_a_series_says_what_it_would_plan(scene: Scene) -> None:
    preview = await scene.desk.preview_series(WEEKLY, "ada")
    assert len(preview.maintenance) == 4
    assert preview.told.audience.total == 1
    far = await scene.desk.preview_series(replace(WEEKLY, first_at=NOW + 300 * DAY), "ada")
    assert (far.maintenance, far.told.audience.total) == ((), 0)
    assert await scene.desk.series() == []
    assert await scene.coming() == []
