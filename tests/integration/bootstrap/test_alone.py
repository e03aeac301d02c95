"""Roles that are run one by one, as an operator does who runs several of them."""

import itertools
import os

import pytest

from holdfast.availability.sharing import SHARES
from installation import Installation, eventually, fetch, free_base_port, free_port
from targets import Target

PACE = float(os.environ.get("HOLDFAST_TEST_PACE", "1"))
"""Stretches what is promised in seconds, for machines that are much slower than a server."""


def _results(installation: Installation) -> int:
    found = installation.available("SELECT count(*) FROM availability.result")
    return found[0][0] if found else 0


def _holders(installation: Installation) -> list[int]:
    """The sessions that hold the lease of a share, one for each share."""
    rows = installation.available(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 7015 AND objid >= 100 AND granted"
    )
    return [pid for (pid,) in rows]


def _assert_nothing_ran_twice(installation: Installation) -> None:
    """No check has two results within less than half its interval."""
    rows = installation.query("SELECT check_id, at FROM availability.result ORDER BY check_id, at")
    for (check, at), (next_check, next_at) in itertools.pairwise(rows):
        assert check != next_check or (next_at - at).total_seconds() > 0.5, (check, at, next_at)


def _assert_taken_over(installation: Installation) -> None:
    """Every share has a monitor again, and every check runs again within 15 s."""
    killed_at = installation.query("SELECT clock_timestamp()")[0][0]
    newest = "SELECT max(at) FROM availability.result GROUP BY check_id"
    eventually(lambda: all(at > killed_at for (at,) in installation.query(newest)), "every check runs again")
    eventually(lambda: len(_holders(installation)) == SHARES, "every share has one monitor again")
    again = installation.query(
        "SELECT min(at) FROM availability.result WHERE at > %s GROUP BY check_id", killed_at
    )
    assert all((at - killed_at).total_seconds() <= 15 * PACE for (at,) in again)


def test_three_controllers_share_the_checks_and_what_one_leaves_is_taken_over(
    ready: Installation, target: Target
) -> None:
    more = "".join(
        f"          page-{n}: {{url: '{target.url}', every: 1s, timeout: 400ms}}\n" for n in range(2 * SHARES)
    )
    config = ready.config.read_text()
    ready.config.write_text(
        config.replace("        checks:\n          page:\n", f"        checks:\n{more}          page:\n")
    )
    controllers = [ready.start("serve", "controller") for _ in range(3)]
    eventually(lambda: all("lead_taken" in each.said.err for each in controllers), "everybody has a share")
    eventually(lambda: len(_holders(ready)) == SHARES, "every share has one monitor")
    eventually(lambda: _results(ready) >= 4, "results arrive")

    for gone in controllers[:2]:
        gone.kill()
        _assert_taken_over(ready)
    assert controllers[2].process.poll() is None
    _assert_nothing_ran_twice(ready)


def test_a_site_alone_shows_what_a_controller_alone_records(ready: Installation, target: Target) -> None:
    site = ready.start("serve", "site")
    address = "http://" + next(
        line.split(":", 1)[1].strip() for line in ready.config.read_text().splitlines() if "listen" in line
    )
    eventually(lambda: fetch(f"{address}/health/live")[0] == 200, "the site answers")
    assert fetch(f"{address}/en/")[0] == 503  # no estate is in force yet, and it says so calmly

    ready.start("serve", "controller")
    eventually(lambda: "All systems operational" in fetch(f"{address}/en/")[1], "all is well on the page")

    target.well = False
    eventually(lambda: "Major outage" in fetch(f"{address}/en/")[1], "the outage is on the page")
    assert site.stop().code == 0
    assert fetch(f"{address}/en/")[0] == 0


def test_ctrl_c_ends_everything_in_order_and_without_a_word_too_many(ready: Installation) -> None:
    up = ready.up()

    said = up.interrupt()

    assert said.code == 0, said
    assert "Traceback" not in said.err + ready.log("controller") + ready.log("site")
    assert not ready.processes()


@pytest.mark.parametrize("processes", [2, 8], ids=["its database", "its services"])
def test_a_demo_that_is_ended_while_it_starts_leaves_nothing_running(
    bare: Installation, processes: int
) -> None:
    bare.environment["HOLDFAST_LAB_BASE_PORT"] = str(free_base_port())
    demo = bare.start("demo", "--listen", f"127.0.0.1:{free_port()}")
    eventually(lambda: len(bare.processes()) >= processes, "the lab is starting")

    said = demo.stop()

    assert said.code == 130
    assert "Traceback" not in said.err
    assert not bare.processes()
