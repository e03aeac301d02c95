"""Key stores that are away: told once to operators, told when they are back, and caught up with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from holdfast.adapters.memory.ledger.persons import MemoryErasures
from holdfast.adapters.vault.person_keys import FolderKeys
from holdfast.bootstrap.ledger.alarms import alarm_of
from holdfast.bootstrap.ledger.persons import stores_of
from holdfast.bootstrap.ledger.upkeep import _Stores
from holdfast.bootstrap.ledger.working import Working
from holdfast.estate.ledger import Ledger
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import ManualClock
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.errors import KeysAway
from holdfast.ledger.persons.erasure import Eraser
from holdfast.ledger.persons.keys import KeyRing

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class Told:
    """What operators would be told."""

    events: list[str] = field(default_factory=list)

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        entry = JournalEntry(NOON, "ledger", f"ledger.{event}", facts)
        alarm = alarm_of(entry)
        self.events.append(event + (" (alarm)" if alarm else ""))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "holdfast.yaml", tmp_path / "data")


@pytest.fixture
def declared() -> Ledger:
    secret: Any = "env:LEDGER_KEY"
    return Ledger(name="ledger.example", signing_key=secret, person_keys=("west", "east", "west"))


async def test_a_store_that_is_away_is_told_once_and_set_right_when_it_is_back(
    place: Place, declared: Ledger, tmp_path: Path
) -> None:
    told, erasures, clock = Told(), MemoryErasures(), ManualClock(NOON)
    working = cast(
        "Working",
        SimpleNamespace(
            ledger=SimpleNamespace(declared=declared, pool=None), place=place, tell=told, clock=clock
        ),
    )
    stores = _Stores(working)
    stores._erasures = cast("Any", erasures)
    assert len(stores._ring.stores) == 2
    await FolderKeys(tmp_path / "west", make=True).everything()
    assert (await KeyRing(stores._ring.stores).keys("acme", ["p-1"], make=True))["p-1"].keys
    for _ in range(2):
        with pytest.raises(KeysAway, match="east"):
            await stores.compare(working)
    assert told.events == ["person_keys_away (alarm)"]
    await Eraser(erasures, stores._ring, clock).erase("acme", "p-1", actor="o", reason="r")
    with pytest.raises(KeysAway, match="1 person is not erased yet"):
        await stores.erase(working)

    await FolderKeys(tmp_path / "east", make=True).everything()
    await stores.erase(working)
    assert await erasures.open() == []
    await stores.compare(working)
    assert told.events == ["person_keys_away (alarm)", "person_keys_back (alarm)"]


async def test_only_the_folder_that_nobody_declared_is_made(place: Place, declared: Ledger) -> None:
    usual = stores_of(declared.model_copy(update={"person_keys": ()}), place)
    assert [each.name for each in usual] == [str(place.data_dir / "ledger" / "person-keys")]
    assert await usual[0].everything() == {}
    for store in stores_of(declared, place):
        with pytest.raises(KeysAway):
            await store.everything()
    for store in stores_of(declared, place, make=True):
        assert await store.everything() == {}


async def test_an_erasure_that_stays_open_is_a_figure_and_after_an_hour_an_alarm(
    place: Place, declared: Ledger, tmp_path: Path
) -> None:
    told, erasures, clock = Told(), MemoryErasures(), ManualClock(NOON)
    working = cast(
        "Working",
        SimpleNamespace(
            ledger=SimpleNamespace(declared=declared, pool=None), place=place, tell=told, clock=clock
        ),
    )
    stores = _Stores(working)
    stores._erasures = cast("Any", erasures)
    await FolderKeys(tmp_path / "west", make=True).everything()
    assert "holdfast_ledger_erasures_open 0\n" in await stores.figures()
    await Eraser(erasures, stores._ring, clock).erase("acme", "p-1", actor="o", reason="r")
    for minutes, events in ((0, []), (59, []), (60, ["erasures_overdue (alarm)"]), (61, None)):
        clock.jump_to(NOON + timedelta(minutes=minutes))
        with pytest.raises(KeysAway):
            await stores.erase(working)
        assert told.events == (events if events is not None else ["erasures_overdue (alarm)"])
    figures = await stores.figures()
    assert "holdfast_ledger_erasures_open 1\n" in figures
    assert figures.endswith(f"holdfast_ledger_oldest_open_erasure_seconds {61 * 60}")

    await FolderKeys(tmp_path / "east", make=True).everything()
    await stores.erase(working)
    assert told.events == ["erasures_overdue (alarm)", "erasures_carried_out (alarm)"]
    assert "holdfast_ledger_erasures_open 0\n" in await stores.figures()


async def test_what_a_legal_hold_keeps_from_being_erased_alarms_nobody(
    place: Place, declared: Ledger
) -> None:
    told, erasures, clock = Told(), MemoryErasures(), ManualClock(NOON)
    working = cast(
        "Working",
        SimpleNamespace(
            ledger=SimpleNamespace(declared=declared, pool=None), place=place, tell=told, clock=clock
        ),
    )
    stores = _Stores(working)
    stores._erasures = cast("Any", erasures)
    await Eraser(erasures, stores._ring, clock).erase("acme", "p-1", actor="o", reason="r")
    erasures.held["acme"] = "court"
    clock.jump_to(NOON + timedelta(days=3))
    await stores.erase(working)
    assert told.events == []
    assert "holdfast_ledger_erasures_open 1\n" in await stores.figures()
