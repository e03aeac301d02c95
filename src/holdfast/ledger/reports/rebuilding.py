"""Sums made anew out of the log, beside those in force: to compare the two, or to take their place.

While they are made the follower goes on with the ones in force. For the end it is held, so that both have
come equally far; it follows the other logs meanwhile.

Retention takes entries. A day that one of them touched cannot be made anew: it is compared with nothing, and
keeps the sums that it has.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from holdfast.ledger.errors import Overtaken
from holdfast.ledger.following import MOST_LEAVES, FollowedLog, Following, GrowthRead
from holdfast.ledger.ports import LogStore
from holdfast.ledger.reports.folding import Book, add

T = TypeVar("T")

MOST_TRIES = 3
MOST_TOLD = 20
"""Differences that are told one by one."""

Report = Callable[[int, int], None]
"""Told how many leaves of how many are done."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What comparing came to."""

    tenant: str
    size: int
    """Up to this leaf the sums in force and the ones made anew were compared."""
    days: int
    """How many were compared."""
    days_pruned: int
    """Whose entries are not all kept any more."""
    differences: Sequence[str]
    """At most MOST_TOLD of them."""
    count: int


class Fresh(Protocol):
    """Sums that are being made."""

    @property
    def position(self) -> int: ...

    async def target(self) -> int:
        """How far the ones in force have come."""
        ...

    async def pruned(self) -> int:
        """Below this leaf entries are no longer kept."""
        ...

    def folding(self, growths: Sequence[GrowthRead]) -> AbstractAsyncContextManager[Book]:
        """A transaction that folds these growths into them."""
        ...

    def held(self) -> AbstractAsyncContextManager[int]:
        """The follower waits, until the block ends, at the position that this tells."""
        ...

    async def compare(self) -> Compared:
        """With those in force, as both are when this is called inside `held`."""
        ...

    async def take_over(self) -> None:
        """From now on they are the ones in force, when the block of `held` ends well."""
        ...


class Books(Protocol):
    """Where sums are made anew."""

    def anew(self, log: FollowedLog) -> AbstractAsyncContextManager[Fresh]:
        """Empty sums in the tenant's time zone of now; gone at the end unless they took over.

        Raises Overtaken while somebody else makes this log's.
        """
        ...

    async def other_zones(self) -> Sequence[int]:
        """The logs whose sums are of another time zone than their tenant's is now."""
        ...


async def compared(
    books: Books, following: Following, logs: LogStore, log: FollowedLog, report: Report | None = None
) -> Compared:
    """Whether the sums in force are those of the log."""
    return await _made(books, following, logs, log, report, _compare)


async def rebuilt(
    books: Books, following: Following, logs: LogStore, log: FollowedLog, report: Report | None = None
) -> None:
    """Put sums made anew into force. Whoever reads meanwhile reads the old ones, and then the new ones."""
    await _made(books, following, logs, log, report, _take_over)


async def _compare(fresh: Fresh) -> Compared:
    return await fresh.compare()


async def _take_over(fresh: Fresh) -> None:
    await fresh.take_over()


async def _made(
    books: Books,
    following: Following,
    logs: LogStore,
    log: FollowedLog,
    report: Report | None,
    finish: Callable[[Fresh], Awaitable[T]],
) -> T:
    for _ in range(MOST_TRIES):
        async with books.anew(log) as fresh:
            pruned = await fresh.pruned()

            async def fold_up_to(target: int, fresh: Fresh = fresh) -> None:
                while fresh.position < target:
                    growths = await following.growths(log.id, fresh.position, MOST_LEAVES)
                    growths = [growth for growth in growths if growth.to_size <= target]
                    async with fresh.folding(growths) as book:
                        await add(logs, log.id, growths, book)
                    if report:
                        report(fresh.position, target)

            await fold_up_to(await fresh.target())
            async with fresh.held() as position:
                await fold_up_to(position)
                if await fresh.pruned() == pruned:
                    return await finish(fresh)
    raise Overtaken(f"retention took entries of {log.tenant!r} whenever its sums were made", hint="try again")
