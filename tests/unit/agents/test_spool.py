"""The agent's spool: what is in it survives, nothing goes silently, and it stays within bounds."""

import json
import resource
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.agent.spool import DiskSpool, SpoolTaken
from holdfast.availability.ingest import Losses
from holdfast.availability.model import Outcome, Result, Timings

START = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
ALL = 1_000_000


def result(number: int, outcome: Outcome = Outcome.GOOD, probe: int = 1) -> Result:
    at = START + timedelta(seconds=number, microseconds=number % 7)
    reason = "" if outcome is Outcome.GOOD else "status was 503 — “nicht gut”"
    return Result(probe, at, outcome, Timings(1500 + number, 1, None, 3), reason, 1 + number % 2)


def results(first: int, count: int) -> list[Result]:
    return [result(number) for number in range(first, first + count)]


class Folder:
    """A spool's folder, and the process that works in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.opened: DiskSpool | None = None

    def open(self, **bounds: int) -> DiskSpool:
        self.opened = DiskSpool(self.path, on_event=lambda *event: self.events.append(event), **bounds)
        return self.opened

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def reopen(self, **bounds: int) -> DiskSpool:
        """What the next process finds. A killed one leaves nothing else than a closed one does."""
        self.close()
        return self.open(**bounds)

    @property
    def files(self) -> list[Path]:
        return sorted(self.path.glob("*.spool"))

    @property
    def told(self) -> list[str]:
        return [name for name, _ in self.events]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path / "spool")
    yield folder
    folder.close()


def test_results_come_out_as_they_went_in_and_once(folder: Folder) -> None:
    spool = folder.open()
    spool.put(results(0, 3))
    spool.put([result(3, Outcome.FAILED), result(4, Outcome.PARTIAL), result(5, Outcome.DEGRADED)])
    assert spool.waiting == 6

    parcel = spool.next(ALL)

    assert list(parcel.results) == [
        *results(0, 3), result(3, Outcome.FAILED), result(4, Outcome.PARTIAL), result(5, Outcome.DEGRADED),
    ]  # fmt: skip
    assert parcel.losses is None
    assert list(spool.next(ALL).results) == list(parcel.results)
    spool.delivered(parcel)
    assert spool.waiting == 0
    assert spool.next(ALL).is_empty
    assert folder.files == []


def test_what_comes_while_a_parcel_is_under_way_stays(folder: Folder) -> None:
    spool = folder.open()
    spool.put(results(0, 2))
    parcel = spool.next(ALL)
    spool.put(results(2, 2))

    spool.delivered(parcel)

    assert list(spool.next(ALL).results) == results(2, 2)


def test_half_a_file_can_be_delivered(folder: Folder) -> None:
    spool = folder.open()
    spool.put(results(0, 10))

    spool.delivered(spool.next(3))
    assert list(spool.next(4).results) == results(3, 4)
    spool.delivered(spool.next(4))
    assert list(spool.next(ALL).results) == results(7, 3)
    spool.delivered(spool.next(ALL))

    assert folder.files == []


def test_what_was_not_delivered_is_found_by_the_next_process(folder: Folder) -> None:
    spool = folder.open()
    for first in range(0, 5000, 500):
        spool.put(results(first, 500))
    spool.delivered(spool.next(1000))

    spool = folder.reopen()
    spool.put(results(5000, 1))

    assert spool.waiting == 4001
    assert list(spool.next(ALL).results) == [*results(1000, 4000), *results(5000, 1)]
    assert {path.stat().st_mode & 0o777 for path in folder.files} == {0o600}


def test_a_line_that_was_cut_short_costs_itself_only(folder: Folder) -> None:
    folder.open().put(results(0, 3))
    folder.close()
    whole = folder.files[0].read_bytes()
    for cut in range(1, len(whole.splitlines(keepends=True)[-1])):
        folder.files[0].write_bytes(whole[:-cut])
        spool = folder.open()
        assert list(spool.next(ALL).results) == results(0, 2), cut
        folder.close()
    assert "spool_lines_dropped" in folder.told


def test_a_damaged_line_in_the_middle_costs_itself_only(folder: Folder) -> None:
    folder.open().put(results(0, 3))
    folder.close()
    lines = folder.files[0].read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"good", b"goot", 1)
    folder.files[0].write_bytes(b"".join(lines))

    assert list(folder.open().next(ALL).results) == [result(0), result(2)]
    assert folder.events == [("spool_lines_dropped", {"file": folder.files[0].name, "lines": 1})]


def test_two_agents_do_not_share_a_spool(folder: Folder) -> None:
    folder.open()
    with pytest.raises(SpoolTaken, match="another agent"):
        DiskSpool(folder.path, on_event=lambda *_: None)


# --- bounds


def given_up_in(spool: DiskSpool) -> int:
    losses = spool.next(ALL).losses
    assert losses is not None
    return sum(loss.results for loss in losses.by_probe)


def counted(losses: Losses | None) -> dict[int, tuple[int, int]]:
    assert losses is not None
    return {loss.check_id: (loss.good, loss.failed) for loss in losses.by_probe}


def test_a_full_spool_counts_its_oldest_results_and_tells_of_them(folder: Folder) -> None:
    spool = folder.open(most_bytes=300_000)
    every: list[Result] = []
    for first in range(0, 20_000, 500):
        fresh = [
            result(number, Outcome.FAILED if number % 10 == 0 else Outcome.GOOD, probe=1 + number % 2)
            for number in range(first, first + 500)
        ]
        every += fresh
        spool.put(fresh)
        spool.next(1)  # as an agent tries again and again while its controller is away
    assert sum(path.stat().st_size for path in folder.files) <= 300_000 + 2 * 256 * 1024

    told = spool.next(ALL)
    assert told.results == ()
    assert told.losses is not None
    given_up = sum(loss.results for loss in told.losses.by_probe)
    lost = every[:given_up]
    assert counted(told.losses) == {
        probe: (
            sum(r.check_id == probe and r.outcome is Outcome.GOOD for r in lost),
            sum(r.check_id == probe and r.outcome is Outcome.FAILED for r in lost),
        )
        for probe in (1, 2)
    }
    assert min(loss.first for loss in told.losses.by_probe) == lost[0].at
    assert max(loss.last for loss in told.losses.by_probe) == lost[-1].at
    assert "results_given_up" in folder.told

    spool.delivered(told)
    rest: list[Result] = []
    while not (parcel := spool.next(5000)).is_empty:
        rest += parcel.results
        spool.delivered(parcel)
    assert [*lost, *rest] == every


def test_what_was_given_up_is_not_forgotten_by_a_restart_nor_told_twice(folder: Folder) -> None:
    spool = folder.open(most_bytes=100_000)
    spool.put(results(0, 4000))
    first = spool.next(ALL).losses

    spool = folder.reopen(most_bytes=100_000)
    assert spool.next(ALL).losses == first
    spool.put(results(4000, 4000))
    grown = spool.next(ALL)

    assert first is not None
    assert grown.losses is not None
    assert grown.losses.id == first.id
    assert sum(loss.results for loss in grown.losses.by_probe) > sum(o.results for o in first.by_probe)
    spool.delivered(grown)
    assert folder.reopen().next(ALL).losses is None


def test_losses_that_grew_while_they_were_under_way_are_told_again(folder: Folder) -> None:
    spool = folder.open(most_bytes=100_000)
    spool.put(results(0, 4000))
    under_way = spool.next(ALL)
    spool.put(results(4000, 4000))
    spool.next(ALL)

    spool.delivered(under_way)

    again = spool.next(ALL).losses
    assert again is not None
    assert under_way.losses is not None
    assert again.id == under_way.losses.id


def test_a_kill_between_counting_and_deleting_doubles_nothing(folder: Folder, tmp_path: Path) -> None:
    spool = folder.open(most_bytes=ALL)
    spool.put(results(0, 4000))
    kept = {path.name: path.read_bytes() for path in folder.files}
    spool = folder.reopen(most_bytes=100_000)
    spool.put(results(4000, 1))
    given_up = given_up_in(spool)
    folder.close()
    for name, body in kept.items():  # as if the kill had come before the first of them was deleted
        (folder.path / name).write_bytes(body)

    spool = folder.open()

    assert spool.waiting == 4001 - given_up
    assert given_up_in(spool) == given_up


# --- no room


def test_without_room_on_the_disk_results_wait_in_memory_and_keep_their_order(folder: Folder) -> None:
    spool = folder.open()
    spool.put(results(0, 5))
    shutil.rmtree(folder.path)  # every new file fails, as it does on a full disk
    spool.delivered(spool.next(ALL))
    spool.put(results(5, 5))
    spool.put(results(10, 5))
    assert folder.told.count("spool_failing") == 1
    assert spool.waiting == 10

    parcel = spool.next(ALL)
    assert list(parcel.results) == results(5, 10)
    folder.path.mkdir()
    spool.put(results(15, 5))

    assert folder.told[-1] == "spool_well_again"
    assert len(folder.files) == 1
    assert list(spool.next(ALL).results) == results(5, 15)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """A disk that takes a part of a write and refuses the rest."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_write_that_is_cut_short_leaves_what_was_there_before(folder: Folder) -> None:
    spool = folder.open()
    spool.put(results(0, 5))
    size = folder.files[0].stat().st_size

    with files_end_at(size + 100):
        spool.put(results(5, 20))
        assert folder.files[0].stat().st_size == size
        assert spool.waiting == 25
        spool.put(results(25, 1))

    spool.put(results(26, 4))
    assert folder.told == ["spool_failing", "spool_well_again"]
    assert list(spool.next(ALL).results) == results(0, 30)
    assert list(folder.reopen().next(ALL).results) == results(0, 30)


def test_a_parcel_out_of_memory_that_reached_the_disk_meanwhile_is_not_lost(folder: Folder) -> None:
    """It may be delivered twice, which the controller absorbs. It must not take others with it."""
    spool = folder.open()
    shutil.rmtree(folder.path)
    spool.put(results(0, 5))
    under_way = spool.next(ALL)
    folder.path.mkdir()
    spool.put(results(5, 5))

    spool.delivered(under_way)

    assert set(results(5, 5)) <= set(spool.next(ALL).results)


def test_what_left_memory_for_the_disk_takes_nothing_newer_along(folder: Folder) -> None:
    spool = folder.open(most_in_memory=10)
    shutil.rmtree(folder.path)
    spool.put(results(0, 5))
    under_way = spool.next(ALL)
    spool.put(results(5, 15))  # pushes the five, which are under way, and five more out

    spool.delivered(under_way)

    losses = spool.next(ALL)
    assert counted(losses.losses) == {1: (10, 0)}
    spool.delivered(losses)
    assert list(spool.next(ALL).results) == results(10, 10)


def test_memory_is_bounded_too_and_says_what_it_gave_up(folder: Folder) -> None:
    spool = folder.open(most_in_memory=10)
    shutil.rmtree(folder.path)

    spool.put(results(0, 25))

    assert spool.waiting == 10
    losses = spool.next(ALL)
    assert counted(losses.losses) == {1: (15, 0)}
    spool.delivered(losses)
    assert list(spool.next(ALL).results) == results(15, 10)


def test_what_is_never_taken_is_set_aside_for_a_person(folder: Folder) -> None:
    spool = folder.open()
    spool.put(results(0, 2))

    spool.set_aside(spool.next(1), "not understood")

    assert list(spool.next(ALL).results) == results(1, 1)
    lines = (folder.path / "set-aside.jsonl").read_text().splitlines()
    assert [json.loads(line)["reason"] for line in lines] == ["not understood"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 40)),
        st.tuples(st.just("deliver"), st.integers(1, 60)),
        st.tuples(st.just("try"), st.integers(1, 60)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_everything_arrives_in_order_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Repeats come only from a restart in the middle of a file, and never skip what is before them."""
    folder = Folder(tmp_path_factory.mktemp("any") / "spool")
    spool = folder.open()
    put = 0
    arrived: list[Result] = []

    def take(number: int) -> None:
        parcel = spool.next(number)
        for each in parcel.results:
            if each not in arrived:
                assert each == result(len(arrived))
                arrived.append(each)
        spool.delivered(parcel)

    for step, number in steps:
        if step == "put":
            spool.put(results(put, number))
            put += number
        elif step == "deliver":
            take(number)
        elif step == "try":
            spool.next(number)
        else:
            spool = folder.reopen()
    while spool.waiting:
        take(ALL)
    folder.close()

    assert arrived == results(0, put)
