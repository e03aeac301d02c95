"""What the commands of the command line do."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from holdfast.adapters.postgres.agents import PostgresAgents
from holdfast.adapters.postgres.alerting import PostgresAlerts
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.adapters.vault.aes import AesVault
from holdfast.availability.alerting.model import Outcome, Silence
from holdfast.availability.inventory import Inventory
from holdfast.availability.months import Verified
from holdfast.availability.reading import Reader
from holdfast.availability.vantage import VantageLogin, fresh_token, sha256_of
from holdfast.availability.views import Overview
from holdfast.bootstrap import interchange, lab, months, running
from holdfast.bootstrap.accounts import AccountCommands
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.alerting import check_pattern, send_test
from holdfast.bootstrap.connections import try_connections, warnings_of
from holdfast.bootstrap.database import is_embedded, server_for
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.incidents import IncidentCommands
from holdfast.bootstrap.logs import configure_logs
from holdfast.bootstrap.maintenance import MaintenanceCommands, check_times
from holdfast.bootstrap.statements import statement_of
from holdfast.bootstrap.subscribers import SubscriberCommands
from holdfast.bootstrap.vault import vault_for
from holdfast.estate.model import Estate, VantagePoint
from holdfast.estate.schema import estate_schema
from holdfast.estate.suggest import did_you_mean
from holdfast.estate.template import render_template
from holdfast.interfaces.cli.admitting import AccountOutcome, AccountRequest, AccountShown, TokenShown
from holdfast.interfaces.cli.declaring import IncidentOutcome, IncidentRequest
from holdfast.interfaces.cli.planning import (
    MaintenanceRequest,
    SeriesOutcome,
    SeriesRequest,
)
from holdfast.interfaces.cli.planning import Outcome as MaintenanceOutcome
from holdfast.interfaces.cli.ports import (
    AgentLogin,
    AgentRequest,
    AlertStatus,
    Checked,
    Exported,
    ImportOutcome,
    ImportRequest,
    LabPart,
    Place,
    Progress,
    Report,
    RoleName,
    Running,
    SlaReport,
)
from holdfast.interfaces.cli.reporting import ReportFile, ReportRequest
from holdfast.interfaces.cli.subscribing import Subscriber, SubscriberCounts
from holdfast.kernel.clock import SystemClock
from holdfast.kernel.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.interfaces.cli.backup import BackupCommands
    from holdfast.interfaces.cli.copies import CopyCommands
    from holdfast.interfaces.cli.recoverable import RecoverableCommands
    from holdfast.interfaces.cli.restoring import RestoreCommands
    from holdfast.interfaces.cli.searching import SearchCommands
    from holdfast.interfaces.cli.verifying import VerifyCommands
    from holdfast.interfaces.cli.wal import WalCommands
    from holdfast.interfaces.staticsite.exporting import Exported as SiteExported

T = TypeVar("T")
STATUS_DAYS = 30
NEWEST_ALERTS = 100


class UsageError(HoldfastError):
    """The command's arguments ask for something that is not there."""


class LocalCommands:
    """Commands on this machine."""

    def write_template(self, path: Path, *, overwrite: bool) -> None:
        if path.exists() and not overwrite:
            raise UsageError(f"{path} is there already", hint="add --force to replace it")
        try:
            path.write_text(render_template(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from error

    def schema(self) -> Mapping[str, object]:
        return estate_schema()

    def check(self, place: Place, *, connect: bool, report: Report) -> Checked:
        estate = read_estate(place.config)
        if not connect:
            return Checked(estate, warnings_of(estate))
        tried = _run(try_connections(estate, place, report))
        return Checked(estate, [*warnings_of(estate), *tried])

    def up(
        self, place: Place, *, sample_history: bool, report: Report, running: Callable[[Running], None]
    ) -> None:
        _run(_up(place, sample_history=sample_history, report=report, told=running))

    def serve(self, role: RoleName, place: Place, *, supervised: bool) -> None:
        _run(running.serve(role, place, supervised=supervised))

    def serve_agent(self, request: AgentRequest) -> None:
        _run(running.serve_agent(request))

    def agent_add(self, place: Place, key: str) -> str:
        async def add(pool: Pool, inventory: Inventory) -> str:
            _declared_vantage(key, inventory.estate)
            token = fresh_token()
            await PostgresAgents(pool).add(key, sha256_of(token), command_line())
            return token

        return _run(_with_database(place, Role.CONTROLLER, add))

    def agent_list(self, place: Place) -> Sequence[AgentLogin]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[AgentLogin]:
            declared_here = inventory.estate.vantage_points
            logins = {each.key: each for each in await PostgresAgents(pool).logins()}
            return [
                _agent_login(key, declared_here, logins) for key in dict.fromkeys([*declared_here, *logins])
            ]

        return _run(_with_database(place, Role.CONTROLLER, read))

    def agent_revoke(self, place: Place, key: str) -> bool:
        async def revoke(pool: Pool, _: Inventory) -> bool:
            return await PostgresAgents(pool).revoke(key, command_line())

        return _run(_with_database(place, Role.CONTROLLER, revoke))

    def account(self, place: Place, request: AccountRequest) -> AccountOutcome:
        async def do(pool: Pool, inventory: Inventory) -> AccountOutcome:
            return await AccountCommands(pool, inventory.estate).do(request)

        return _run(_with_database(place, Role.CONSOLE, do))

    def account_list(self, place: Place) -> Sequence[AccountShown]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[AccountShown]:
            return await AccountCommands(pool, inventory.estate).accounts()

        return _run(_with_database(place, Role.CONSOLE, read))

    def token_create(
        self, place: Place, name: str, scopes: Sequence[str], lasting: timedelta | None
    ) -> tuple[TokenShown, str]:
        async def create(pool: Pool, inventory: Inventory) -> tuple[TokenShown, str]:
            return await AccountCommands(pool, inventory.estate).create_token(name, scopes, lasting)

        return _run(_with_database(place, Role.CONSOLE, create))

    def token_list(self, place: Place) -> Sequence[TokenShown]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[TokenShown]:
            return await AccountCommands(pool, inventory.estate).tokens()

        return _run(_with_database(place, Role.CONSOLE, read))

    def token_revoke(self, place: Place, name: str) -> None:
        async def revoke(pool: Pool, inventory: Inventory) -> None:
            await AccountCommands(pool, inventory.estate).revoke_token(name)

        _run(_with_database(place, Role.CONSOLE, revoke))

    def demo(
        self,
        place: Place,
        *,
        listen: str | None,
        sample_history: bool,
        report: Report,
        running: Callable[[Running], None],
    ) -> None:
        _run(_demo(place, listen, sample_history=sample_history, report=report, told=running))

    def status(self, place: Place, show: Callable[[Overview], None], *, every_s: float | None) -> None:
        async def follow(pool: Pool, inventory: Inventory) -> None:
            reader = Reader(PostgresReadingStore(pool), SystemClock(), lambda: inventory)
            show(await reader.overview(days=STATUS_DAYS))
            while every_s is not None:
                await asyncio.sleep(every_s)
                show(await reader.overview(days=STATUS_DAYS))

        _run(_with_database(place, Role.SITE, follow))

    def lab_up(self, place: Place, report: Report) -> Sequence[LabPart]:
        return _run(lab.up(place, report))

    def lab_down(self, place: Place, report: Report) -> Sequence[LabPart]:
        return _run(lab.down(place, report))

    def lab_break(self, place: Place, name: str, how: str, report: Report) -> Sequence[LabPart]:
        return _run(lab.break_(place, name, how, report))

    def lab_heal(self, place: Place, name: str, report: Report) -> Sequence[LabPart]:
        return _run(lab.heal(place, name, report))

    def lab_status(self, place: Place) -> Sequence[LabPart]:
        return _run(lab.status(place))

    def sla_report(self, place: Place, agreement: str, moment: datetime | None) -> SlaReport:
        async def read(pool: Pool, inventory: Inventory) -> SlaReport:
            return await statement_of(pool, SystemClock(), inventory, agreement, moment)

        return _run(_with_database(place, Role.SITE, read))

    def report(self, place: Place, request: ReportRequest) -> ReportFile:
        from holdfast.bootstrap.reports import requested_report  # noqa: PLC0415  templates and all

        async def make(pool: Pool, inventory: Inventory) -> ReportFile:
            return await requested_report(pool, SystemClock(), inventory, request)

        return _run(_with_database(place, Role.SITE, make))

    def site_export(self, place: Place, folder: Path, months: int, report: Report) -> "SiteExported":
        from holdfast.bootstrap.exporting import export_site  # noqa: PLC0415  the whole site

        configure_logs("export")
        return _run(export_site(place, folder, months, report))

    def sla_verify(self, place: Place, agreement: str | None) -> Sequence[Verified]:
        async def recompute(pool: Pool, inventory: Inventory) -> Sequence[Verified]:
            found = await months.verify(pool, SystemClock(), agreement)
            # One that was removed from the file keeps its frozen months.
            if agreement is not None and not found and agreement not in inventory.estate.agreements:
                raise _no_agreement(agreement, inventory.estate.agreements)
            return found

        return _run(_with_database(place, Role.SITE, recompute))

    def incident(self, place: Place, request: IncidentRequest) -> IncidentOutcome:
        async def do(pool: Pool, inventory: Inventory) -> IncidentOutcome:
            return await IncidentCommands(pool, inventory).do(request)

        return _run(_with_database(place, Role.CONSOLE, do))

    def incident_list(self, place: Place, *, over: bool) -> Sequence[IncidentOutcome]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[IncidentOutcome]:
            return await IncidentCommands(pool, inventory).listed(over=over)

        return _run(_with_database(place, Role.CONSOLE, read))

    def incident_show(self, place: Place, incident_id: str) -> IncidentOutcome:
        async def read(pool: Pool, inventory: Inventory) -> IncidentOutcome:
            return await IncidentCommands(pool, inventory).show(incident_id)

        return _run(_with_database(place, Role.CONSOLE, read))

    def maintenance(self, place: Place, request: MaintenanceRequest) -> MaintenanceOutcome:
        async def do(pool: Pool, inventory: Inventory) -> MaintenanceOutcome:
            return await MaintenanceCommands(pool, inventory).do(request)

        check_times(request)
        return _run(_with_database(place, Role.CONTROLLER, do))

    def maintenance_list(self, place: Place, *, finished: bool) -> Sequence[MaintenanceOutcome]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[MaintenanceOutcome]:
            return await MaintenanceCommands(pool, inventory).listed(finished=finished)

        return _run(_with_database(place, Role.SITE, read))

    def maintenance_show(self, place: Place, maintenance_id: str) -> MaintenanceOutcome:
        async def read(pool: Pool, inventory: Inventory) -> MaintenanceOutcome:
            return await MaintenanceCommands(pool, inventory).show(maintenance_id)

        return _run(_with_database(place, Role.SITE, read))

    def series(self, place: Place, request: SeriesRequest) -> SeriesOutcome:
        async def do(pool: Pool, inventory: Inventory) -> SeriesOutcome:
            return await MaintenanceCommands(pool, inventory).do_series(request)

        return _run(_with_database(place, Role.CONTROLLER, do))

    def series_list(self, place: Place) -> Sequence[SeriesOutcome]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[SeriesOutcome]:
            return await MaintenanceCommands(pool, inventory).series()

        return _run(_with_database(place, Role.SITE, read))

    def series_show(self, place: Place, series_id: str) -> SeriesOutcome:
        async def read(pool: Pool, inventory: Inventory) -> SeriesOutcome:
            return await MaintenanceCommands(pool, inventory).one_series(series_id)

        return _run(_with_database(place, Role.SITE, read))

    def subscriber_list(self, place: Place, limit: int) -> Sequence[Subscriber]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[Subscriber]:
            return await SubscriberCommands(pool, _vault(place, inventory)).listed(limit)

        return _run(_with_database(place, Role.SENDER, read))

    def subscriber_stats(self, place: Place) -> SubscriberCounts:
        async def read(pool: Pool, inventory: Inventory) -> SubscriberCounts:
            return await SubscriberCommands(pool, _vault(place, inventory)).counted()

        return _run(_with_database(place, Role.SENDER, read))

    def subscriber_remove(self, place: Place, which: str) -> int:
        async def remove(pool: Pool, inventory: Inventory) -> int:
            return await SubscriberCommands(pool, _vault(place, inventory)).remove(which)

        return _run(_with_database(place, Role.SENDER, remove))

    def alert_list(self, place: Place, *, ended: bool) -> AlertStatus:
        async def read(pool: Pool, _: Inventory) -> AlertStatus:
            store = PostgresAlerts(pool)
            alerts = await store.alerts(NEWEST_ALERTS) if ended else (await store.board()).alerts
            shown = [alert for alert in alerts if ended or alert.is_open]
            return AlertStatus(shown, await store.silences(), await store.waiting())

        return _run(_with_database(place, Role.CONTROLLER, read))

    def alert_silence(self, place: Place, pattern: str, lasting: timedelta, reason: str) -> Silence:
        async def silence(pool: Pool, inventory: Inventory) -> Silence:
            check_pattern(pattern, inventory.estate)
            return await PostgresAlerts(pool).silence(pattern, lasting, reason, command_line())

        return _run(_with_database(place, Role.CONTROLLER, silence))

    def alert_silences(self, place: Place) -> Sequence[Silence]:
        async def read(pool: Pool, _: Inventory) -> Sequence[Silence]:
            return await PostgresAlerts(pool).silences()

        return _run(_with_database(place, Role.CONTROLLER, read))

    def alert_expire(self, place: Place, silence_id: int) -> bool:
        async def expire(pool: Pool, _: Inventory) -> bool:
            return await PostgresAlerts(pool).expire(silence_id, command_line())

        return _run(_with_database(place, Role.CONTROLLER, expire))

    def alert_test(self, place: Place, channel: str | None) -> Mapping[str, Outcome]:
        return _run(send_test(read_estate(place.config), place.config, channel))

    def import_set_up(self, request: ImportRequest, data_dir: Path, report: Report) -> ImportOutcome:
        return interchange.import_set_up(request, data_dir, report)

    def export_openslo(self, config: Path, to: Path | None, *, force: bool) -> Exported:
        exported = interchange.export_agreements(config)
        if to is not None:
            interchange.write_file(to, exported.text, replace=force)
        return exported

    def backups(self) -> "BackupCommands":
        from holdfast.bootstrap.backup.taking import LocalBackups  # noqa: PLC0415  stores and their drivers

        return LocalBackups()

    def copies(self) -> "CopyCommands":
        from holdfast.bootstrap.backup.copies import LocalCopies  # noqa: PLC0415  stores and their drivers

        return LocalCopies()

    def recoverable(self) -> "RecoverableCommands":
        from holdfast.bootstrap.backup.recoverable import LocalRecoverable  # noqa: PLC0415  stores and their drivers

        return LocalRecoverable(_with_database, _run)

    def verifications(self) -> "VerifyCommands":
        from holdfast.bootstrap.backup.verifying import LocalVerifications  # noqa: PLC0415  as above

        return LocalVerifications()

    def restores(self) -> "RestoreCommands":
        from holdfast.bootstrap.backup.restoring import LocalRestores  # noqa: PLC0415  stores and their drivers

        return LocalRestores()

    def searching(self) -> "SearchCommands":
        from holdfast.bootstrap.backup.searching import LocalSearches  # noqa: PLC0415  stores and their drivers

        return LocalSearches()

    def wal(self) -> "WalCommands":
        from holdfast.bootstrap.backup.wal import LocalWal  # noqa: PLC0415  stores and their drivers

        return LocalWal()


def _vault(place: Place, inventory: Inventory) -> AesVault:
    return vault_for(inventory.estate, place.config.absolute(), place.data_dir)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _up(place: Place, *, sample_history: bool, report: Report, told: Callable[[Running], None]) -> None:
    estate = read_estate(place.config)
    await running.up(estate, place, sample_history=sample_history, report=report, told=told)


async def _demo(
    place: Place,
    listen: str | None,
    *,
    sample_history: bool,
    report: Report,
    told: Callable[[Running], None],
) -> None:
    """The lab is ended however Holdfast ends; its content stays."""
    # Until `up` has its own way of ending, being told to end is as good as Ctrl-C.
    interrupt = partial(signal.raise_signal, signal.SIGINT)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, interrupt)
    config = await lab.prepare_demo(place, listen)
    try:
        await lab.up(place, report)
        await _up(Place(config, place.data_dir), sample_history=sample_history, report=report, told=told)
    finally:
        report(Progress("stopping the print service"))
        await lab.down(place, lambda _: None)


def _no_agreement(key: str, known: Collection[str]) -> UsageError:
    return UsageError(f"there is no agreement {key!r}", hint=f"there are: {', '.join(known) or 'none'}")


def _declared_vantage(key: str, estate: Estate) -> None:
    if key not in estate.vantage_points:
        hint = did_you_mean(key, estate.vantage_points, otherwise="declare it under `vantage_points` first")
        raise UsageError(f"the estate in force has no vantage point {key!r}", hint=hint)


def _agent_login(
    key: str, declared_here: Mapping[str, VantagePoint], logins: Mapping[str, VantageLogin]
) -> AgentLogin:
    vantage, login = declared_here.get(key), logins.get(key)
    name = "" if vantage is None else vantage.name
    if login is None:
        return AgentLogin(key, name)
    return AgentLogin(
        key,
        name,
        vantage is not None,
        login.added_at,
        login.revoked_at,
        login.last_seen_at,
        login.last_address,
    )


async def _with_database(place: Place, role: Role, work: Callable[[Pool, Inventory], Awaitable[T]]) -> T:
    """Work on the database of a running Holdfast. An embedded one is not started for this."""
    estate = read_estate(place.config)
    server = server_for(estate, place.config, place.data_dir)
    if is_embedded(server) and getattr(server, "pid", None) is None:
        raise UsageError(f"no Holdfast is running in {place.data_dir}", hint="start it first: holdfast up")
    await server.start()
    conninfo = server.conninfo(role)
    found = await PostgresRegistry(conninfo).in_force()
    if found is None:
        raise UsageError("no estate has been applied yet", hint="start it first: holdfast up")
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(conninfo, "command line", max_size=2))
        return await work(pool, Inventory(*found))
