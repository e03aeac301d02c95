"""The actions of a planned move, and of the way back to a region that was lost.

region.ready      a switchover loses nothing now: both regions, the edges and the database are well
region.switch     the leader hands over to the other region, without loss
region.archive    what only the old primary's log has is kept, and listed    finds the exact loss
region.rebuild    the old region's database is a copy of the leader's again
region.in-step    each commit waits for it again
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from holdfast.recovery.coming_about import come_about
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.loss import LOSS_KEYS, found_after
from holdfast.recovery.moving import Parts, PartsOf, asked, leader_in, sent_until, until
from holdfast.recovery.outage import Seen, Standing, judged
from holdfast.recovery.ports import Fence, Found
from holdfast.recovery.region_actions import between, led, of, pointings_of
from holdfast.recovery.region_ports import Told, lock_in, waits_for

SWITCHED_WITHIN = timedelta(seconds=60)
REBUILT_WITHIN = timedelta(minutes=30)
IN_STEP_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Readying:
    """Nothing is known that speaks against handing over from `lost` to `to`. Changes nothing."""

    parts: PartsOf
    wants = ("lost", "to")
    finds = ("began", "nothing_acknowledged_lost")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, _, to = between(self.parts, given)
        if leader_in(await parts.cluster.told(), to):  # it was handed over already
            return {"began": parts.clock.now().isoformat(), "nothing_acknowledged_lost": "yes"}
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """Looking is all."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        parts, lost, to = between(self.parts, given)
        if problems := await against_switchover(parts, lost, to):
            raise StepFailed("; ".join(problems), hint="put it right first, or: holdfast failover --force")
        return {"began": parts.clock.now().isoformat(), "nothing_acknowledged_lost": "yes"}


async def against_switchover(parts: Parts, lost: str, to: str) -> list[str]:
    """All that speaks against a planned move now. What is not known speaks against it."""
    look, told = await parts.looked()
    found = [
        f"{region} is {stands.standing.value}: {'; '.join(stands.why)}"
        for region in (lost, to)
        if (stands := judged(look, region)).standing in (Standing.LOST, Standing.CUT, Standing.EDGE_DOWN)
    ]
    if leader_in(told, lost) is None:
        found.append(f"no member leads in {lost}")
    if look.database.of(to) is not Seen.UP:
        found.append(f"the database in {to} does not answer")
    match waits_for(told, to):
        case False:
            found.append(f"commits do not wait for {to}: what was not copied yet would be lost")
        case None:
            found.append(f"nobody could tell whether commits wait for {to}")
    if any(each.paused for each in told.values()):
        found.append("the database's cluster is paused")
    for region, where in (await pointings_of(parts)).items():
        if where.startswith("not reached"):
            found.append(f"the edge in {region} is {where}")
    return found


@dataclass(frozen=True, slots=True)
class Switching:
    """The leader is in `to`, by handing over: nothing that was committed is lost."""

    parts: PartsOf
    wants = ("lost", "to")
    finds = ("leader", "timeline")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, _, to = between(self.parts, given)
        return await led(parts, to)

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts, lost, to = between(self.parts, given)
        told = await parts.cluster.told()
        lock = lock_in(told)
        if lock is None or lock.region != lost:
            raise StepFailed(f"nobody in {lost} leads: there is nobody to hand over")
        if waits_for(told, to) is not True:
            raise StepFailed(f"commits do not wait for {to}: what was not copied yet would be lost")
        # Patroni answers a second or more after the new leader can be written to: users need not wait for it.
        await sent_until(
            parts.cluster.switch_over(lock, to, fence),
            lambda: self.observe(given),
            SWITCHED_WITHIN,
            f"nobody leads in {to}",
            parts.clock,
        )

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(await self.observe(given), f"no member leads in {given['to']}")


@dataclass(frozen=True, slots=True)
class Archiving:
    """The tail of the old primary in `old` is kept, before anything there is written over.

    `waited`: whether commits waited for the other region when it was lost: yes, no or unknown.
    """

    parts: PartsOf
    wants = ("old",)
    finds = LOSS_KEYS

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, old = of(self.parts, given), asked(given, "old")
        told = await parts.cluster.told()
        if follows(told, old):  # it is no primary that was lost: its log is the leader's
            nothing = {"lost_transactions": "0", "lost_acknowledged": "0", "lost_entries": "0"}
            return {**nothing, "entries_to_reapply": "0", "tail": "none", "loss": "nothing: it follows"}
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """Nothing is changed where the tail is: it is copied, and copied once."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        parts, old = of(self.parts, given), asked(given, "old")
        if parts.tails is None:
            raise StepFailed(
                f"nobody can read the data directory in {old}",
                hint="declare it under `postgres.data`, or archive its pg_wal by hand and resume `by hand`",
            )
        waited = {"yes": True, "no": False}.get(given.get("waited", ""))
        return found_after(await parts.tails.archive(old, await parts.cluster.parted(), waited))


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """The member in `old` follows the leader again. What it had is gone then: it must be archived before."""

    parts: PartsOf
    wants = ("old",)
    finds = ("follows",)

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, old = of(self.parts, given), asked(given, "old")
        return {"follows": "yes"} if follows(await parts.cluster.told(), old) else None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts, old = of(self.parts, given), asked(given, "old")
        if leader_in(await parts.cluster.told(), old):
            raise StepFailed(f"the leader is in {old}: it is not rebuilt")
        await parts.cluster.rebuild(old, fence)
        await until(lambda: self.observe(given), REBUILT_WITHIN, f"{old} does not follow", parts.clock)

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(
            await self.observe(given), f"the database in {given['old']} does not follow the leader"
        )


@dataclass(frozen=True, slots=True)
class InStep:
    """Each commit waits for the region `old`: a switchover to it would lose nothing."""

    parts: PartsOf
    wants = ("old",)
    finds = ("waits_for",)

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, old = of(self.parts, given), asked(given, "old")
        told = await parts.cluster.told()
        return {"waits_for": old} if follows(told, old) and waits_for(told, old) else None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts, old = of(self.parts, given), asked(given, "old")
        del fence  # waiting changes nothing
        await until(
            lambda: self.observe(given), IN_STEP_WITHIN, f"commits do not wait for {old}", parts.clock
        )

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(await self.observe(given), f"commits do not wait for {given['old']}")


def follows(told: Mapping[str, Told], region: str) -> bool:
    """Whether the member there runs as a standby on the leader's timeline, by both their words."""
    place = told.get(region)
    own = None if place is None else place.own()
    leaders = [
        each.own() for name, each in told.items() if name != region and leader_in(told, name) is not None
    ]
    leader = leaders[0] if leaders else None
    if own is None or leader is None or own.leads or not own.running:
        return False
    return own.timeline is not None and own.timeline == leader.timeline
