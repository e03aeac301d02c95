"""Drills of losing a region: where a cluster works now, and breaking that region where it is one of the lab.

drill.where    finds `lost`, where the cluster works now, and `to`, its other region
drill.break    breaks `part` of the lab in this data directory       finds `broken_at`
drill.heal     heals it
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ClassVar

from holdfast.bootstrap.recovery.lab_beside import lab_beside
from holdfast.bootstrap.recovery.region_parts import parts_in
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.kernel.clock import Clock
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.moving import PartsOf, leader_in
from holdfast.recovery.ports import Action, Fence, Found

LabChange = Callable[[str], Awaitable[None]]
"""Break, or heal, a part of the lab. Raises HoldfastError for one that there is not."""

_broken: ContextVar[Found] = ContextVar("broken")
"""When `act` began to break it, for the `verify` behind it in the same task."""


def region_drill_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name, on the clusters of the estate and the lab of the data directory."""

    async def change(part: str, *, broken: bool) -> None:
        regions = lab_beside(around)
        await (regions.break_(part) if broken else regions.heal(part))

    return {
        "drill.where": Whereabouts(parts_in(around)),
        "drill.break": Breaking(lambda part: change(part, broken=True), around.clock),
        "drill.heal": Healing(lambda part: change(part, broken=False)),
    }


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """In which region the cluster works. `allowed`: on what a playbook may run; `on`: on what it does."""

    parts: PartsOf
    finds: ClassVar[Sequence[str]] = ("lost", "to")

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        where = given.get("on", "")
        if where not in given.get("allowed", "").split():
            raise StepFailed(f"this drill is not for {where!r}", hint=f"for: {given.get('allowed', '')}")
        parts = self.parts(given["subject"])
        told = await parts.cluster.told()
        for region in parts.regions:
            if leader_in(told, region):
                return {"lost": region, "to": parts.other(region)}
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """Nothing is changed by looking."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        found = await self.observe(given)
        if found is None:
            raise StepFailed("nobody leads in either region", hint="that is no drill any more")
        return found


@dataclass(frozen=True, slots=True)
class Breaking:
    """A part of the lab is broken. Repeated, it stays so, and the outage began the last time."""

    change: LabChange
    clock: Clock
    wants: ClassVar[Sequence[str]] = ("part",)
    finds: ClassVar[Sequence[str]] = ("broken_at",)

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence  # the lab takes one change after the other, and none of them twice
        _broken.set({"broken_at": self.clock.now().isoformat()})
        await self.change(given["part"])

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return _broken.get()


@dataclass(frozen=True, slots=True)
class Healing:
    """It is whole again."""

    change: LabChange
    wants: ClassVar[Sequence[str]] = ("part",)
    finds: ClassVar[Sequence[str]] = ()

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence
        await self.change(given["part"])

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return {}
