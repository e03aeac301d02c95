"""A region is lost under load, by kill -9 of all that is in it, the link to the other one cut just before.

python -m tests.chaos.region_loss 50 [--namespaces] [--acknowledged "at once"]

Users write at the edges of both regions, and sources post to a ledger in the region that leads, whose entries
are acknowledged once the other region has flushed them. Then the link is cut, a moment later the region dies,
and the other one takes over by policy. Everything that anybody was told of must be there, once: jobs and
entries. Then the region is healed, its old primary's tail archived, its data made anew, and the cluster goes
back, while users still write. The log goes on from round to round, over all failovers.

With `--namespaces`, as root, links are cut for real, in one direction or both, or all of the region's.
Without, what sends the log to the other region is stopped, which loses what it would have sent.

The control run acknowledges at once: commits and entries wait for nobody. It must lose some, or the link was
never cut in time, and the other runs prove nothing. What it loses must stand in the loss statement.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos.ledger_loss import AT_ONCE, WHEN_FLUSHED
from tests.chaos.region_ledger import RegionLedger
from tests.chaos.region_rounds import HowLost, RegionOutcome, RegionRounds
from tests.regions import TwoRegions

WHOLE_EVERY = 5
MAY_LOSE = "1h"


@dataclass(frozen=True, slots=True)
class Came:
    """What the rounds came to, what was found wrong with the log, and why rounds did not come to an end."""

    outcomes: list[RegionOutcome]
    breaches: list[str]
    failed: list[str]

    @property
    def lost(self) -> int:
        return sum(each.lost_jobs + each.lost_entries for each in self.outcomes)


def region_rounds(
    count: int,
    folder: Path,
    how: HowLost,
    *,
    seed: int = 1,
    within_s: float = float("inf"),
    tell: bool = False,
    failures: int = 1,
    until_lost: bool = False,
) -> Came:
    """So many losses of a region; fewer when `within_s` is over, or so many rounds have failed, or when
    something was lost and that is what is looked for.
    """
    return asyncio.run(_rounds(count, folder, how, seed, within_s, tell, failures, until_lost))


async def _rounds(
    count: int,
    folder: Path,
    how: HowLost,
    seed: int,
    within_s: float,
    tell: bool,
    failures: int,
    until_lost: bool,
) -> Came:
    came, number = Came([], [], []), 0
    may_lose = "" if how.safe else MAY_LOSE
    ends = time.monotonic() + within_s
    (folder / "holdfast").mkdir(parents=True)
    with TwoRegions(folder / "holdfast", fast=True, namespaces=how.namespaces, may_lose=may_lose) as regions:
        superuser = regions.installation.data_dir / "lab/regions/secrets/superuser.conninfo"
        with RegionLedger(folder / "ledger", superuser.read_text().strip(), waits=how.safe) as ledger:
            rounds = RegionRounds(regions, ledger, how, seed)
            await rounds.prepare()
            while (
                number < count
                and time.monotonic() < ends
                and len(came.failed) < failures
                and not (until_lost and came.lost)
            ):
                number += 1
                try:
                    came.outcomes.append(await rounds.round())
                except Exception as error:  # noqa: BLE001  the reason is told, and the rounds go on
                    came.failed.append(f"round {number}: {error or type(error).__name__}")
                    if tell:
                        traceback.print_exc()
                    if len(came.failed) < failures:
                        await _come_home(regions)
                if number % WHOLE_EVERY == 0 or number == count:
                    came.breaches[:] = await rounds.breaches()
                if tell:
                    _say(number, came)
            came.breaches[:] = await rounds.breaches()
    return came


async def _come_home(regions: TwoRegions) -> None:
    """After a round that failed: whatever is broken is healed, and the cluster is where it belongs."""
    with suppress(AssertionError):
        await asyncio.to_thread(regions.lab, "up", "regions", "--fast")
        await asyncio.to_thread(regions.brought_home)


def _say(number: int, came: Came) -> None:
    now = datetime.now(UTC)
    told = came.failed[-1] if came.failed and came.failed[-1].startswith(f"round {number}:") else ""
    line = told or str(came.outcomes[-1])
    sys.stderr.write(f"{now:%H:%M:%S} {number:4} {line} {came.breaches or ''}\n")
    sys.stderr.flush()


def region_figures(came: Came) -> str:
    """To be quoted."""
    outcomes = came.outcomes
    jobs, entries = sum(each.jobs for each in outcomes), sum(each.entries for each in outcomes)
    lost_jobs, lost_entries = (
        sum(each.lost_jobs for each in outcomes),
        sum(each.lost_entries for each in outcomes),
    )
    away = sorted(each.away_s for each in outcomes)
    took = sorted(each.took_s for each in outcomes)
    middle = f"{away[len(away) // 2]:.1f} s without a write (at most {away[-1]:.1f})" if away else "none"
    return (
        f"{len(outcomes)} rounds, {len(came.failed)} failed: {jobs:,} jobs acknowledged, {lost_jobs:,} lost; "
        f"{entries:,} entries acknowledged, {lost_entries:,} lost; "
        f"{sum(each.doubled for each in outcomes):,} doubled; {middle}; "
        f"{sum(each.stated for each in outcomes):,} transactions in the tails; "
        f"a round takes {took[len(took) // 2] if took else 0:.0f} s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.region_loss")
    parser.add_argument("rounds", type=int)
    parser.add_argument("--acknowledged", choices=(WHEN_FLUSHED, AT_ONCE), default=WHEN_FLUSHED)
    parser.add_argument("--namespaces", action="store_true", help="cut real links, as root")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--failures", type=int, default=5, help="end after so many rounds that failed")
    given = parser.parse_args()
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it tells of each connection to a killed server
    how = HowLost(given.namespaces, given.acknowledged)
    with tempfile.TemporaryDirectory(prefix="hf-region-") as name:
        came = region_rounds(
            given.rounds, Path(name), how, seed=given.seed, tell=True, failures=given.failures
        )
    told = f"region lost, {how}: {region_figures(came)} (seed {given.seed})"
    sys.stdout.write("\n".join([told, *came.failed, *came.breaches, ""]))
    return int(bool(came.failed or came.breaches or (how.safe and came.lost)))


if __name__ == "__main__":
    sys.exit(main())
