"""The roll-ups, wired: compared with the log, and made anew out of it."""

from collections.abc import Callable, Sequence

from holdfast.adapters.postgres.ledger.books import PostgresBooks
from holdfast.adapters.postgres.ledger.following import PostgresFollowing
from holdfast.bootstrap.ledger.at_hand import no_log
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.ledger.following import FollowedLog
from holdfast.ledger.reports import rebuilding
from holdfast.ledger.reports.rebuilding import Compared

Report = Callable[[str, int, int], None]
"""Told a tenant, and how many leaves of how many are done."""


async def compared(ledger: Ledger, tenant: str | None, report: Report | None = None) -> Sequence[str]:
    """Where the roll-ups of a tenant, or of all, are not what their log comes to: a line for each difference.

    The sums are made anew for it, which takes as much room in the database again, until it is done. The
    process's follower must have begun with the logs. Raises NotThere for a tenant without a log.
    """
    lines = list[str]()
    for found in await comparisons(ledger, tenant, report):
        lines += [f"{found.tenant}: {each}" for each in found.differences]
        if found.count > len(found.differences):
            lines.append(f"{found.tenant}: and {found.count - len(found.differences):,} more")
    return lines


async def comparisons(ledger: Ledger, tenant: str | None, report: Report | None = None) -> Sequence[Compared]:
    """The same, by tenant."""
    books, following = _over(ledger)
    return [
        await rebuilding.compared(books, following, ledger.logs, log, _of(log, report))
        for log in await _logs(following, tenant)
    ]


async def rebuilt(ledger: Ledger, tenant: str | None, report: Report | None = None) -> Sequence[str]:
    """Make the roll-ups of a tenant, or of all, anew. Whose they are."""
    books, following = _over(ledger)
    logs = await _logs(following, tenant)
    for log in logs:
        await rebuilding.rebuilt(books, following, ledger.logs, log, _of(log, report))
    return [log.tenant for log in logs]


async def _logs(following: PostgresFollowing, tenant: str | None) -> Sequence[FollowedLog]:
    logs = [log for log in await following.logs() if tenant in {None, log.tenant}]
    if not logs and tenant is not None:
        raise no_log(tenant)
    return logs


def _over(ledger: Ledger) -> tuple[PostgresBooks, PostgresFollowing]:
    return PostgresBooks(ledger.pool), PostgresFollowing(ledger.pool, ledger.packs)


def _of(log: FollowedLog, report: Report | None) -> rebuilding.Report | None:
    if report is None:
        return None
    return lambda done, total: report(log.tenant, done, total)
