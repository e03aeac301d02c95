"""What the lab keeps in its directory."""

import asyncio
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.lab.errors import LabBusyError, SourcesMissingError
from holdfast.lab.model import Damage
from holdfast.lab.place import LOG_KEPT_BYTES, LOG_LIMIT_BYTES, Place, Record
from holdfast.lab.processes import Process
from holdfast.lab.sources import find_printcloud

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "holdfast" / "lab")
    place.prepare()
    return place


@pytest.mark.parametrize(
    "record",
    [
        Record(NOON),
        Record(NOON, Process(42, 1234, "boot")),
        Record(NOON, damage=Damage.KILL),
        Record(NOON, Process(42, 1234, "boot"), Damage.HANG),
    ],
)
def test_a_record_is_read_back_as_it_was_written(place: Place, record: Record) -> None:
    place.write_record("eu-api", record)
    assert place.record("eu-api") == record
    assert place.record("eu2-api") is None
    place.forget("eu-api")
    place.forget("eu-api")
    assert place.record("eu-api") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"since": "yesterday", "process": null, "damage": null}',
        '{"since": "2026-11-22T12:00:00+00:00"}',
        json.dumps({"since": NOON.isoformat(), "process": {"pid": "x"}, "damage": None}),
        json.dumps({"since": NOON.isoformat(), "process": 7, "damage": None}),
        json.dumps({"since": NOON.isoformat(), "process": None, "damage": "flood"}),
    ],
)
def test_a_record_that_makes_no_sense_counts_as_none(place: Place, text: str) -> None:
    (place.root / "state" / "eu-api.json").write_text(text)
    assert place.record("eu-api") is None


def test_everything_belongs_to_the_owner_alone(place: Place) -> None:
    place.write_record("eu-api", Record(NOON))
    place.secret("one")
    place.write_secret("two", "hush")
    for path in (place.root.parent, place.root, *place.root.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_secret_is_made_once(place: Place) -> None:
    first = place.secret("link")
    assert len(first) >= 32
    assert Place(place.root).secret("link") == first
    assert place.secret("other") != first
    assert sorted(path.name for path in (place.root / "secrets").iterdir()) == ["link", "other"]


def test_a_long_log_keeps_its_end_while_somebody_appends(place: Place) -> None:
    file = place.log("eu-api")
    with file.open("ab", buffering=0) as service:
        service.write(b"early\n" * (LOG_LIMIT_BYTES // 6 + 1) + b"late\n")
        assert place.log("eu-api") == file
        assert file.stat().st_size == LOG_KEPT_BYTES
        service.write(b"latest\n")
    assert place.log_end("eu-api", 12) == "late\nlatest\n"
    assert place.log_end("nobody", 12) == ""


async def test_the_lock_admits_one_at_a_time_and_names_its_holder(place: Place) -> None:
    told = asyncio.Event()
    waiting = told.set
    async with place.locked(0, waiting):
        with pytest.raises(LabBusyError, match=rf"process {os.getpid()}"):
            await _enter(Place(place.root), 0, waiting)
        assert not told.is_set()
        second = asyncio.create_task(_enter(place, 60, waiting))
        await told.wait()
        assert not second.done()
    await second


async def _enter(place: Place, timeout_s: float, waiting: Callable[[], None]) -> None:
    async with place.locked(timeout_s, waiting):
        pass


def test_the_sample_service_is_found_here_and_missed_elsewhere(tmp_path: Path) -> None:
    assert (find_printcloud() / "holdfast.yaml").is_file()
    with pytest.raises(SourcesMissingError, match=str(tmp_path)):
        find_printcloud(tmp_path)
