"""The group of commands, and the subjects in it."""

from collections.abc import Callable

import typer

from holdfast.interfaces.cli.ledger.bundle import add_bundle
from holdfast.interfaces.cli.ledger.correcting import add_correcting
from holdfast.interfaces.cli.ledger.gaps import add_gaps
from holdfast.interfaces.cli.ledger.ingest import add_ingest
from holdfast.interfaces.cli.ledger.jobs import add_jobs
from holdfast.interfaces.cli.ledger.keys import add_keys
from holdfast.interfaces.cli.ledger.late import add_late
from holdfast.interfaces.cli.ledger.meters import add_meters
from holdfast.interfaces.cli.ledger.persons import add_persons
from holdfast.interfaces.cli.ledger.ports import LedgerCommands
from holdfast.interfaces.cli.ledger.reapply import add_reapply
from holdfast.interfaces.cli.ledger.report import add_report
from holdfast.interfaces.cli.ledger.retention import add_retention
from holdfast.interfaces.cli.ledger.sources import add_sources
from holdfast.interfaces.cli.ledger.status import add_status
from holdfast.interfaces.cli.ledger.tenants import add_tenants
from holdfast.interfaces.cli.ledger.trace import add_trace
from holdfast.interfaces.cli.ledger.verify import add_verify
from holdfast.interfaces.cli.ledger.witness import add_witness


def build(commands: Callable[[], LedgerCommands]) -> typer.Typer:
    """`holdfast ledger`."""
    app = typer.Typer(help="The accounting ledger: every job, complete and provable.", no_args_is_help=True)
    _add_subjects(app, commands)
    return app


def _add_subjects(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    """One line for each module of this package: add_XXX(app, commands)."""
    add_tenants(app, commands)
    add_persons(app, commands)
    add_retention(app, commands)
    add_sources(app, commands)
    add_ingest(app, commands)
    add_reapply(app, commands)
    add_late(app, commands)
    add_correcting(app, commands)
    add_status(app, commands)
    add_gaps(app, commands)
    add_meters(app, commands)
    add_jobs(app, commands)
    add_trace(app, commands)
    add_report(app, commands)
    add_verify(app, commands)
    add_bundle(app, commands)
    add_keys(app, commands)
    add_witness(app, commands)
