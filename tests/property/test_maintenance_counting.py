"""What a maintenance takes out of counted time, however it went: claims against a plain model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.model import Maintenance as Counted
from holdfast.availability.sla import Terms, statement
from holdfast.communication.counting import Claim, recount, settled, taken
from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotPossible
from holdfast.communication.maintenance import (
    Changes,
    Decided,
    NewMaintenance,
    cancelled,
    changed,
    extended,
    finished,
    planned,
    posted,
    started,
)
from holdfast.communication.model import Maintenance, Place, Stage
from holdfast.communication.upkeep import by_clock
from holdfast.kernel.windows import Window

T0 = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
COMPONENTS = (1, 2, 3)
DIRECTORY = Directory({each: Place("eu", "EU", f"c{each}", f"C{each}") for each in COMPONENTS}, {})

hours = st.integers(0, 40)
some_components = st.frozensets(st.sampled_from(COMPONENTS), min_size=1)


@st.composite
def windows(draw: st.DrawFn, longest: int = 12) -> Window:
    start = draw(hours)
    return Window(T0 + start * HOUR, T0 + (start + draw(st.integers(1, longest))) * HOUR)


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, object]:
    """One thing that somebody or the clock does, or time that passes."""
    kind = draw(
        st.sampled_from(["wait", "move", "extend", "start", "finish", "cancel", "of", "clock", "by_hand"])
    )
    argument: object = None
    if kind == "wait":
        argument = draw(st.integers(1, 8))
    elif kind == "move":
        argument = draw(windows())
    elif kind == "extend":
        argument = draw(st.integers(1, 8))
    elif kind == "of":
        argument = draw(some_components)
    return kind, argument


@dataclass(frozen=True)
class Row:
    """A claim as a store has it, with the moment of its announcement and where it was to begin."""

    claim: Claim
    announced_at: datetime
    planned_start: datetime
    cancelled: bool = False


class World:
    """A store in few lines: a maintenance, its claims, and a clock."""

    def __init__(self, window: Window, components: frozenset[int]) -> None:
        self.now = T0
        self.rows: dict[int, Row] = {}
        new = NewMaintenance("Work", "", components, window)
        self.maintenance = self._kept(planned(new, DIRECTORY, "m", "ann", self.now).maintenance, None)

    def take(self, kind: str, argument: object) -> None:
        """Take the step, if it is possible now."""
        if kind == "wait":
            assert isinstance(argument, int)
            self.now += argument * HOUR
            return
        before = self.maintenance
        try:
            decided = self._decided(kind, argument)
        except NotPossible:
            return
        if decided is not None:
            self.maintenance = self._kept(decided.maintenance, before)

    def _decided(self, kind: str, argument: object) -> Decided | None:
        each, now = self.maintenance, self.now
        if kind == "extend":
            assert isinstance(argument, int)
            return extended(each, each.window.end + argument * HOUR, "ann", now)
        if kind == "move":
            assert isinstance(argument, Window)
            return changed(each, Changes(window=argument), DIRECTORY, "ann", now)
        if kind == "of":
            assert isinstance(argument, frozenset)
            return changed(each, Changes(component_ids=argument), DIRECTORY, "ann", now)
        if kind == "by_hand":
            other = Changes(ends_by_clock=not each.ends_by_clock)
            return changed(each, other, DIRECTORY, "ann", now)
        if kind == "start":
            return started(each, "u", "ann", now)
        if kind == "finish":
            return finished(each, "u", "ann", now)
        if kind == "cancel":
            return cancelled(each, "", "u", "ann", now)
        return by_clock(each, "u", now)

    def _kept(self, after: Maintenance, before: Maintenance | None) -> Maintenance:
        after = settled(after, before, self.now)
        claims = [row.claim for row in self.rows.values() if not row.cancelled]
        counted = recount(claims, taken(after), after.component_ids, self.now)
        for key, row in self.rows.items():
            gone = counted.withdrawn.get(key, frozenset())
            claim = replace(
                row.claim,
                window=counted.cut.get(key, row.claim.window),
                component_ids=row.claim.component_ids - gone,
            )
            assert claim.window.clipped_to(row.claim.window) == claim.window, "claims only shrink"
            self.rows[key] = replace(row, claim=claim, cancelled=row.cancelled or key in counted.dropped)
        for window, components in counted.added:
            key = len(self.rows) + 1
            self.rows[key] = Row(Claim(key, window, components), self.now, window.start)
        return after

    def counted(self) -> list[Counted]:
        return [
            Counted(
                key,
                row.claim.window,
                row.announced_at,
                row.claim.component_ids,
                planned_start=row.planned_start,
            )
            for key, row in self.rows.items()
            if not row.cancelled
        ]


def hours_of(window: Window) -> set[datetime]:
    """Every whole hour: all times in these tests are whole hours."""
    return {T0 + number * HOUR for number in range(200) if window.contains(T0 + number * HOUR)}


@given(windows(), some_components, st.lists(steps(), max_size=12))
def test_claims_cover_what_is_taken_once_and_nothing_else(
    window: Window, components: frozenset[int], done: list[tuple[str, object]]
) -> None:
    world = World(window, components)
    for kind, argument in done:
        world.take(kind, argument)
        target = taken(world.maintenance)
        for component in COMPONENTS:
            mine = [each.window for each in world.counted() if component in each.component_ids]
            covered = [hour for each in mine for hour in hours_of(each)]
            assert len(covered) == len(set(covered)), "claimed twice"
            wanted = hours_of(target) if target and component in world.maintenance.component_ids else set()
            assert set(covered) <= wanted
            assert all(hour < world.now for hour in wanted - set(covered)), "only what was over is unclaimed"


@given(windows(), some_components, st.lists(steps(), max_size=12), st.integers(0, 30))
def test_nothing_is_excluded_that_was_not_announced_in_time(
    window: Window, components: frozenset[int], done: list[tuple[str, object]], notice_h: int
) -> None:
    """Against what was said and when: each hour, and when it was said first and without a break since."""
    world = World(window, components)
    notice = notice_h * HOUR
    said: dict[tuple[int, datetime], datetime] = {}
    for kind, argument in [("clock", None), *done]:
        world.take(kind, argument)
        target = taken(world.maintenance)
        now_said = {
            (component, hour)
            for component in world.maintenance.component_ids
            for hour in (hours_of(target) if target else ())
        }
        said = {key: said.get(key, world.now) for key in now_said}
    for component in COMPONENTS:
        for each in world.counted():
            if each.excludes(component, notice):
                for hour in hours_of(each.window):
                    assert said[component, hour] + notice <= hour


@given(windows(), some_components, st.lists(steps(), max_size=8), st.integers(0, 12), st.integers(0, 30))
def test_giving_time_back_never_excludes_more(
    window: Window, components: frozenset[int], done: list[tuple[str, object]], wait_h: int, notice_h: int
) -> None:
    """A late start, an early end and a cancellation are never to the operator's advantage."""
    world = World(window, components)
    for kind, argument in done:
        world.take(kind, argument)
    world.take("wait", wait_h) if wait_h else None
    before = excluded(world, notice_h * HOUR)
    if world.maintenance.is_under_way:
        world.take("finish", None)
    elif world.now >= world.maintenance.window.start:
        world.take("start", None)
    else:
        world.take("cancel", None)
    assert excluded(world, notice_h * HOUR) <= before


def excluded(world: World, notice: timedelta) -> set[tuple[int, datetime]]:
    return {
        (component, hour)
        for component in COMPONENTS
        for each in world.counted()
        if each.excludes(component, notice)
        for hour in hours_of(each.window)
    }


@given(windows(), some_components, st.lists(steps(), max_size=12))
def test_a_maintenance_always_makes_sense(
    window: Window, components: frozenset[int], done: list[tuple[str, object]]
) -> None:
    world = World(window, components)
    for kind, argument in done:
        before = world.maintenance
        world.take(kind, argument)
        each = world.maintenance
        assert (each.began_at is not None) == (each.is_under_way or each.stage is Stage.COMPLETED)
        assert (each.ended_at is not None) == (each.stage is Stage.COMPLETED)
        if each.began_at is not None and each.ended_at is not None:
            assert each.began_at <= each.ended_at
        assert each.updates[: len(before.updates)] == before.updates
        assert each.changes[: len(before.changes)] == before.changes
        assert not before.stage.is_over or each.stage is before.stage
        if before.began_at is not None:
            assert each.window.start == before.window.start
        assert [one.at for one in each.updates] == sorted(one.at for one in each.updates)


@given(windows(), some_components, st.lists(steps(), max_size=12))
def test_the_clock_comes_to_rest(
    window: Window, components: frozenset[int], done: list[tuple[str, object]]
) -> None:
    """However things went, a few rounds of the clock leave nothing more for it to do."""
    world = World(window, components)
    for kind, argument in done:
        world.take(kind, argument)
    world.take("wait", 8)
    for _ in range(3):
        world.take("clock", None)
    assert by_clock(world.maintenance, "u", world.now) is None


@given(windows(), st.lists(steps(), max_size=10))
def test_figures_follow_from_claims_alone(window: Window, done: list[tuple[str, object]]) -> None:
    """The statement's excluded time is what a plain count of excluded hours says."""
    world = World(window, frozenset({1}))
    for kind, argument in done:
        world.take(kind, argument)
    whole = Window(T0, T0 + 200 * HOUR)
    lines: Mapping[int, Sequence[object]] = {1: ()}
    terms = Terms(99, notice=5 * HOUR)  # type: ignore[arg-type]
    made = statement(lines, world.counted(), terms, whole, whole.end)  # type: ignore[arg-type]
    assert made.figure.tally.excluded == len({hour for _, hour in excluded(world, 5 * HOUR) if _ == 1}) * HOUR


def test_saying_something_takes_no_time_and_gives_none_back() -> None:
    world = World(Window(T0 + HOUR, T0 + 3 * HOUR), frozenset({1}))
    before = world.counted()
    said = posted(world.maintenance, "Soon.", Stage.SCHEDULED, "u", "ann", world.now)
    assert said is not None
    world._kept(said.maintenance, world.maintenance)
    assert world.counted() == before
