"""A region is lost by kill -9 of all that is in it: how long until a user can write in the other one.

Users write and read at the edges of both regions all the time. The clock is theirs: from the last write that
was acknowledged before the region went, to the first one in the other region. Each round heals it and goes
back by a planned switchover, whose longest time without an acknowledged write is measured too. What was
acknowledged is looked for afterwards: all of it must be there.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from tests.regions import ADDRESSES, TwoRegions, Users, members

from bench.subjects import FOLDER, Options
from bench.table import Measurement, at_most

ROUNDS = 10
DEFAULT_S, FAST_S = 25.0, 12.0
SWITCHOVER_S = 3.0


def measure(options: Options) -> Sequence[Measurement]:
    rounds = 2 if options.quick else max(ROUNDS, options.runs)
    found = list[Measurement]()
    for fast, target in ((False, DEFAULT_S), (True, FAST_S)):
        folder = FOLDER / f"recovery-region-{'fast' if fast else 'default'}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with TwoRegions(folder, fast=fast) as regions:
            found += _rounds(regions, rounds, "fast profile" if fast else "default", target)
        shutil.rmtree(folder, ignore_errors=True)
    return found


def _rounds(regions: TwoRegions, rounds: int, profile: str, target: float) -> Sequence[Measurement]:
    lost_s, gaps, failed_reads, missing = list[float](), list[float](), list[float](), list[float]()
    acknowledged = set[str]()
    _drilled(regions)
    for number in range(rounds):
        regions.whole()
        known = {each["id"] for each in regions.runs()}
        with _users(regions, "a") as in_a, _users(regions, "b") as in_b:
            in_b.first_write_after(time.monotonic())
            regions.lab("break", "region-a")
            _done(regions, regions.begun_behind(known)["id"])
            in_b.first_write_after(time.monotonic())
        lost_s.append(in_b.longest_without_write)
        acknowledged |= in_a.acknowledged | in_b.acknowledged
        _told(profile, number, f"first write after {lost_s[-1]:.1f} s")
        regions.lab("heal", "region-a")
        _rebuilt(regions)
        with _users(regions, "b") as people:
            people.first_write_after(time.monotonic())
            _done(regions, regions.run("switchover", "print")["id"])
            people.first_write_after(time.monotonic())
        acknowledged |= people.acknowledged
        gaps.append(people.longest_without_write)
        failed_reads.append(float(sum(not each.well for each in people.reads)))
        missing.append(float(len(acknowledged - members(_url(regions, "a")))))
        _told(profile, number, f"switchover: {gaps[-1]:.1f} s without a write, {missing[-1]:g} missing")
    return [
        Measurement(f"a lost region, {profile}: first write in the other", "s", lost_s, at_most(target)),
        Measurement(f"planned switchover, {profile}: without a write", "s", gaps, at_most(SWITCHOVER_S)),
        Measurement(f"planned switchover, {profile}: failed reads", "", failed_reads, at_most(0)),
        Measurement(f"acknowledged writes that are missing, {profile}", "", missing, at_most(0)),
    ]


def _drilled(regions: TwoRegions) -> None:
    """The first failover asks a person; it counts as a drill, and the next ones begin by themselves."""
    regions.whole()
    known = {each["id"] for each in regions.runs()}
    regions.lab("break", "region-a")
    run = regions.begun_behind(known)
    regions.waits(run["id"], "agree")
    regions.run("run", "approve", run["id"])
    _done(regions, run["id"])
    regions.lab("heal", "region-a")
    _rebuilt(regions)
    _done(regions, regions.run("switchover", "print")["id"])


def _rebuilt(regions: TwoRegions) -> None:
    """The old primary's tail is archived and its data made anew, by the playbook; the move back is apart."""
    regions.healed()
    run = regions.run("failback", "print")
    regions.waits(run["id"], "agree")
    regions.run("run", "cancel", run["id"])
    regions.ended(run["id"])
    regions.whole()


def _done(regions: TwoRegions, run_id: str) -> dict[str, Any]:
    run = regions.ended(run_id)
    if run["state"] != "done":
        raise RuntimeError(f"{run['playbook']} came to {run['state']}: {run['why']}")
    return run


def _users(regions: TwoRegions, region: str) -> Users:
    return Users(_url(regions, region))


def _url(regions: TwoRegions, region: str) -> str:
    return f"http://{ADDRESSES[region]}:{regions.edge_port}"


def _told(profile: str, number: int, what: str) -> None:
    print(f"  {profile}, round {number + 1}: {what}", file=sys.stderr, flush=True)
