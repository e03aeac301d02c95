import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from estate_files import VALID, any_condition, edited

from holdfast.estate.errors import EstateError
from holdfast.estate.model import Estate
from holdfast.estate.reload import EstateWatcher, Reading

OTHER = edited(("name: Europe", "name: Elsewhere"))
BROKEN = edited(("name: Europe", "nmae: Europe"))
MANY_LOOKS = 0.25  # seconds, against a look every 5 ms


class Watching:
    """The readings of a watcher, one by one."""

    def __init__(self, watcher: EstateWatcher) -> None:
        self.watcher = watcher
        self._told: asyncio.Queue[Reading] = asyncio.Queue()

    async def follow(self) -> None:
        async for reading in self.watcher.readings():
            self._told.put_nowait(reading)

    async def next(self) -> str:
        """The name of the only cluster, or the first problem."""
        outcome = (await self._told.get()).outcome
        return outcome.clusters["eu"].name if isinstance(outcome, Estate) else outcome.problems[0].message

    async def nothing_more(self) -> bool:
        await asyncio.sleep(MANY_LOOKS)
        return self._told.empty()


@asynccontextmanager
async def watching(path: Path, *, every: timedelta = timedelta(milliseconds=5)) -> AsyncIterator[Watching]:
    told = Watching(EstateWatcher(path, any_condition, every=every, settle=timedelta(milliseconds=2)))
    task = asyncio.create_task(told.follow())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def written(folder: Path, text: str, name: str = "holdfast.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


async def test_each_change_is_told_once(tmp_path: Path) -> None:
    path = written(tmp_path, VALID)
    async with watching(path) as told:
        assert await told.next() == "Europe"
        path.write_text(OTHER)
        assert await told.next() == "Elsewhere"
        os.utime(path)
        path.write_text(OTHER)
        assert await told.nothing_more()


async def test_a_reading_carries_the_hash_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, VALID)
    reading = await anext(EstateWatcher(path, any_condition).readings())
    assert isinstance(reading.outcome, Estate)
    assert reading.sha256 == hashlib.sha256(VALID.encode()).hexdigest()


async def test_a_broken_file_is_told_and_so_is_its_repair(tmp_path: Path) -> None:
    path = written(tmp_path, VALID)
    async with watching(path) as told:
        assert await told.next() == "Europe"
        path.write_text(BROKEN)
        assert await told.next() == "unknown key"
        path.write_text(VALID)
        assert await told.next() == "Europe"
        assert await told.nothing_more()


async def test_a_file_that_goes_and_comes_back(tmp_path: Path) -> None:
    path = written(tmp_path, VALID)
    async with watching(path) as told:
        assert await told.next() == "Europe"
        path.unlink()
        assert await told.next() == "there is no such file"
        assert await told.nothing_more()
        path.write_text(VALID)
        assert await told.next() == "Europe"


async def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    async with watching(tmp_path / "holdfast.yaml") as told:
        assert await told.next() == "there is no such file"
        written(tmp_path, VALID)
        assert await told.next() == "Europe"


async def test_an_editor_renames_a_new_file_over_the_old_one(tmp_path: Path) -> None:
    path = written(tmp_path, VALID)
    async with watching(path) as told:
        assert await told.next() == "Europe"
        written(tmp_path, OTHER, "holdfast.yaml~").rename(path)
        assert await told.next() == "Elsewhere"


async def test_a_config_map_turns_its_link(tmp_path: Path) -> None:
    """Kubernetes mounts ..data as a link to a dated folder, and renames another link over it."""
    for folder, text in (("..one", VALID), ("..two", OTHER)):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, text)
    (tmp_path / "..data").symlink_to("..one")
    path = tmp_path / "holdfast.yaml"
    path.symlink_to("..data/holdfast.yaml")
    async with watching(path) as told:
        assert await told.next() == "Europe"
        (tmp_path / "..data_tmp").symlink_to("..two")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        assert await told.next() == "Elsewhere"


async def test_a_change_that_the_clock_does_not_show_is_seen(tmp_path: Path) -> None:
    """The same size, and written right after a look: a coarse file clock may show the same time."""
    path = written(tmp_path, VALID)
    async with watching(path) as told:
        assert await told.next() == "Europe"
        path.write_text(edited(("name: Europe", "name: Aurora")))
        assert await told.next() == "Aurora"


async def test_a_poke_looks_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, VALID)
    async with watching(path, every=timedelta(hours=1)) as told:
        assert await told.next() == "Europe"
        path.write_text(OTHER)
        assert await told.nothing_more()
        told.watcher.poke()
        assert await told.next() == "Elsewhere"
        told.watcher.poke()
        assert await told.nothing_more()


async def test_a_poke_judges_what_lies_beside_the_file_anew(tmp_path: Path) -> None:
    path = written(tmp_path, edited(("regions:", "site: {logo: logo.svg}\nregions:")))
    async with watching(path) as told:
        assert await told.next() == "there is no such file"
        (tmp_path / "logo.svg").write_text("<svg/>")
        assert await told.nothing_more()
        told.watcher.poke()
        assert await told.next() == "Europe"


async def test_a_half_written_file_is_not_believed(tmp_path: Path) -> None:
    """The first half of a file is often a valid estate, with less in it."""
    first_half = VALID[: VALID.index("customers:")]
    path = written(tmp_path, first_half)
    still_to_come = [VALID[: VALID.index("agreements:")], VALID]

    async def the_writer_goes_on(_seconds: float) -> None:
        if still_to_come:
            path.write_text(still_to_come.pop(0))

    watcher = EstateWatcher(path, any_condition, pause=the_writer_goes_on)
    reading = await anext(watcher.readings())
    assert isinstance(reading.outcome, Estate)
    assert list(reading.outcome.agreements) == ["gold"]


async def test_problems_are_told_never_raised(tmp_path: Path) -> None:
    reading = await anext(EstateWatcher(tmp_path, any_condition).readings())
    assert isinstance(reading.outcome, EstateError)
    assert reading.sha256 == ""
