"""The actions that take a cluster from a lost region to the other one.

    region.confirm    the region is lost still, and what could be lost by leaving it   finds the bound
    region.fence      no member of the old region holds the lead any more
    region.promote    the database leads in the new region
    region.route      every edge that answers sends users there
    region.name       the name that users know has its addresses
    region.scale      its replicas are as many as it takes
    region.verify     a user's write is acknowledged there, and read again

Each observes first, and comes to the same when it is repeated. `to` is the region that takes over, `lost` the
one that is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from holdfast.recovery.coming_about import come_about
from holdfast.recovery.deciding import CORRUPTION, INSTEAD
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.loss import BOUND_KEYS, bound_lines, found_before
from holdfast.recovery.moving import (
    Parts,
    PartsOf,
    asked,
    bound_of,
    found_within,
    is_lost,
    leader_in,
    standing_text,
    stands_of,
    told_of_failure,
    until,
)
from holdfast.recovery.ports import Fence, Found
from holdfast.recovery.region_ports import WITNESS, Lock, Told, lock_in

LOCK_EXPIRES_WITHIN = timedelta(seconds=75)
PROMOTED_BY_ITSELF_WITHIN = timedelta(seconds=3)
PROMOTED_WITHIN = timedelta(seconds=60)
READY_WITHIN = timedelta(seconds=60)
WRITTEN_WITHIN = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Confirming:
    """Looks once more, before anything is changed. `forced`: a person says it, whatever is seen.

    Data that is known to be wrong is no reason to leave a region: the other one has the same rows.
    """

    parts: PartsOf
    wants = ("lost", "to")
    finds = ("standing", "leader", "loss", *BOUND_KEYS)

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, lost, to = between(self.parts, given)
        forced = given.get("forced") == "yes"
        if not forced and await parts.damage():
            return None
        judgement, told = await parts.judged(lost)
        taken_over = leader_in(told, to)
        if not (is_lost(judgement) or taken_over or forced):
            return None
        before = {"yes": True, "no": False}.get(given.get("waited", ""))
        known = bound_of(told, lost, to, parts.clock.now(), before, await stands_of(parts))
        return {
            "standing": standing_text(judgement),
            "leader": taken_over or lost,
            "loss": "\n".join(bound_lines(known)),
            **found_before(known),
        }

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """There is nothing to do about a region that is there."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        found = await self.observe(given)
        if found is None:
            parts, lost, _ = between(self.parts, given)
            if damage := await parts.damage():
                hint = f"{INSTEAD}; to leave the region all the same: holdfast failover --force"
                raise StepFailed(f"{CORRUPTION} ({'; '.join(damage)})", hint=hint)
            judgement, _ = await parts.judged(lost)
            raise StepFailed(
                standing_text(judgement), hint="it is not lost; to move it all the same: holdfast switchover"
            )
        return found


@dataclass(frozen=True, slots=True)
class Fencing:
    """Nobody in the lost region holds the lead: whoever was primary there can acknowledge nothing more."""

    parts: PartsOf
    wants = ("lost", "to")
    finds = ("lock",)

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, lost, to = between(self.parts, given)
        told = await parts.cluster.told()
        if leader_in(told, to):
            return {"lock": f"held in {to}"}
        if _by_quorum(told) is None:
            return None
        lock = lock_in(told)
        return None if lock is not None and lock.region == lost else {"lock": "nobody holds it"}

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts, lost, _ = between(self.parts, given)
        if parts.release_lock and (lock := await _lock_of(parts, lost)) is not None:
            await parts.cluster.release(lock, fence)
            return
        # A leader that cannot renew its lock steps down before it expires: that is Patroni's own promise.
        await until(
            lambda: self.observe(given), LOCK_EXPIRES_WITHIN, f"{lost} did not lose the lead", parts.clock
        )

    async def verify(self, given: Mapping[str, str]) -> Found:
        found = await self.observe(given)
        if found is None:
            _, lost, _ = between(self.parts, given)
            raise StepFailed(
                f"a member in {lost} holds the lead, or nobody with a quorum could tell",
                hint="if the region works, use holdfast switchover",
            )
        return found


@dataclass(frozen=True, slots=True)
class Promoting:
    """The database leads in the region `to`. It may well have begun by itself."""

    parts: PartsOf
    wants = ("to",)
    finds = ("leader", "timeline")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, to = of(self.parts, given), asked(given, "to")
        return await led(parts, to)

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts, to = of(self.parts, given), asked(given, "to")
        if await found_within(lambda: led(parts, to), PROMOTED_BY_ITSELF_WITHIN, parts.clock) is not None:
            return
        await parts.cluster.fail_over(to, fence)
        await until(lambda: led(parts, to), PROMOTED_WITHIN, f"nobody leads in {to}", parts.clock)

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(await self.observe(given), f"no member leads in {given['to']}")


@dataclass(frozen=True, slots=True)
class Routing:
    """Every edge that answers sends users to `to`. With `all` = yes each must; else that of `to` must."""

    parts: PartsOf
    wants = ("to",)
    finds = ("edges", "not_reached")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, to = of(self.parts, given), asked(given, "to")
        return routed(await pointings_of(parts), to, given)

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts, to = of(self.parts, given), asked(given, "to")
        for region in sorted(parts.edges, key=lambda each: each != to):  # where users will be comes first
            why = await told_of_failure(parts.edges[region].point(to, fence))
            if why and _must_answer(region, to, given):
                raise StepFailed(f"the edge in {region} does not point to {to}: {why}")

    async def verify(self, given: Mapping[str, str]) -> Found:
        parts, to = of(self.parts, given), asked(given, "to")
        pointings = await pointings_of(parts)
        found = routed(pointings, to, given)
        if found is None:
            told = ", ".join(f"{region}: {where}" for region, where in pointings.items())
            raise StepFailed(f"an edge does not point to {to}: {told}")
        return found


@dataclass(frozen=True, slots=True)
class Naming:
    """The name that users know has the addresses of `to`, and no others."""

    parts: PartsOf
    wants = ("to",)
    finds = ("name",)

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, to = of(self.parts, given), asked(given, "to")
        if parts.names is None:
            return {"name": "none is declared"}
        return {"name": to} if await parts.names.pointing() == to else None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts, to = of(self.parts, given), asked(given, "to")
        if parts.names is not None:
            await parts.names.point(to, fence)

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(
            await self.observe(given), f"the name does not have the addresses of {given['to']}, and no others"
        )


@dataclass(frozen=True, slots=True)
class Scaling:
    """The region `to` has the replicas that serve all users."""

    parts: PartsOf
    wants = ("to",)
    finds = ("replicas",)

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, to = of(self.parts, given), asked(given, "to")
        if to not in parts.fleets:
            return {"replicas": "nobody scales here"}
        there = await parts.fleets[to].replicas()
        wanted = parts.replicas.get(to, 1)
        return {"replicas": str(there.ready)} if there.ready >= wanted <= there.wanted else None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        parts, to = of(self.parts, given), asked(given, "to")
        wanted = parts.replicas.get(to, 1)
        there = await parts.fleets[to].replicas()
        if there.wanted < wanted:
            await parts.fleets[to].scale(wanted, fence)
        await until(
            lambda: self.observe(given), READY_WITHIN, f"{wanted} replicas are not ready in {to}", parts.clock
        )

    async def verify(self, given: Mapping[str, str]) -> Found:
        return come_about(
            await self.observe(given), f"there are fewer replicas in {given['to']} than it takes"
        )


@dataclass(frozen=True, slots=True)
class Verifying:
    """A user's write is acknowledged by the region `to`: each time a new one."""

    parts: PartsOf
    wants = ("to",)
    finds = ("written_at", "write_s", "write_id", "invariant.user-write")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        parts, to = of(self.parts, given), asked(given, "to")
        if parts.write is None:
            if await led(parts, to) is None:
                return None
            unknown = "unknown: the estate declares no write"
            at = parts.clock.now().isoformat()
            return {"written_at": at, "write_s": "unknown", "invariant.user-write": unknown}
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """Writing is looking: it is done as it is verified."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        parts, to = of(self.parts, given), asked(given, "to")
        if parts.write is None:
            raise StepFailed(f"no member leads in {to}")
        written = await until(parts.write.write, WRITTEN_WITHIN, "no write was acknowledged", parts.clock)
        read = "holds" if written.read_again else "unknown: the estate does not say where it is read"
        return {
            "written_at": written.at.isoformat(),
            "write_s": f"{written.seconds:.3f}",
            "write_id": written.id,
            "invariant.user-write": read,
        }


def of(parts: PartsOf, given: Mapping[str, str]) -> Parts:
    return parts(given["subject"])


def between(parts: PartsOf, given: Mapping[str, str]) -> tuple[Parts, str, str]:
    found, lost = of(parts, given), asked(given, "lost")
    to = asked(given, "to")
    if found.other(lost) != to:
        raise StepFailed(f"{to!r} is not the other region of {lost!r}")
    return found, lost, to


async def led(parts: Parts, to: str) -> Found | None:
    told = await parts.cluster.told()
    name = leader_in(told, to)
    if name is None:
        return None
    own = told[to].own()
    timeline = None if own is None else own.timeline
    return {"leader": name, "timeline": "unknown" if timeline is None else str(timeline)}


def _by_quorum(told: Mapping[str, Told]) -> Told | None:
    return next((each for each in told.values() if each.quorum), None)


async def _lock_of(parts: Parts, region: str) -> Lock | None:
    """As the witness sees it, who has its index. Raises StepFailed when there is no quorum."""
    told = await parts.cluster.told()
    witness = told.get(WITNESS)
    if witness is None or not witness.quorum:
        raise StepFailed("the witness is away, or in no quorum", hint="the lock expires by itself only then")
    return witness.lock if witness.lock is not None and witness.lock.region == region else None


async def pointings_of(parts: Parts) -> Mapping[str, str]:
    """By edge: the region, `several or none`, or why it does not answer."""
    found = dict[str, str]()
    for region, edge in parts.edges.items():
        try:
            found[region] = (await edge.pointing()).to or "several or none"
        except StepFailed as error:
            found[region] = f"not reached: {error}"
    return found


def routed(pointings: Mapping[str, str], to: str, given: Mapping[str, str]) -> Found | None:
    for region, where in pointings.items():
        if where != to and (_must_answer(region, to, given) or not where.startswith("not reached")):
            return None
    away = [region for region, where in pointings.items() if where != to]
    pointed = [region for region in pointings if region not in away]
    return {"edges": ", ".join(pointed), "not_reached": ", ".join(away)}


def _must_answer(region: str, to: str, given: Mapping[str, str]) -> bool:
    return region == to or given.get("all") == "yes"
