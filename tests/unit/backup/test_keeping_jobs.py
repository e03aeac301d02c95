"""Jobs, turns, and what is kept still: what waits for what, and for how long."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import pytest
from tests.installation import eventually

from holdfast.bootstrap.backup.jobs import Job, Jobs, Stopped, pause_s
from holdfast.bootstrap.backup.turns import Heavy, Stillness, Turns
from holdfast.kernel.errors import HoldfastError

LONG_S = 3600.0


def nothing() -> None:
    """Go on."""


def job(act: Callable[[], float | None] = nothing, every_s: float = LONG_S, **how: float) -> Job:
    return Job("it", act, every_s, **how)


# --- pauses


def test_a_job_is_done_each_so_often_or_when_it_asks_for_it() -> None:
    assert pause_s(job(every_s=30), None, 0) == 30
    assert pause_s(job(every_s=30), 5.0, 0) == 5


def test_one_that_fails_waits_ever_longer_up_to_its_own_limit() -> None:
    pauses = [pause_s(job(every_s=86_400, again_s=300), None, failures) for failures in range(1, 7)]
    assert pauses == [30, 60, 120, 240, 300, 300]
    assert pause_s(job(every_s=30), None, 10_000) == 600


# --- jobs


class Told:
    def __init__(self) -> None:
        self.entries: list[tuple[str, object]] = []

    def __call__(self, event: str, facts: Mapping[str, object]) -> None:
        self.entries.append((event, facts.get("error")))


def test_one_that_is_woken_while_it_is_done_is_done_once_more() -> None:
    done, let = [], threading.Semaphore(0)

    def act() -> None:
        done.append(1)
        let.acquire()

    jobs = Jobs("db", Told())
    jobs.start([job(act)])
    eventually(lambda: done, "it is done")
    jobs.wake("it")
    jobs.wake("it")
    let.release(2)
    eventually(lambda: len(done) == 2, "once more")
    time.sleep(0.05)
    let.release()
    jobs.stop(60)
    assert len(done) == 2


def test_a_failure_is_told_once_and_that_it_is_over() -> None:
    told = Told()
    jobs = Jobs("db", told)

    def fail(text: str) -> Callable[[], None]:
        def act() -> None:
            raise HoldfastError(text)

        return act

    for act in (fail("away"), fail("away"), fail("no room"), nothing, nothing):
        jobs.step("it", act)
    assert told.entries == [
        ("backup.step_failed", "away"),
        ("backup.step_failed", "no room"),
        ("backup.well_again", None),
    ]


def test_behind_its_end_nothing_begins_and_nothing_is_told() -> None:
    told = Told()
    jobs = Jobs("db", told)
    jobs.stop(1.0)
    jobs.start([job()])
    assert jobs.step("it", nothing) == (False, None)
    with pytest.raises(Stopped):
        jobs.go_on()
    jobs.failed("it", ValueError("too late"))
    assert not told.entries


# --- turns


def test_only_so_many_at_once_first_come_first_served_and_one_subject_once() -> None:
    turns, order, gates = Turns({Heavy.TAKE: 2, Heavy.VERIFY: 1}), [], {}

    def work(subject: str, number: int) -> None:
        with turns.taken(Heavy.TAKE, subject, nothing):
            order.append(f"{subject}{number}")
            gates[f"{subject}{number}"].wait(60)

    threads = []
    for subject, number in (("a", 1), ("a", 2), ("b", 1), ("c", 1)):
        gates[f"{subject}{number}"] = threading.Event()
        threads.append(threading.Thread(target=work, args=(subject, number)))
        threads[-1].start()
        eventually(lambda: turns.waiting + len(order) == len(threads), "it stands in the row")
    assert order == ["a1", "b1"]
    # Another kind of work has a turn of its own.
    with turns.taken(Heavy.VERIFY, "a", nothing) as waited:
        assert not waited
    gates["b1"].set()
    eventually(lambda: "c1" in order, "there is room, and a2 may not begin yet")
    gates["a1"].set()
    eventually(lambda: order == ["a1", "b1", "c1", "a2"], "all had their turn")
    for gate in gates.values():
        gate.set()
    for thread in threads:
        thread.join()


def test_who_gives_up_waiting_stands_in_nobodys_way() -> None:
    turns = Turns({Heavy.TAKE: 1})

    def give_up() -> None:
        raise Stopped

    with turns.taken(Heavy.TAKE, "a", nothing):
        with pytest.raises(Stopped), turns.taken(Heavy.TAKE, "b", give_up):
            raise AssertionError("it was not its turn")
        assert turns.waiting == 0
    with turns.taken(Heavy.TAKE, "c", nothing) as waited:
        assert not waited


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns({Heavy.TAKE: 1})
    with pytest.raises(ZeroDivisionError), turns.taken(Heavy.TAKE, "a", nothing):
        raise ZeroDivisionError
    with turns.taken(Heavy.TAKE, "a", nothing) as waited:
        assert not waited


# --- stillness


def test_what_is_read_is_not_let_go_of_but_not_for_ever() -> None:
    now = 0.0
    still = Stillness(lambda: now, 100.0)
    with still.broken() as may:
        assert may
    with still.kept(nothing):
        with still.broken() as may:
            assert not may
        now = 100.0
        with still.broken() as may:
            assert may
    with still.broken() as may:
        assert may


def test_reading_begins_when_nothing_is_being_let_go_of() -> None:
    still, began = Stillness(time.monotonic, 100.0), threading.Event()

    def read() -> None:
        with still.kept(nothing):
            began.set()

    with ExitStack() as stack:
        assert stack.enter_context(still.broken())
        thread = threading.Thread(target=read)
        thread.start()
        assert not began.wait(0.1)
    thread.join(60)
    assert began.is_set()


def test_stopped_while_they_are_being_started_all_of_them_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who stops at once, as when a reload follows a start, finds threads that run, or none."""
    jobs = Jobs("main", lambda _event, _facts: None)
    errors = list[BaseException]()

    def stop() -> None:
        try:
            jobs.stop(60.0)
        except RuntimeError as error:  # a thread cannot be joined before it is started
            errors.append(error)

    stopping = threading.Thread(target=stop)

    class Late(threading.Thread):
        def start(self) -> None:
            if not stopping.ident:
                original(stopping)
                assert jobs.stopping.wait(60.0)
                stopping.join(0.2)  # long enough to go wrong, where it would
            original(self)

    original = threading.Thread.start
    monkeypatch.setattr("holdfast.bootstrap.backup.jobs.threading.Thread", Late)
    jobs.start([Job(name, lambda: None, 60.0) for name in ("one", "two")])
    stopping.join(60.0)
    assert not errors
    assert not stopping.is_alive()
