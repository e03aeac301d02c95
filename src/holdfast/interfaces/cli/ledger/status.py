"""`holdfast ledger status`: how each tenant's log stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from holdfast.interfaces.cli.ledger.gaps import OneTenant, StatusShown, moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, print_json, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands


def add_status(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def status(config: Config, data_dir: DataDir, tenant: OneTenant = None, as_json: AsJson = False) -> None:
        """Show how far each log is published, in two regions, read by reports, and complete.

        Ends with 1 when there is something that somebody must look into.
        """
        with told(as_json=as_json):
            found = commands().ledger_completeness().status(place(config, data_dir), tenant)
        if as_json:
            print_json([asdict(each) for each in found])
        elif not found:
            typer.echo("No record was ever taken in.")
        else:
            for each in found:
                for line in _told(each):
                    typer.echo(line)
        if any(each.concerns for each in found):
            raise typer.Exit(FAILED)


def _told(each: StatusShown) -> Iterator[str]:
    yield f"{each.tenant}  ({each.origin})"
    yield f"  entries      {each.size:,} from {each.sources:,} sources, last {moment(each.last_entry_at)}"
    behind = each.size - each.published
    yield f"  published    {each.published:,}" + (f", {behind:,} wait" if behind else ", all of them")
    yield f"  one region   {each.one_region:,}" if each.one_region else "  one region   none"
    unread = each.size - (each.folded or 0)
    yield "  reports      " + (f"{unread:,} entries behind" if unread else "know all of them")
    yield f"  missing      {_missing(each)}"
    yield f"  conflicts    {each.conflicts:,}" if each.conflicts else "  conflicts    none"
    for concern in each.concerns:
        facts = ", ".join(f"{key} {value}" for key, value in concern.facts.items() if value not in ("", []))
        what = f"{concern.kind.replace('_', ' ')}: {concern.subject}"
        yield f"  ! {what}, since {moment(concern.since)}: {facts}"


def _missing(each: StatusShown) -> str:
    if not each.gaps:
        return "none"
    late = f", {each.overdue:,} overdue" if each.overdue else ""
    return f"{each.missing:,} numbers in {each.gaps:,} gaps{late}"
