"""What `holdfast ledger` needs behind it: a method for each subject (bootstrap/ledger/commands.py).

A subject's words are named here and not loaded: `holdfast --help` has no use for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.bundle import BundleCommands
    from holdfast.interfaces.cli.ledger.correcting import CorrectionCommands
    from holdfast.interfaces.cli.ledger.gaps import CompletenessCommands
    from holdfast.interfaces.cli.ledger.ingest import IngestCommands
    from holdfast.interfaces.cli.ledger.jobs import JobsCommands
    from holdfast.interfaces.cli.ledger.keys import KeyCommands
    from holdfast.interfaces.cli.ledger.late import LateCommands
    from holdfast.interfaces.cli.ledger.persons import PersonCommands
    from holdfast.interfaces.cli.ledger.reapply import ReapplyCommands
    from holdfast.interfaces.cli.ledger.report import ReportCommands
    from holdfast.interfaces.cli.ledger.retention import RetentionCommands
    from holdfast.interfaces.cli.ledger.sources import SourceCommands
    from holdfast.interfaces.cli.ledger.tenants import TenantCommands
    from holdfast.interfaces.cli.ledger.trace import TraceCommands
    from holdfast.interfaces.cli.ledger.verify import VerifyCommands
    from holdfast.interfaces.cli.ledger.witness import WitnessCommands


class LedgerCommands(Protocol):
    """Every method raises HoldfastError for what a user can put right."""

    def ledger_tenants(self) -> TenantCommands: ...

    def ledger_sources(self) -> SourceCommands: ...

    def ledger_ingesting(self) -> IngestCommands: ...

    def ledger_reapplying(self) -> ReapplyCommands: ...

    def ledger_late(self) -> LateCommands: ...

    def ledger_correcting(self) -> CorrectionCommands: ...

    def ledger_completeness(self) -> CompletenessCommands: ...

    def ledger_jobs(self) -> JobsCommands: ...

    def ledger_trace(self) -> TraceCommands: ...

    def ledger_verify(self) -> VerifyCommands: ...

    def ledger_bundles(self) -> BundleCommands: ...

    def ledger_keys(self) -> KeyCommands: ...

    def ledger_witness(self) -> WitnessCommands: ...

    def ledger_persons(self) -> PersonCommands: ...

    def ledger_retention(self) -> RetentionCommands: ...

    def ledger_reports(self) -> ReportCommands: ...
