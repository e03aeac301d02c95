"""Freezing, correcting and verifying months, over the stores in memory."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from holdfast.adapters.memory.availability import MemoryAvailability
from holdfast.adapters.memory.months import MemoryMonths
from holdfast.availability.freezing import SETTLE, FrozenMonth
from holdfast.availability.inventory import Inventory
from holdfast.availability.model import State, Transition
from holdfast.availability.months import MonthKeeper, verified
from holdfast.availability.ports import Batch
from holdfast.availability.reading import Reader
from holdfast.availability.verdicts import CheckState
from holdfast.estate.checks import HttpCheck
from holdfast.estate.model import Agreement, Cluster, Component, Customer, Estate, Region
from holdfast.estate.ports import Registered
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.windows import Window

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BEGAN = datetime(2026, 2, 10, tzinfo=UTC)
MARCH_ENDS = datetime(2026, 3, 31, 22, tzinfo=UTC)
"""Midnight in Berlin, where summer time began on the 29th."""
MARCH = Window(datetime(2026, 2, 28, 23, tzinfo=UTC), MARCH_ENDS)
UP, DOWN, UNKNOWN = State.OPERATIONAL, State.MAJOR_OUTAGE, State.UNKNOWN


def agreement(**terms: Any) -> Agreement:
    standard = {"customer": "acme", "name": "Gold", "components": ("eu/web",), "time_zone": "Europe/Berlin"}
    return Agreement(**{**standard, "objective": Decimal("99.9"), **terms})


def inventory(agreements: Mapping[str, Agreement]) -> Inventory:
    web = Component(name="Web", checks={"page": HttpCheck(url="http://target/")})
    return Inventory(
        Estate(
            regions={"here": Region(name="Here")},
            clusters={"eu": Cluster(name="EU", region="here", components={"web": web, "api": web})},
            customers={"acme": Customer(name="Acme")},
            agreements=dict(agreements),
        ),
        Registered(
            {("eu", "web"): 1, ("eu", "api"): 2}, {("eu", "web", "page"): 10, ("eu", "api", "page"): 20}, 1
        ),
    )


class Scene:
    """Two components that are up since February, a keeper, and a clock that stands where it is put."""

    def __init__(self, **agreements: Agreement) -> None:
        self.clock = ManualClock(BEGAN)
        self.store = MemoryAvailability({10: 1, 20: 2}, self.clock)
        self.months = MemoryMonths(self.clock, {1: BEGAN, 2: BEGAN})
        self.inventory = inventory(agreements or {"gold": agreement()})
        self.told: list[tuple[str, Mapping[str, object]]] = []
        self.reader = Reader(self.store, self.clock, lambda: self.inventory, self.months)
        self.keeper = self.another_keeper()

    def another_keeper(self) -> MonthKeeper:
        return MonthKeeper(
            self.store,
            self.months,
            self.clock,
            lambda: self.inventory,
            on_event=lambda event, facts: self.told.append((event, facts)),
        )

    async def line(
        self, *changes: tuple[datetime, State], heard: datetime, check: int = 10, sample: bool = False
    ) -> None:
        """Transitions, and results until `heard`."""
        transitions = [Transition(check, at, state, state.label, sample) for at, state in changes]
        states = await self.store.check_states()
        if transitions:
            known = CheckState(check, changes[-1][1], changes[-1][0], heard, heard, heard)
        else:
            known = CheckState(check, states[check].state, states[check].since, heard, heard, heard)
        await self.store.record(Batch([], transitions, [known]))

    async def up(self, heard: datetime) -> None:
        await self.line((BEGAN, UP), heard=heard)
        await self.line((BEGAN, UP), heard=heard, check=20)


@pytest.fixture
async def scene() -> Scene:
    scene = Scene()
    await scene.up(heard=MARCH_ENDS + 90 * DAY)
    return scene


def brief(row: FrozenMonth) -> tuple[str, int | None, str]:
    return row.month, row.corrects, row.figures["total"]["availability_percent"]


async def test_a_month_is_frozen_once_it_has_closed_in_the_agreements_zone(scene: Scene) -> None:
    scene.clock.jump_to(MARCH_ENDS + SETTLE - timedelta(microseconds=1))
    assert [row.month for row in await scene.keeper.freeze_due()] == ["2026-02"]
    scene.clock.jump_to(MARCH_ENDS + SETTLE)
    (march,) = await scene.keeper.freeze_due()
    assert (march.month, march.window) == ("2026-03", MARCH)
    assert march.figures["total"]["counted_us"] == 743 * 3600 * 10**6, "summer time began in it"
    assert march.terms["time_zone"] == "Europe/Berlin"
    assert scene.told[-1] == (
        "month_frozen",
        {
            "agreement": "gold",
            "month": "2026-03",
            "availability_percent": "100",
            "intervals_sha256": march.intervals_sha256,
        },
    )


async def test_each_zone_has_its_own_border() -> None:
    zones = {"east": "Pacific/Auckland", "west": "America/Los_Angeles", "utc": "UTC"}
    scene = Scene(**{key: agreement(time_zone=zone) for key, zone in zones.items()})
    await scene.up(heard=MARCH_ENDS + 90 * DAY)
    border = datetime(2026, 4, 1, tzinfo=UTC)
    # One hour of downtime around midnight in UTC: only there it is in both months.
    await scene.line((border - HOUR / 2, DOWN), (border + HOUR / 2, UP), heard=border + 40 * DAY)
    scene.clock.jump_to(border + 35 * DAY)
    await scene.keeper.freeze_due()
    down = {
        (row.agreement, row.month): row.figures["total"]["downtime_us"] / 3.6e9
        for row in await scene.months.months()
    }
    assert {key: hours for key, hours in down.items() if key[1] in ("2026-03", "2026-04")} == {
        ("east", "2026-03"): 0,
        ("east", "2026-04"): 1,
        ("west", "2026-03"): 1,
        ("west", "2026-04"): 0,
        ("utc", "2026-03"): 0.5,
        ("utc", "2026-04"): 0.5,
    }


async def test_freezing_again_changes_nothing(scene: Scene) -> None:
    scene.clock.jump_to(MARCH_ENDS + DAY)
    first = await scene.keeper.freeze_due()
    assert [row.month for row in first] == ["2026-02", "2026-03"]
    assert await scene.keeper.freeze_due() == []
    assert await scene.another_keeper().freeze_due() == []
    assert await scene.keeper.mend() == []
    assert len(await scene.months.months()) == 2


async def test_two_at_once_write_each_row_once(scene: Scene) -> None:
    scene.clock.jump_to(MARCH_ENDS + DAY)
    done = await asyncio.gather(*(scene.another_keeper().freeze_due() for _ in range(4)))
    assert sorted(row.month for rows in done for row in rows) == ["2026-02", "2026-03"]
    await _mend_march(scene)
    done = await asyncio.gather(*(scene.another_keeper().mend() for _ in range(4)))
    assert sum(len(rows) for rows in done) == 1
    assert len(scene.told) == 3


async def _mend_march(scene: Scene) -> None:
    """An hour in March turns out to have been maintenance that was announced in time."""
    was = scene.clock.now()
    scene.clock.jump_to(MARCH_ENDS - 20 * DAY)
    scene.store.announce(Window(MARCH_ENDS - 10 * DAY, MARCH_ENDS - 10 * DAY + HOUR), [1], "late")
    scene.clock.jump_to(was)


async def test_late_results_make_a_chain_of_corrections(scene: Scene) -> None:
    late = Scene()
    await late.line((BEGAN, UP), heard=MARCH_ENDS - 2 * HOUR)
    late.clock.jump_to(MARCH_ENDS + DAY)
    await late.keeper.freeze_due()
    (first,) = await late.months.months_of("gold", "2026-03")
    assert first.figures["total"]["unknown_us"] == 2 * 3600 * 10**6
    # The agent is back: it was up for one of the two hours, and down in the other.
    await late.line((MARCH_ENDS - HOUR, DOWN), heard=MARCH_ENDS - HOUR / 2)
    (second,) = await late.keeper.mend()
    await late.line(heard=MARCH_ENDS + 3 * DAY)
    (third,) = await late.keeper.mend()
    assert await late.keeper.mend() == []
    chain = await late.months.months_of("gold", "2026-03")
    assert [row.corrects for row in chain] == [None, chain[0].id, chain[1].id]
    assert [row.figures["total"]["downtime_us"] / 3.6e9 for row in chain] == [0, 0.5, 1]
    assert [row.intervals_sha256 for row in chain[1:]] == [second.intervals_sha256, third.intervals_sha256]
    assert late.told[-1] == (
        "month_corrected",
        {
            "agreement": "gold",
            "month": "2026-03",
            "availability_percent": third.figures["total"]["availability_percent"],
            "intervals_sha256": third.intervals_sha256,
            "corrects": chain[1].id,
        },
    )
    report = await late.reader.agreement("gold", MARCH_ENDS - DAY)
    assert report is not None
    assert [row.id for row in report.frozen] == [chain[2].id, chain[1].id, chain[0].id]


async def test_a_changed_agreement_changes_no_month_that_has_closed(scene: Scene) -> None:
    scene.clock.jump_to(MARCH_ENDS + DAY)
    await scene.keeper.freeze_due()
    changed = agreement(components=("eu/*",), objective=Decimal(95), notice=timedelta(), time_zone="UTC")
    scene.inventory = inventory({"gold": changed})
    keeper = scene.another_keeper()
    assert await keeper.freeze_due() == []
    assert await keeper.mend() == []
    scene.clock.jump_to(datetime(2026, 5, 1, 1, tzinfo=UTC))
    (april,) = await keeper.freeze_due()
    assert (april.month, april.window.start) == ("2026-04", datetime(2026, 4, 1, tzinfo=UTC))
    assert list(april.terms["components"]) == ["eu/web", "eu/api"]


async def test_an_agreement_that_was_removed_is_still_mended_and_verified(scene: Scene) -> None:
    scene.clock.jump_to(MARCH_ENDS + DAY)
    await scene.keeper.freeze_due()
    scene.inventory = inventory({})
    await _mend_march(scene)
    (row,) = await scene.keeper.mend()
    assert row.month == "2026-03"
    assert len(await verified(scene.store, scene.months, scene.clock.now(), "gold")) == 3


async def test_a_clock_set_back_over_the_months_end_freezes_and_corrects_nothing(scene: Scene) -> None:
    scene.clock.jump_to(MARCH_ENDS + DAY)
    await scene.keeper.freeze_due()
    for back in (timedelta(), 3 * HOUR, 20 * DAY, 60 * DAY):
        scene.clock.jump_to(MARCH_ENDS - back)
        assert await scene.another_keeper().freeze_due() == []
        assert await scene.another_keeper().mend() == []
    scene.clock.jump_to(MARCH_ENDS + 2 * DAY)
    assert await scene.another_keeper().freeze_due() == []
    assert await scene.another_keeper().mend() == []


async def test_nothing_is_frozen_before_the_first_word_about_the_components() -> None:
    scene = Scene(gold=agreement(components=("eu/api",)))
    scene.months = MemoryMonths(scene.clock, {1: BEGAN})
    scene.clock.jump_to(MARCH_ENDS + DAY)
    assert await scene.another_keeper().freeze_due() == []
    scene.months = MemoryMonths(scene.clock, {1: BEGAN, 2: MARCH.start + DAY})
    assert [row.month for row in await scene.another_keeper().freeze_due()] == ["2026-03"]


async def test_a_month_of_silence_between_two_others_is_frozen_too(scene: Scene) -> None:
    silent = Scene()
    await silent.line((BEGAN, UP), heard=MARCH.start - DAY)
    silent.clock.jump_to(MARCH_ENDS + DAY)
    _, march = await silent.keeper.freeze_due()
    assert march.figures["total"]["availability_percent"] is None
    assert march.figures["met"] is None


async def test_a_rolling_window_never_closes() -> None:
    scene = Scene(gold=agreement(window=30 * DAY))
    await scene.up(heard=MARCH_ENDS + 90 * DAY)
    scene.clock.jump_to(MARCH_ENDS + 60 * DAY)
    assert await scene.keeper.freeze_due() == []
    report = await scene.reader.agreement("gold", MARCH_ENDS)
    assert report is not None
    assert report.frozen == ()


async def test_sample_history_is_frozen_and_says_so() -> None:
    scene = Scene()
    await scene.line((BEGAN, UP), heard=MARCH.start + DAY, sample=True)
    await scene.line((MARCH.start + DAY, UP), heard=MARCH_ENDS + 40 * DAY)
    scene.clock.jump_to(MARCH_ENDS + 35 * DAY)
    rows = await scene.keeper.freeze_due()
    assert [(row.month, row.figures["sample"]) for row in rows] == [
        ("2026-02", True),
        ("2026-03", True),
        ("2026-04", False),
    ]


async def test_verifying_tells_rows_that_match_were_corrected_or_do_neither(scene: Scene) -> None:
    scene.clock.jump_to(MARCH_ENDS + DAY)
    await scene.keeper.freeze_due()
    found = await verified(scene.store, scene.months, scene.clock.now())
    assert [(each.matches, each.corrected, each.is_sound) for each in found] == [(True, False, True)] * 2
    await _mend_march(scene)
    _, march = await verified(scene.store, scene.months, scene.clock.now())
    assert (march.matches, march.is_sound) == (False, False), "nobody corrected it yet"
    await scene.keeper.mend()
    found = await verified(scene.store, scene.months, scene.clock.now())
    assert [(each.row.month, each.matches, each.corrected, each.is_sound) for each in found] == [
        ("2026-02", True, False, True),
        ("2026-03", False, True, True),
        ("2026-03", True, False, True),
    ]


async def test_figures_that_were_tampered_with_are_found(scene: Scene) -> None:
    scene.clock.jump_to(MARCH_ENDS + DAY)
    await scene.keeper.freeze_due()
    (_, march) = await scene.months.months()
    march.figures["total"]["downtime_us"] = 1  # type: ignore[index]
    _, judged = await verified(scene.store, scene.months, scene.clock.now())
    assert judged.row.intervals_sha256 == judged.recomputed.month.intervals_sha256
    assert not judged.is_sound
