"""What the commands of the command line do."""

import asyncio
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from holdfast.adapters.postgres.agents import PostgresAgents
from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.reading import PostgresReadingStore
from holdfast.availability.alerting.model import Outcome, Silence
from holdfast.availability.inventory import Inventory
from holdfast.availability.months import Verified
from holdfast.availability.reading import Reader
from holdfast.availability.vantage import VantageLogin, fresh_token, sha256_of
from holdfast.availability.views import Overview
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import UsageError, run, with_database
from holdfast.bootstrap.backup.commands import DatabaseCommands
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.later import Later
from holdfast.bootstrap.ledger.commands import LedgerCommands
from holdfast.bootstrap.logs import configure_logs
from holdfast.bootstrap.recovery.commands import RecoveryCommands
from holdfast.bootstrap.telling_commands import TellingCommands
from holdfast.estate.model import Estate, VantagePoint
from holdfast.estate.schema import estate_schema
from holdfast.estate.suggest import did_you_mean
from holdfast.estate.template import render_template
from holdfast.interfaces.cli.admitting import AccountOutcome, AccountRequest, AccountShown, TokenShown
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
from holdfast.kernel.clock import SystemClock

if TYPE_CHECKING:
    from holdfast.adapters.postgres import alerting as stored_alerts
    from holdfast.bootstrap import (
        accounts,
        alerting,
        connections,
        interchange,
        lab,
        months,
        running,
        statements,
    )
    from holdfast.bootstrap.recovery import checked
    from holdfast.interfaces.staticsite.exporting import Exported as SiteExported
else:
    stored_alerts = Later("holdfast.adapters.postgres.alerting")
    accounts = Later("holdfast.bootstrap.accounts")
    alerting = Later("holdfast.bootstrap.alerting")
    connections = Later("holdfast.bootstrap.connections")
    interchange = Later("holdfast.bootstrap.interchange")
    lab = Later("holdfast.bootstrap.lab")
    months = Later("holdfast.bootstrap.months")
    running = Later("holdfast.bootstrap.running")
    statements = Later("holdfast.bootstrap.statements")
    checked = Later("holdfast.bootstrap.recovery.checked")

T = TypeVar("T")
STATUS_DAYS = 30
NEWEST_ALERTS = 100


class LocalCommands(TellingCommands, DatabaseCommands, LedgerCommands, RecoveryCommands):
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
        read = [*connections.warnings_of(estate), *checked.playbooks_checked(estate, place)]
        if not connect:
            return Checked(estate, read)
        tried = run(connections.try_connections(estate, place, report))
        return Checked(estate, [*read, *tried])

    def up(
        self, place: Place, *, sample_history: bool, report: Report, running: Callable[[Running], None]
    ) -> None:
        run(_up(place, sample_history=sample_history, report=report, told=running))

    def serve(self, role: RoleName, place: Place, *, supervised: bool) -> None:
        run(running.serve(role, place, supervised=supervised))

    def serve_agent(self, request: AgentRequest) -> None:
        run(running.serve_agent(request))

    def agent_add(self, place: Place, key: str) -> str:
        async def add(pool: Pool, inventory: Inventory) -> str:
            _declared_vantage(key, inventory.estate)
            token = fresh_token()
            await PostgresAgents(pool).add(key, sha256_of(token), command_line())
            return token

        return run(with_database(place, Role.CONTROLLER, add))

    def agent_list(self, place: Place) -> Sequence[AgentLogin]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[AgentLogin]:
            declared_here = inventory.estate.vantage_points
            logins = {each.key: each for each in await PostgresAgents(pool).logins()}
            return [
                _agent_login(key, declared_here, logins) for key in dict.fromkeys([*declared_here, *logins])
            ]

        return run(with_database(place, Role.CONTROLLER, read))

    def agent_revoke(self, place: Place, key: str) -> bool:
        async def revoke(pool: Pool, _: Inventory) -> bool:
            return await PostgresAgents(pool).revoke(key, command_line())

        return run(with_database(place, Role.CONTROLLER, revoke))

    def account(self, place: Place, request: AccountRequest) -> AccountOutcome:
        async def do(pool: Pool, inventory: Inventory) -> AccountOutcome:
            return await accounts.AccountCommands(pool, inventory.estate).do(request)

        return run(with_database(place, Role.CONSOLE, do))

    def account_list(self, place: Place) -> Sequence[AccountShown]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[AccountShown]:
            return await accounts.AccountCommands(pool, inventory.estate).accounts()

        return run(with_database(place, Role.CONSOLE, read))

    def token_create(
        self, place: Place, name: str, scopes: Sequence[str], lasting: timedelta | None
    ) -> tuple[TokenShown, str]:
        async def create(pool: Pool, inventory: Inventory) -> tuple[TokenShown, str]:
            return await accounts.AccountCommands(pool, inventory.estate).create_token(name, scopes, lasting)

        return run(with_database(place, Role.CONSOLE, create))

    def token_list(self, place: Place) -> Sequence[TokenShown]:
        async def read(pool: Pool, inventory: Inventory) -> Sequence[TokenShown]:
            return await accounts.AccountCommands(pool, inventory.estate).tokens()

        return run(with_database(place, Role.CONSOLE, read))

    def token_revoke(self, place: Place, name: str) -> None:
        async def revoke(pool: Pool, inventory: Inventory) -> None:
            await accounts.AccountCommands(pool, inventory.estate).revoke_token(name)

        run(with_database(place, Role.CONSOLE, revoke))

    def demo(
        self,
        place: Place,
        *,
        listen: str | None,
        sample_history: bool,
        report: Report,
        running: Callable[[Running], None],
    ) -> None:
        run(_demo(place, listen, sample_history=sample_history, report=report, told=running))

    def status(self, place: Place, show: Callable[[Overview], None], *, every_s: float | None) -> None:
        async def follow(pool: Pool, inventory: Inventory) -> None:
            reader = Reader(PostgresReadingStore(pool), SystemClock(), lambda: inventory)
            show(await reader.overview(days=STATUS_DAYS))
            while every_s is not None:
                await asyncio.sleep(every_s)
                show(await reader.overview(days=STATUS_DAYS))

        run(with_database(place, Role.SITE, follow))

    def lab_up(
        self, place: Place, what: str, report: Report, *, namespaces: bool | None, fast: bool
    ) -> Sequence[LabPart]:
        return run(lab.up(place, what, report, namespaces=namespaces, fast=fast))

    def lab_down(self, place: Place, report: Report) -> Sequence[LabPart]:
        return run(lab.down(place, report))

    def lab_break(self, place: Place, name: str, how: str | None, report: Report) -> Sequence[LabPart]:
        return run(lab.break_(place, name, how, report))

    def lab_heal(self, place: Place, name: str, report: Report) -> Sequence[LabPart]:
        return run(lab.heal(place, name, report))

    def lab_status(self, place: Place) -> Sequence[LabPart]:
        return run(lab.status(place))

    def sla_report(self, place: Place, agreement: str, moment: datetime | None) -> SlaReport:
        async def read(pool: Pool, inventory: Inventory) -> SlaReport:
            return await statements.statement_of(pool, SystemClock(), inventory, agreement, moment)

        return run(with_database(place, Role.SITE, read))

    def report(self, place: Place, request: ReportRequest) -> ReportFile:
        from holdfast.bootstrap.reports import requested_report  # noqa: PLC0415  templates and all

        async def make(pool: Pool, inventory: Inventory) -> ReportFile:
            return await requested_report(pool, SystemClock(), inventory, request)

        return run(with_database(place, Role.SITE, make))

    def site_export(self, place: Place, folder: Path, months: int, report: Report) -> "SiteExported":
        from holdfast.bootstrap.exporting import export_site  # noqa: PLC0415  the whole site

        configure_logs("export")
        return run(export_site(place, folder, months, report))

    def sla_verify(self, place: Place, agreement: str | None) -> Sequence[Verified]:
        async def recompute(pool: Pool, inventory: Inventory) -> Sequence[Verified]:
            found = await months.verify(pool, SystemClock(), agreement)
            # One that was removed from the file keeps its frozen months.
            if agreement is not None and not found and agreement not in inventory.estate.agreements:
                raise _no_agreement(agreement, inventory.estate.agreements)
            return found

        return run(with_database(place, Role.SITE, recompute))

    def alert_list(self, place: Place, *, ended: bool) -> AlertStatus:
        async def read(pool: Pool, _: Inventory) -> AlertStatus:
            store = stored_alerts.PostgresAlerts(pool)
            alerts = await store.alerts(NEWEST_ALERTS) if ended else (await store.board()).alerts
            shown = [alert for alert in alerts if ended or alert.is_open]
            return AlertStatus(shown, await store.silences(), await store.waiting())

        return run(with_database(place, Role.CONTROLLER, read))

    def alert_silence(self, place: Place, pattern: str, lasting: timedelta, reason: str) -> Silence:
        async def silence(pool: Pool, inventory: Inventory) -> Silence:
            alerting.check_pattern(pattern, inventory.estate)
            return await stored_alerts.PostgresAlerts(pool).silence(pattern, lasting, reason, command_line())

        return run(with_database(place, Role.CONTROLLER, silence))

    def alert_silences(self, place: Place) -> Sequence[Silence]:
        async def read(pool: Pool, _: Inventory) -> Sequence[Silence]:
            return await stored_alerts.PostgresAlerts(pool).silences()

        return run(with_database(place, Role.CONTROLLER, read))

    def alert_expire(self, place: Place, silence_id: int) -> bool:
        async def expire(pool: Pool, _: Inventory) -> bool:
            return await stored_alerts.PostgresAlerts(pool).expire(silence_id, command_line())

        return run(with_database(place, Role.CONTROLLER, expire))

    def alert_test(self, place: Place, channel: str | None) -> Mapping[str, Outcome]:
        return run(alerting.send_test(read_estate(place.config), place.config, channel))

    def import_set_up(self, request: ImportRequest, data_dir: Path, report: Report) -> ImportOutcome:
        return interchange.import_set_up(request, data_dir, report)

    def export_openslo(self, config: Path, to: Path | None, *, force: bool) -> Exported:
        exported = interchange.export_agreements(config)
        if to is not None:
            interchange.write_file(to, exported.text, replace=force)
        return exported


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
        await lab.up_clusters(place, report)
        await _up(Place(config, place.data_dir), sample_history=sample_history, report=report, told=told)
    finally:
        report(Progress("stopping the print service"))
        await lab.down_clusters(place, lambda _: None)


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
