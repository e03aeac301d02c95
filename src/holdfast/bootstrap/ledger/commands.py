"""Commands that concern the ledger; each is imported when it is asked for, with its drivers."""

from typing import TYPE_CHECKING

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


class LedgerCommands:
    """The part of the commands that concerns the ledger: a method for each of its protocols."""

    def ledger_tenants(self) -> "TenantCommands":
        from holdfast.bootstrap.ledger.sources import LocalTenants  # noqa: PLC0415

        return LocalTenants()

    def ledger_sources(self) -> "SourceCommands":
        from holdfast.bootstrap.ledger.sources import LocalSources  # noqa: PLC0415

        return LocalSources()

    def ledger_ingesting(self) -> "IngestCommands":
        from holdfast.bootstrap.ledger.ingesting import LocalIngesting  # noqa: PLC0415

        return LocalIngesting()

    def ledger_reapplying(self) -> "ReapplyCommands":
        from holdfast.bootstrap.ledger.reapplying import LocalReapplying  # noqa: PLC0415

        return LocalReapplying()

    def ledger_late(self) -> "LateCommands":
        from holdfast.bootstrap.ledger.late import LocalLate  # noqa: PLC0415

        return LocalLate()

    def ledger_correcting(self) -> "CorrectionCommands":
        from holdfast.bootstrap.ledger.correcting import LocalCorrecting  # noqa: PLC0415

        return LocalCorrecting()

    def ledger_completeness(self) -> "CompletenessCommands":
        from holdfast.bootstrap.ledger.completing import LocalCompleteness  # noqa: PLC0415

        return LocalCompleteness()

    def ledger_jobs(self) -> "JobsCommands":
        from holdfast.bootstrap.ledger.jobs import LocalJobs  # noqa: PLC0415

        return LocalJobs()

    def ledger_trace(self) -> "TraceCommands":
        from holdfast.bootstrap.ledger.jobs import LocalJobs  # noqa: PLC0415

        return LocalJobs()

    def ledger_verify(self) -> "VerifyCommands":
        from holdfast.bootstrap.ledger.verifying import LocalVerifying  # noqa: PLC0415

        return LocalVerifying()

    def ledger_bundles(self) -> "BundleCommands":
        from holdfast.bootstrap.ledger.bundles import LocalBundles  # noqa: PLC0415

        return LocalBundles()

    def ledger_keys(self) -> "KeyCommands":
        from holdfast.bootstrap.ledger.keys import LocalKeys  # noqa: PLC0415

        return LocalKeys()

    def ledger_witness(self) -> "WitnessCommands":
        from holdfast.bootstrap.ledger.witnesses import LocalWitness  # noqa: PLC0415

        return LocalWitness()

    def ledger_persons(self) -> "PersonCommands":
        from holdfast.bootstrap.ledger.persons import LocalPersons  # noqa: PLC0415

        return LocalPersons()

    def ledger_retention(self) -> "RetentionCommands":
        from holdfast.bootstrap.ledger.retention import LocalRetention  # noqa: PLC0415

        return LocalRetention()

    def ledger_reports(self) -> "ReportCommands":
        from holdfast.bootstrap.ledger.reports import LocalReports  # noqa: PLC0415

        return LocalReports()
