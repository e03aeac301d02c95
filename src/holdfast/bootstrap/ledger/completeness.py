"""Completeness, in the ledger's process: judged all the time, told to operators, and as figures."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from holdfast.adapters.notify.channels import AppriseNotifier
from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.ledger.completeness import PostgresCompleteness
from holdfast.adapters.postgres.ledger.completeness_folds import CompletenessFold, MetersFold
from holdfast.adapters.postgres.ledger.following import PostgresFollowing
from holdfast.bootstrap.alerting import url_of
from holdfast.bootstrap.ledger.alarms import LedgerAlarms
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.working import Working
from holdfast.estate.model import Estate
from holdfast.interfaces.console.ledger_completeness_pages import CompletenessPages
from holdfast.interfaces.ledger.completeness_figures import by_tenant, over_all
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.completeness.judging import Judge, TenantStatus
from holdfast.ledger.following import Fold

LOOK_EVERY_S = 15.0
REST = 20.0
"""So much longer than a look took is the pause behind it: with many tenants there is a look less often."""


def completeness_of(ledger: Ledger) -> PostgresCompleteness:
    """What is kept of it, of an open ledger."""
    return PostgresCompleteness(ledger.pool, PostgresFollowing(ledger.pool, ledger.packs), ledger.logs)


def folds_of(ledger: Ledger) -> Sequence[Fold]:
    """What completeness derives from the logs: for the follower."""
    following = PostgresFollowing(ledger.pool, ledger.packs)
    return CompletenessFold(ledger.pool), MetersFold(ledger.pool, following, ledger.logs)


def judge_in(pool: Pool, clock: Clock, estate: Estate) -> Judge | None:
    """For who only reads, over a pool of any role that may; None where the estate declares no ledger."""
    if estate.ledger is None:
        return None
    return Judge(PostgresCompleteness(pool), clock, gap_after=estate.ledger.unusual.gap_after)


def completeness_pages(pool: Pool, clock: Clock, estate: Callable[[], Estate]) -> CompletenessPages:
    """Of the estate that is in force when a page is asked for."""
    return CompletenessPages(lambda: judge_in(pool, clock, estate()))


async def completeness_figures(pool: Pool, clock: Clock, estate: Estate) -> Sequence[str]:
    """By tenant, for the console's metrics: who asks there has a token."""
    judge = judge_in(pool, clock, estate)
    return list(by_tenant(await judge.status(), clock.now())) if judge is not None else []


async def watch(working: Working) -> None:
    """Judge, and tell operators what somebody must look into. Until cancelled."""
    judge = Judge(
        completeness_of(working.ledger),
        working.clock,
        gap_after=working.ledger.declared.unusual.gap_after,
    )
    notifier = AppriseNotifier(partial(url_of, working.estate, working.place.config))
    alarms = LedgerAlarms(working.estate, notifier, working.clock.monotonic)
    latest = list[TenantStatus]()

    async def figures() -> str:
        return "\n".join(over_all(latest, working.clock.now()))

    working.more_figures.append(figures)
    telling = asyncio.create_task(alarms.run())
    try:
        with working.tell.heard_by(alarms.hear):
            while True:
                began = working.clock.monotonic()
                try:
                    await _look(judge, alarms, working)
                    latest[:] = await judge.status()
                    working.tell.trouble("completeness_waits", None)
                except HoldfastError as error:
                    working.tell.trouble("completeness_waits", error)
                took_s = working.clock.monotonic() - began
                await asyncio.sleep(max(LOOK_EVERY_S, REST * took_s))
    finally:
        working.more_figures.remove(figures)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _look(judge: Judge, alarms: LedgerAlarms, working: Working) -> None:
    for entry in await judge.look():
        working.tell.pass_on(entry)
    for concern in await judge.to_tell():
        alarms.stands(concern)
