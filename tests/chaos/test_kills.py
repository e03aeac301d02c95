"""kill -9 of every process, at random moments, while checks run.

HOLDFAST_CHAOS_ROUNDS says how many rounds; HOLDFAST_CHAOS_SEED repeats what went wrong once.
"""

import contextlib
import os
import random
import signal
import time

import pytest
from chaos_estate import EVERY, LATENESS, Watch

from installation import eventually

ROUNDS = int(os.environ.get("HOLDFAST_CHAOS_ROUNDS", "6"))
SEED = int(os.environ.get("HOLDFAST_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
VICTIMS = ("supervisor", "controller", "site", "postmaster", "backend", "everything")


@pytest.mark.timeout(ROUNDS * 120 + 120)
def test_whatever_is_killed_the_history_tells_no_lie(watch: Watch) -> None:
    print(f"seed {SEED}, {ROUNDS} rounds")  # noqa: T201
    dice = random.Random(SEED)
    for number in range(ROUNDS):
        if number % len(VICTIMS) == 0:
            order = dice.sample(VICTIMS, len(VICTIMS))
        victim = order[number % len(VICTIMS)]
        # The moment is what is random here: nothing is waited for.
        time.sleep(dice.uniform(0.2, 2.5))
        watch.note_what_is_acknowledged()
        _kill(watch, victim, dice)
        took = watch.until_all_are_heard_of()
        watch.until_the_site_is_current()

        told = f"round {number}, {victim} killed, heard of again after {took:.1f} s, seed {SEED}"
        print(told)  # noqa: T201
        assert not watch.lost(), told
        assert watch.history().breaches() == [], told


def _kill(watch: Watch, victim: str, dice: random.Random) -> None:
    installation = watch.installation
    if victim == "supervisor":
        _kill_supervisor(watch)
        return
    if victim == "backend":
        _kill_backend(watch, dice)
        return
    if victim == "everything":
        _kill_everything(watch, dice)
        return
    pid = installation.postmaster if victim == "postmaster" else installation.role(victim)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    if victim in {"controller", "site"}:
        eventually(lambda: installation.role(victim) not in {None, pid}, f"the {victim} is started again")
    if victim == "postmaster":
        eventually(lambda: installation.postmaster not in {None, pid}, "the database is started again")


def _kill_backend(watch: Watch, dice: random.Random) -> None:
    """Any process of the server but its main one, which then restarts all of them."""
    while True:
        pid = dice.choice(sorted(watch.installation.backends()))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return


def _kill_everything(watch: Watch, dice: random.Random) -> None:
    """As when the machine's power is cut: every process, in any order. The next `up` recovers by itself."""
    pids = list(watch.installation.processes())
    for pid in dice.sample(pids, len(pids)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    watch.up.process.wait()
    watch.up = watch.installation.up()


def _kill_supervisor(watch: Watch) -> None:
    """Its roles end by themselves, its database lives on, and the next `up` adopts it."""
    installation = watch.installation
    roles = [installation.role(name) for name in ("controller", "site", "console", "sender")]
    postmaster = installation.postmaster
    assert None not in {*roles, postmaster}

    watch.up.kill()

    eventually(lambda: not {*roles} & {*installation.processes()}, "the roles end with their supervisor")
    assert installation.postmaster == postmaster
    # What is left is the database alone.
    assert set(installation.processes()) == {postmaster, *installation.backends()}
    watch.up = installation.up()
    assert installation.postmaster == postmaster


def test_a_long_silence_is_unknown_from_when_a_result_was_due(watch: Watch) -> None:
    """The supervisor is gone for longer than a result may be late."""
    watch.until_all_are_judged()
    before = watch.history().unknown()
    watch.up.kill()
    controller = watch.installation.role("controller")
    eventually(lambda: controller not in watch.installation.processes(), "the controller ends as well")
    # Only now: as it ended, it recorded what it still had.
    silent_from, newest = time.monotonic(), watch.newest()
    longest = (EVERY + LATENESS).total_seconds() + 1
    eventually(lambda: time.monotonic() - silent_from > longest, "it was silent for long enough", 2 * longest)
    watch.up = watch.installation.up()
    watch.until_all_are_heard_of()

    history = watch.history()
    assert history.breaches() == []
    # Each of the checks was unknown, from when its next result was due.
    assert history.unknown() - before > (LATENESS - EVERY) * 2
    for check, at in newest.items():
        begins = [moment for each, moment, state, _ in history.transitions if each == check and state == 4]
        assert any(at + EVERY <= moment <= at + EVERY + EVERY for moment in begins), (check, at, begins)
