"""Actions that harm nothing: to try the engine, a playbook's gates, and a team's way of working.

practice.wait    takes `seconds`
practice.tell    finds `text`
practice.fail    fails, so that what comes before it is undone
practice.set     sets the mark `mark` in Holdfast's own database, behind a fence
practice.unset   takes it back
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.recovery.marks import PostgresMarks
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.ports import Action, Fence, Found

LONGEST_WAIT_S = 3600.0


def practice_actions(around: Surroundings) -> Mapping[str, Action]:
    """By name."""
    return {
        "practice.wait": Waiting(),
        "practice.tell": Telling(),
        "practice.fail": Failing(),
        "practice.set": Setting(around.pool, "set"),
        "practice.unset": Setting(around.pool, "unset"),
    }


@dataclass(frozen=True, slots=True)
class Waiting:
    """Takes a while. Interrupted, it takes as long again."""

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence
        try:
            seconds = float(given.get("seconds", "1"))
        except ValueError:
            raise StepFailed(f"{given['seconds']!r} is no number of seconds") from None
        await asyncio.sleep(min(max(seconds, 0.0), LONGEST_WAIT_S))

    async def verify(self, given: Mapping[str, str]) -> Found:
        del given
        return {}


@dataclass(frozen=True, slots=True)
class Telling:
    """Finds what it was given."""

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        return {"text": given.get("text", "")}

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        """There is nothing to do."""

    async def verify(self, given: Mapping[str, str]) -> Found:
        return {"text": given.get("text", "")}


@dataclass(frozen=True, slots=True)
class Failing:
    """Never comes about."""

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        del given
        return None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        del fence
        raise StepFailed(given.get("why", "it was asked to fail"))

    async def verify(self, given: Mapping[str, str]) -> Found:
        raise StepFailed(given.get("why", "it was asked to fail"))


@dataclass(frozen=True, slots=True)
class Setting:
    """A mark is as it should be. `seconds`: how long it takes to make it so."""

    pool: Pool
    to: str

    async def observe(self, given: Mapping[str, str]) -> Found | None:
        found = await PostgresMarks(self.pool).get(_mark(given))
        return {"mark": found} if found == self.to else None

    async def act(self, given: Mapping[str, str], fence: Fence) -> None:
        await Waiting().act({"seconds": given.get("seconds", "0")}, fence)
        await PostgresMarks(self.pool).put(_mark(given), self.to, fence)

    async def verify(self, given: Mapping[str, str]) -> Found:
        found = await PostgresMarks(self.pool).get(_mark(given))
        if found != self.to:
            raise StepFailed(f"the mark is {found!r}, not {self.to!r}")
        return {"mark": found}


def _mark(given: Mapping[str, str]) -> str:
    if "mark" not in given:
        raise StepFailed("practice.set is given `mark`")
    return given["mark"]
