"""What the command line needs behind it. `holdfast.bootstrap.commands` provides it.

The contexts' words are named here and not loaded: `holdfast --help` has no use for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from holdfast.interfaces.cli.ledger.ports import LedgerCommands
from holdfast.interfaces.cli.recovery.ports import RecoveryCommands

if TYPE_CHECKING:
    from holdfast.availability.alerting.model import Alert, Outcome, Silence, Waiting
    from holdfast.availability.months import Verified
    from holdfast.availability.views import AgreementReport, Overview
    from holdfast.communication.model import Incident
    from holdfast.estate.model import Estate
    from holdfast.interchange.report import Remark
    from holdfast.interfaces.cli.admitting import AccountOutcome, AccountRequest, AccountShown, TokenShown
    from holdfast.interfaces.cli.backup import BackupCommands
    from holdfast.interfaces.cli.copies import CopyCommands
    from holdfast.interfaces.cli.declaring import IncidentOutcome, IncidentRequest
    from holdfast.interfaces.cli.planning import MaintenanceRequest, SeriesOutcome, SeriesRequest
    from holdfast.interfaces.cli.planning import Outcome as MaintenanceOutcome
    from holdfast.interfaces.cli.recoverable import RecoverableCommands
    from holdfast.interfaces.cli.reporting import ReportFile, ReportRequest
    from holdfast.interfaces.cli.restoring import RestoreCommands
    from holdfast.interfaces.cli.searching import SearchCommands
    from holdfast.interfaces.cli.subscribing import Subscriber, SubscriberCounts
    from holdfast.interfaces.cli.verifying import VerifyCommands
    from holdfast.interfaces.cli.wal import WalCommands
    from holdfast.interfaces.staticsite.exporting import Exported as SiteExported


RoleName = Literal["controller", "site", "console", "sender", "backup", "ledger", "recovery"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the estate file is, and where Holdfast keeps what is its own."""

    config: Path
    data_dir: Path


@dataclass(frozen=True, slots=True)
class SlaReport:
    """An agreement's figures, and for each of its `events` the incident that was declared, or None."""

    report: AgreementReport
    declared: Sequence[Incident | None] = ()


@dataclass(frozen=True, slots=True)
class AgentRequest:
    """How an agent reaches its controller, proves who it is, and where it keeps what it has not delivered."""

    controller: str
    token_file: Path
    data_dir: Path
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class AgentLogin:
    """A vantage point: whether the estate declares it, and whether it may deliver results."""

    key: str
    name: str = ""
    declared: bool = True
    added_at: datetime | None = None
    revoked_at: datetime | None = None
    last_seen_at: datetime | None = None
    last_address: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """Something that long work has to say. `done` of `total`, where that is known."""

    text: str
    done: int | None = None
    total: int | None = None


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one attempt at something declared in the estate came to. A `warning` works, and may do harm."""

    subject: str
    ok: bool
    text: str
    took_ms: float | None = None
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid estate, and what trying its connections came to."""

    estate: Estate
    findings: Sequence[Finding] = ()

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Running:
    """What `up` tells once everything answers."""

    site_url: str
    report_urls: Mapping[str, str] = field(default_factory=dict)
    console_url: str | None = None


@dataclass(frozen=True, slots=True)
class LabPart:
    name: str
    state: str
    pid: int | None = None
    port: int | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """What is open (or was), who is left alone, and what is not delivered yet."""

    alerts: Sequence[Alert]
    silences: Sequence[Silence]
    waiting: Sequence[Waiting]


SourceName = Literal["openslo", "uptime-kuma", "gatus", "upptime"]


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import, and where it goes. Without `to`, and in a dry run, nothing is written.

    `history` also imports the past; when the estate at `to` is there already and not replaced, then into the
    checks that it has.
    """

    source: SourceName
    paths: tuple[Path, ...]
    to: Path | None = None
    force: bool = False
    dry_run: bool = False
    history: bool = False
    base: Path | None = None
    prometheus: str | None = None


@dataclass(frozen=True, slots=True)
class PastImported:
    """What became of one check's past: how much there was, or why it was refused."""

    check: str
    records: int = 0
    transitions: int = 0
    gaps: int = 0
    unknown: timedelta = timedelta()
    out_of_order: int = 0
    first: datetime | None = None
    last: datetime | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """An imported estate as text and as it was read back, and everything that has to be said about it."""

    text: str
    estate: Estate
    written: Path | None
    remarks: Sequence[Remark] = ()
    pasts: Sequence[PastImported] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """Documents as text, how many objectives are in them, and what could not be said."""

    text: str
    slos: int
    remarks: Sequence[Remark] = ()


class Commands(LedgerCommands, RecoveryCommands, Protocol):
    """Every method raises HoldfastError for what a user can put right."""

    def write_template(self, path: Path, *, overwrite: bool) -> None: ...

    def schema(self) -> Mapping[str, object]: ...

    def check(self, place: Place, *, connect: bool, report: Report) -> Checked: ...

    def up(
        self, place: Place, *, sample_history: bool, report: Report, running: Callable[[Running], None]
    ) -> None:
        """Run every role until a signal ends it; `running` is called once all answer."""
        ...

    def serve(self, role: RoleName, place: Place, *, supervised: bool) -> None:
        """Run one role until a signal ends it."""
        ...

    def serve_agent(self, request: AgentRequest) -> None:
        """Run a vantage point's checks until a signal ends it. Needs no estate file and no database."""
        ...

    def agent_add(self, place: Place, key: str) -> str:
        """Give a declared vantage point a fresh token, which is returned and kept nowhere."""
        ...

    def agent_list(self, place: Place) -> Sequence[AgentLogin]: ...

    def agent_revoke(self, place: Place, key: str) -> bool:
        """False when there was nothing to revoke."""
        ...

    def account(self, place: Place, request: AccountRequest) -> AccountOutcome:
        """Take one step with an account."""
        ...

    def account_list(self, place: Place) -> Sequence[AccountShown]: ...

    def token_create(
        self, place: Place, name: str, scopes: Sequence[str], lasting: timedelta | None
    ) -> tuple[TokenShown, str]:
        """Make a token; its secret is returned and kept nowhere."""
        ...

    def token_list(self, place: Place) -> Sequence[TokenShown]: ...

    def token_revoke(self, place: Place, name: str) -> None: ...

    def status(self, place: Place, show: Callable[[Overview], None], *, every_s: float | None) -> None:
        """Hand `show` the estate's status: once, or again and again until interrupted."""
        ...

    def lab_up(
        self, place: Place, what: str, report: Report, *, namespaces: bool | None, fast: bool
    ) -> Sequence[LabPart]:
        """Start the lab that `what` names: regions, or clusters. The rest is for regions."""
        ...

    def lab_down(self, place: Place, report: Report) -> Sequence[LabPart]: ...

    def lab_break(self, place: Place, name: str, how: str | None, report: Report) -> Sequence[LabPart]: ...

    def lab_heal(self, place: Place, name: str, report: Report) -> Sequence[LabPart]: ...

    def lab_status(self, place: Place) -> Sequence[LabPart]: ...

    def demo(
        self,
        place: Place,
        *,
        listen: str | None,
        sample_history: bool,
        report: Report,
        running: Callable[[Running], None],
    ) -> None:
        """The lab with Holdfast on it, until a signal ends both. `listen` overrides its site.listen."""
        ...

    def sla_report(self, place: Place, agreement: str, moment: datetime | None) -> SlaReport:
        """The agreement of that key, or the only one of the customer of that key."""
        ...

    def report(self, place: Place, request: ReportRequest) -> ReportFile:
        """Make a report, as an operator sees it."""
        ...

    def site_export(self, place: Place, folder: Path, months: int, report: Report) -> SiteExported:
        """Write the public site as files; from its snapshot while the database is away."""
        ...

    def sla_verify(self, place: Place, agreement: str | None) -> Sequence[Verified]:
        """Every frozen month, or those of one agreement, beside what the stored intervals come to now."""
        ...

    def incident(self, place: Place, request: IncidentRequest) -> IncidentOutcome:
        """Take one step with an incident, or find out what it would tell, and whom."""
        ...

    def incident_list(self, place: Place, *, over: bool) -> Sequence[IncidentOutcome]:
        """The open ones, drafts too; with `over` also those that ended in the last 90 days."""
        ...

    def incident_show(self, place: Place, incident_id: str) -> IncidentOutcome: ...

    def maintenance(self, place: Place, request: MaintenanceRequest) -> MaintenanceOutcome:
        """Take one step with planned work, or find out what it would do."""
        ...

    def maintenance_list(self, place: Place, *, finished: bool) -> Sequence[MaintenanceOutcome]:
        """What is planned or under way; with `finished` also what was in the last 90 days."""
        ...

    def maintenance_show(self, place: Place, maintenance_id: str) -> MaintenanceOutcome: ...

    def series(self, place: Place, request: SeriesRequest) -> SeriesOutcome:
        """Take one step with recurring work."""
        ...

    def series_list(self, place: Place) -> Sequence[SeriesOutcome]: ...

    def series_show(self, place: Place, series_id: str) -> SeriesOutcome: ...

    def subscriber_list(self, place: Place, limit: int) -> Sequence[Subscriber]: ...

    def subscriber_stats(self, place: Place) -> SubscriberCounts: ...

    def subscriber_remove(self, place: Place, which: str) -> int:
        """End the subscription with that id, or every one of that address; returns how many."""
        ...

    def alert_list(self, place: Place, *, ended: bool) -> AlertStatus: ...

    def alert_silence(self, place: Place, pattern: str, lasting: timedelta, reason: str) -> Silence: ...

    def alert_silences(self, place: Place) -> Sequence[Silence]: ...

    def alert_expire(self, place: Place, silence_id: int) -> bool: ...

    def alert_test(self, place: Place, channel: str | None) -> Mapping[str, Outcome]:
        """Really send a test message to one channel, or to every one. Needs no running Holdfast."""
        ...

    def import_set_up(self, request: ImportRequest, data_dir: Path, report: Report) -> ImportOutcome:
        """Make an estate of another tool's set-up. Needs no running Holdfast; for history, none may run."""
        ...

    def export_openslo(self, config: Path, to: Path | None, *, force: bool) -> Exported:
        """The estate's agreements as OpenSLO, written to `to` when that is given."""
        ...

    def backups(self) -> BackupCommands:
        """Taking and listing backups. Needs no running Holdfast."""
        ...

    def copies(self) -> CopyCommands:
        """Copying between regions, and proving what they hold. Needs no running Holdfast."""
        ...

    def recoverable(self) -> RecoverableCommands:
        """What can be restored, what may go, and who agreed to that."""
        ...

    def verifications(self) -> VerifyCommands:
        """Restoring points to look at them, and marks on them. Needs no running Holdfast."""
        ...

    def restores(self) -> RestoreCommands:
        """Restoring databases. Needs no running Holdfast."""
        ...

    def searching(self) -> SearchCommands:
        """Finding the last good point. Needs no running Holdfast."""
        ...

    def wal(self) -> WalCommands:
        """Receiving and storing the write-ahead log. Needs no running Holdfast."""
        ...
