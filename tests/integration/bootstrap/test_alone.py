"""Roles that are run one by one, as an operator does who runs several of them."""

import itertools
import json

import pytest

from installation import Installation, eventually, fetch, free_base_port, free_port
from targets import Target


def _results(installation: Installation) -> int:
    found = installation.available("SELECT count(*) FROM availability.result")
    return found[0][0] if found else 0


def _sessions(installation: Installation) -> set[int]:
    """The sessions that hold the controllers' lease."""
    rows = installation.available(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 7015 AND objid = 1 AND granted"
    )
    return {pid for (pid,) in rows}


def test_one_of_two_controllers_records_and_the_other_takes_over(ready: Installation, target: Target) -> None:
    controllers = [ready.start("serve", "controller") for _ in range(2)]
    eventually(lambda: _results(ready) >= 4, "results arrive")

    # Whoever records says so; the other waits.
    leaders = [each for each in controllers if "lead_taken" in each.said.err]
    assert len(leaders) == 1, [each.said for each in controllers]
    assert len(_sessions(ready)) == 1
    (leader,) = leaders
    (heir,) = (each for each in controllers if each is not leader)
    assert heir.process.poll() is None

    leader.kill()
    before = _results(ready)
    eventually(lambda: "lead_taken" in heir.said.err, "the other one takes the lead")
    eventually(lambda: _results(ready) > before, "results arrive again")

    epochs = [json.loads(line)["epoch"] for line in _lines(heir.said.err, "lead_taken")]
    assert epochs == [2]
    # Nothing was recorded twice: no check has two results within less than half its interval.
    rows = ready.query("SELECT check_id, at FROM availability.result ORDER BY check_id, at")
    for (check, at), (next_check, next_at) in itertools.pairwise(rows):
        assert check != next_check or (next_at - at).total_seconds() > 0.5


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


def _lines(text: str, event: str) -> list[str]:
    return [line for line in text.splitlines() if f'"event": "{event}"' in line]
