"""What the estate needs from outside: a place that remembers which component was which."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from holdfast.estate.model import Estate
from holdfast.estate.values import LOCAL

ComponentId: TypeAlias = int
CheckId: TypeAlias = int
ComponentIdentity: TypeAlias = tuple[str, str]
"""(cluster key, component key)"""
CheckIdentity: TypeAlias = tuple[str, str, str]
"""(cluster key, component key, probe key): a check as one vantage point runs it, see `probe_key`."""


_SEPARATOR = "@"  # never part of a key


def probe_key(check_key: str, vantage: str) -> str:
    """What a check is called as one vantage point runs it: `health` from the controller, else `health@tokyo`.

    Each such probe has an id, and so a timeline, of its own.
    """
    return check_key if vantage == LOCAL else f"{check_key}{_SEPARATOR}{vantage}"


def check_and_vantage(key: str) -> tuple[str, str]:
    """What `probe_key` made a key of."""
    check_key, _, vantage = key.partition(_SEPARATOR)
    return check_key, vantage or LOCAL


@dataclass(frozen=True, slots=True)
class Registered:
    """The ids under which the history of everything declared is kept, as of one revision of the estate.

    `revision` grows by one with every estate that changed anything, and starts at 1. `hidden` are the
    components that were removed while their cluster was private: nobody may learn of them now either.
    """

    components: Mapping[ComponentIdentity, ComponentId]
    checks: Mapping[CheckIdentity, CheckId]
    revision: int
    hidden: frozenset[ComponentId] = frozenset()


class Registry(Protocol):
    """Keeps the ids of components and checks through every edit of the estate file."""

    async def apply(self, estate: Estate, *, source_sha256: str, at: datetime, actor: str) -> Registered:
        """Bring what is known in line with `estate` in one transaction, as `holdfast.estate.registry` says.

        Safe when several processes apply at once: they take turns. The same estate twice changes nothing and
        returns the same ids and revision. Nothing is ever deleted; what the file no longer names is marked as
        removed at `at` (aware, UTC). `source_sha256` is the hex digest of the file's bytes; it, `actor` and
        what changed go to the journal.
        """
        ...

    async def current(self) -> Registered | None:
        """The ids of what was applied last, or None before the first time."""
        ...
