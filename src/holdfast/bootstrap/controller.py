"""The controller's process: applies the estate, runs its checks and records what they show."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import structlog

from holdfast.adapters.postgres.availability import PostgresMembership, PostgresMonitorStore
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.journal import PostgresJournal
from holdfast.adapters.probes import Probes
from holdfast.availability.conditions import validate
from holdfast.availability.inventory import Inventory
from holdfast.availability.judging import compile_check
from holdfast.availability.monitor import Monitor
from holdfast.availability.rounds import Watched
from holdfast.availability.sharing import FIRST_SHARE, SHARES, SharedMonitor
from holdfast.bootstrap.agents import Agents
from holdfast.bootstrap.alerting import Alerting
from holdfast.bootstrap.communication import Communication
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.mailing import Reports
from holdfast.bootstrap.metrics import Metrics
from holdfast.bootstrap.months import Months
from holdfast.bootstrap.signals import Signals
from holdfast.bootstrap.upkeep import Maintenances
from holdfast.estate.errors import EstateError
from holdfast.estate.model import Estate
from holdfast.estate.ports import Registered
from holdfast.estate.reload import EstateWatcher
from holdfast.estate.values import LOCAL
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.journal import JournalEntry

ACTOR = "controller"
RETRY_EVERY_S = 1.0
_JOURNALLED = {
    "lead_taken": "monitor.lead_taken",
    "lead_lost": "monitor.lead_lost",
    "timeline_refused": "monitor.timeline_refused",
    "clock_jumped": "clock.jumped",
    "alert_opened": "alert.opened",
    "alert_escalated": "alert.escalated",
    "alert_resolved": "alert.resolved",
    "alert_delivered": "alert.delivered",
    "alert_given_up": "alert.given_up",
    "month_frozen": "month.frozen",
    "month_corrected": "month.corrected",
    "report_posted": "report.posted",
    "maintenance_overdue": "maintenance.overdue",
    "maintenance_postponed": "maintenance.postponed",
    "series_postponed": "series.postponed",
    "degradation_began": "degradation.began",
    "degradation_ended": "degradation.ended",
}

InForce = Callable[[Estate, Registered], None]
"""Told of every estate that came into force."""

log = structlog.get_logger()


async def run_controller(config: Path, data_dir: Path, conninfo: Conninfo, signals: Signals) -> None:
    """Run until `signals.stop`. The database may be away at any time, also at the start."""
    clock = SystemClock()
    journal = _JournalWriter(PostgresJournal(conninfo), clock)
    agents = Agents(config, conninfo, clock, leading=lambda: monitor.leading)
    probes = Probes(resolve_secret=partial(secret_of, config), pulse_of=agents.pulse_of)

    def monitor_for(share: int) -> Monitor:
        store = PostgresMonitorStore(conninfo, share, SHARES)
        first = share == FIRST_SHARE
        note = partial(journal.note_share, share)
        return Monitor(probes, store, clock, on_event=note, keeps_house=first)

    monitor = SharedMonitor(PostgresMembership(conninfo), monitor_for, journal.note)
    registry = PostgresRegistry(conninfo)
    alerting = Alerting(config, conninfo, clock, leading=lambda: monitor.leading, note=journal.note)
    months = Months(conninfo, clock, leading=lambda: monitor.leading, note=journal.note)
    reports = Reports(config, data_dir, conninfo, clock, leading=lambda: monitor.leading, note=journal.note)
    maintenances = Maintenances(conninfo, clock, leading=lambda: monitor.leading, note=journal.note)
    metrics = Metrics(conninfo, probes, clock, leading=lambda: monitor.leading, note=journal.note)
    communication = Communication(conninfo, clock, leading=lambda: monitor.leading, note=journal.note)

    def in_force(estate: Estate, registered: Registered) -> None:
        monitor.watch(watched_checks(estate, registered), estate.retention)
        alerting.put_in_force(Inventory(estate, registered))
        months.put_in_force(Inventory(estate, registered))
        reports.put_in_force(Inventory(estate, registered))
        metrics.put_in_force(Inventory(estate, registered))
        maintenances.put_in_force(Inventory(estate, registered))
        communication.put_in_force(Inventory(estate, registered))
        agents.put_in_force(Inventory(estate, registered))

    tasks = [
        asyncio.create_task(monitor.run(), name="monitor"),
        asyncio.create_task(alerting.run(), name="alerting"),
        asyncio.create_task(months.run(), name="months"),
        asyncio.create_task(reports.run(), name="reports"),
        asyncio.create_task(metrics.run(), name="metrics"),
        asyncio.create_task(maintenances.run(), name="maintenance"),
        asyncio.create_task(communication.run(), name="communication"),
        asyncio.create_task(agents.run(), name="agents"),
        asyncio.create_task(_follow_estate(config, registry, in_force, clock, signals), name="estate"),
        asyncio.create_task(journal.write(), name="journal"),
    ]
    ending = asyncio.create_task(signals.stop.wait())
    try:
        done, _ = await asyncio.wait({ending, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {ending}:
            task.result()  # a part that ended by itself is a fault: it ends the process, which is restarted
    finally:
        for task in (ending, *tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await probes.close()


async def _follow_estate(
    config: Path, registry: PostgresRegistry, in_force: InForce, clock: Clock, signals: Signals
) -> None:
    """Put every version of the estate file in force. A broken one is told of, and the old stays in force."""
    watcher = EstateWatcher(config, validate)
    poking = asyncio.create_task(_poke(watcher, signals))
    try:
        async for reading in watcher.readings():
            if isinstance(reading.outcome, EstateError):
                problems = [problem.as_text() for problem in reading.outcome.problems]
                log.error("estate_refused", problems=problems)
            else:
                await _apply(reading.outcome, reading.sha256, registry, in_force, clock)
    finally:
        poking.cancel()


async def _poke(watcher: EstateWatcher, signals: Signals) -> None:
    while True:
        await signals.reload.wait()
        signals.reload.clear()
        watcher.poke()


async def _apply(
    estate: Estate, sha256: str, registry: PostgresRegistry, in_force: InForce, clock: Clock
) -> None:
    while True:
        try:
            registered = await registry.apply(estate, source_sha256=sha256, at=clock.now(), actor=ACTOR)
        except HoldfastError as error:
            if error.remedy is not Remedy.TRANSIENT:
                log.error("estate_not_applied", error=str(error), hint=error.hint)  # noqa: TRY400
            await asyncio.sleep(RETRY_EVERY_S)
        else:
            in_force(estate, registered)
            log.info("estate_applied", revision=registered.revision, checks=len(registered.checks))
            return


def watched_checks(estate: Estate, registered: Registered) -> list[Watched]:
    """Every check that the controllers run, compiled, with the id under which its history is kept."""
    return [
        Watched.of(registered.checks[cluster_key, key, check_key], compile_check(check))
        for cluster_key, cluster in estate.clusters.items()
        for key, component in cluster.components.items()
        for check_key, check in component.checks.items()
        if LOCAL in check.seen_from
    ]


class _JournalWriter:
    """Logs the monitor's events, and writes those that an auditor asks for to the journal when it can."""

    def __init__(self, journal: PostgresJournal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._waiting: asyncio.Queue[JournalEntry] = asyncio.Queue(maxsize=1000)

    def note(self, event: str, facts: Mapping[str, object]) -> None:
        log.info(event, **facts)
        if event in _JOURNALLED and not self._waiting.full():
            self._waiting.put_nowait(JournalEntry(self._clock.now(), ACTOR, _JOURNALLED[event], facts))

    def note_share(self, share: int, event: str, facts: Mapping[str, object]) -> None:
        """The same for a monitor's events, with the share that it is for."""
        self.note(event, {**facts, "share": share})

    async def write(self) -> None:
        while True:
            entry = await self._waiting.get()
            while True:
                try:
                    await self._journal.append(entry)
                    break
                except HoldfastError:
                    await asyncio.sleep(RETRY_EVERY_S)
