"""A region is lost, by kill -9 of everything in it: through the command line, on real parts."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regions import ADDRESSES, TwoRegions, Users, found_by, members

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoRegions]:
    with TwoRegions(Path(tmp_path_factory.mktemp("regions")), fast=True) as running:
        running.whole()
        yield running


def users(regions: TwoRegions, region: str) -> Users:
    return Users(f"http://{ADDRESSES[region]}:{regions.edge_port}")


def test_a_planned_move_and_a_lost_region_and_the_way_back(regions: TwoRegions) -> None:
    """One story, as the parts take half a minute to begin: each chapter leaves what the next one needs."""
    acknowledged = planned_move(regions)
    acknowledged |= lost_with_a_gate(regions, acknowledged)
    way_back(regions, acknowledged)
    lost_by_itself(regions)


def planned_move(regions: TwoRegions) -> set[str]:
    """There and back: nobody's read fails, nothing is lost."""
    with users(regions, "a") as people:
        for _ in range(2):
            regions.whole()
            run = regions.run("switchover", "print")
            run = regions.ended(run["id"])
            assert run["state"] == "done", run
            assert found_by(run, "measure")["rpo_s"] == "0"
            people.first_write_after(time.monotonic())
    assert [each for each in people.reads if not each.well] == []
    url = f"http://{ADDRESSES['a']}:{regions.edge_port}"
    assert people.acknowledged <= members(url)
    return people.acknowledged


def lost_with_a_gate(regions: TwoRegions, before: set[str]) -> set[str]:
    """The first time nobody has drilled it: a person agrees."""
    regions.whole()
    known = {each["id"] for each in regions.runs()}
    with users(regions, "a") as in_a, users(regions, "b") as in_b:
        in_a.first_write_after(time.monotonic())
        regions.lab("break", "region-a")
        broken = time.monotonic()
        run = regions.begun_behind(known)
        assert run["playbook"] == "region-outage"
        assert "drilled: unknown" in run["given"]["why"]
        assert "lag: holds" in run["given"]["why"]
        regions.waits(run["id"], "agree")
        regions.run("run", "approve", run["id"])
        run = regions.ended(run["id"])
        assert run["state"] == "done", run
        in_b.first_write_after(broken)
    told = found_by(run, "confirm")
    assert told["nothing_acknowledged_lost"] == "yes"
    assert found_by(run, "measure")["rpo_s"] == "0"
    assert found_by(run, "route")["not_reached"] == "a"
    assert found_by(run, "tell")["incident"]
    there = members(f"http://{ADDRESSES['b']}:{regions.edge_port}")
    missing = (before | in_a.acknowledged | in_b.acknowledged) - there
    assert missing == set()
    return in_a.acknowledged | in_b.acknowledged


def way_back(regions: TwoRegions, acknowledged: set[str]) -> None:
    """Nothing went back by itself; and it goes back only when somebody agrees."""
    regions.lab("heal", "region-a")
    regions.healed()
    run = regions.run("failback", "print")
    regions.waits(run["id"], "agree")
    assert regions.run("failback", "print", "--dry-run")["lost"] == "b"
    regions.run("run", "approve", run["id"])
    run = regions.ended(run["id"])
    assert run["state"] == "done", run
    assert found_by(run, "archive")["lost_transactions"]
    assert acknowledged <= members(f"http://{ADDRESSES['a']}:{regions.edge_port}")


def lost_by_itself(regions: TwoRegions) -> None:
    """What was recovered a minute ago counts as drilled: now nobody is asked."""
    regions.whole()
    known = {each["id"] for each in regions.runs()}
    with users(regions, "a") as in_a, users(regions, "b") as in_b:
        in_a.first_write_after(time.monotonic())
        regions.lab("break", "region-a")
        broken = time.monotonic()
        run = regions.begun_behind(known)
        assert run["playbook"] == "region-outage-automatic", run["given"]["why"]
        run = regions.ended(run["id"])
        assert run["state"] == "done", run
        in_b.first_write_after(broken)
    there = members(f"http://{ADDRESSES['b']}:{regions.edge_port}")
    assert (in_a.acknowledged | in_b.acknowledged) - there == set()
