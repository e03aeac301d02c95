"""Drills of damaged data on the lab: its jobs are damaged for real, and put back as when it counts.

    drill.jobs        there are jobs, they are stored in a copy, and it is known what they are
    drill.damage      they are damaged: `how` is update, drop or flip; left empty, one of them by the `seed`
    drill.as-before   all that were there then are as they were, and the lab is whole again

Only the lab of this data directory is ever damaged, and only as the database that the run works on: another
one would be set to read only for nothing.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from holdfast.adapters.postgres.recovery.lab_jobs import TABLE, LabJobs, Seen
from holdfast.backup.lsn import parse_lsn
from holdfast.bootstrap.recovery.damaged_subject import OnDamaged
from holdfast.bootstrap.recovery.lab_beside import lab_beside
from holdfast.bootstrap.recovery.stored_wal import stored_until
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.lab import Damage, PartState
from holdfast.recovery.coming_about import come_about
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.ports import Action, Fence, Found

DATA = "data"
"""What the lab calls it."""
WAYS = (Damage.UPDATE, Damage.DROP, Damage.FLIP)
JOBS = 200


def damage_drill_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name."""
    return {
        "drill.jobs": Preparing(around),
        "drill.damage": Damaging(around),
        "drill.as-before": AsBefore(around),
    }


@dataclass(frozen=True, slots=True)
class _OnLab(OnDamaged):
    """What works on the lab's jobs."""

    async def jobs(self, given: Mapping[str, str]) -> LabJobs:
        """Raises StepFailed where the run's subject is another database."""
        if given.get("on", "lab") != "lab":
            raise StepFailed(f"this drill is not for {given['on']!r}", hint="for: lab")
        jobs = LabJobs(self.params(given))
        file = lab_beside(self.around).secret_file("superuser.conninfo")
        if not file.is_file():
            raise StepFailed("the lab was never up", hint="holdfast lab up regions starts it")
        await asyncio.to_thread(jobs.see_that_it_is, file.read_text(encoding="utf-8").strip())
        return jobs

    async def store(self, given: Mapping[str, str]) -> None:
        """Wait until everything that is written now is in a copy. Raises StepFailed."""
        text, _ = await asyncio.to_thread(self.damaged(given).written)
        if text is None:
            raise StepFailed("the lab's database follows another one", hint="holdfast lab status")
        if not await stored_until(self.around, given["subject"], given.get("region", ""), parse_lsn(text)):
            raise StepFailed(
                "what is to be damaged is in no copy that could be restored",
                hint=f"holdfast backup points {given['subject']} shows what there is; "
                f"holdfast backup now {given['subject']} takes one",
            )


@dataclass(frozen=True, slots=True)
class Preparing(_OnLab):
    """Adds some jobs, so that there is something to be damaged."""

    wants = frozenset({"run"})
    finds = frozenset({"check", "tables", "until", "rows", "total"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence  # the same jobs again are there already
        jobs = await self.jobs(given)
        await asyncio.to_thread(jobs.submit, given["run"], JOBS)

    async def verify(self, given: Mapping[str, str]) -> Found:
        jobs = await self.jobs(given)
        until = await asyncio.to_thread(jobs.submit, given["run"], JOBS)
        seen = await asyncio.to_thread(jobs.seen, until)
        await self.store(given)
        return {
            "check": seen.check,
            "tables": TABLE,
            "until": seen.until.isoformat(),
            "rows": str(seen.rows),
            "total": seen.total,
        }


@dataclass(frozen=True, slots=True)
class Damaging(_OnLab):
    """Damages them once: what is damaged stays so, whoever asks again.

    It is not waited for until that is stored: what users wrote upon it meanwhile would have to stay.
    """

    wants = frozenset({"run"})
    finds = frozenset({"damaged_at", "how"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        await self.jobs(given)
        for each in await lab_beside(self.around).status():
            if each.name == DATA and each.state is PartState.BROKEN and each.since is not None:
                return {"damaged_at": each.since.isoformat(), "how": _way(given).value}
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence  # the lab takes one change after the other; what is damaged twice is damaged
        await self.jobs(given)
        await lab_beside(self.around).break_(DATA, _way(given))

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(await self.observe(given), "the lab did not damage them")


@dataclass(frozen=True, slots=True)
class AsBefore(_OnLab):
    """Compares with what was there before, and lets the lab forget the damage."""

    wants = frozenset({"until", "rows", "total"})
    finds = frozenset({"what", "invariant.every job is as it was"})

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence
        await self.jobs(given)
        await lab_beside(self.around).heal(DATA)

    async def verify(self, given: Mapping[str, str]) -> Found:
        jobs = await self.jobs(given)
        before = Seen(datetime.fromisoformat(given["until"]), int(given["rows"]), given["total"])
        now = await asyncio.to_thread(jobs.seen, before.until)
        fits = "holds" if now == before else f"fails: {now.rows:,} jobs of {before.rows:,}, or others"
        how = given.get("how", "")
        what = f"{given['subject']}: {before.rows:,} jobs put back after damage by {how}"
        return {"what": what, "invariant.every job is as it was": fits}


def _way(given: Mapping[str, str]) -> Damage:
    """Raises StepFailed."""
    if not given.get("how"):
        seed = int(given["seed"]) if given.get("seed", "").isdecimal() else 0
        return random.Random(seed).choice(WAYS)  # noqa: S311  chosen so that it can be chosen again
    try:
        way = Damage(given["how"])
    except ValueError:
        way = None
    if way not in WAYS:
        raise StepFailed(f"data is not damaged by {given['how']!r}", hint="update, drop or flip")
    return way
