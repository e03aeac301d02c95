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
    sources = _counted(each.sources, "source", "sources")
    yield f"  entries      {each.size:,} from {sources}, last {moment(each.last_entry_at)}"
    wait = each.size - each.published
    yield f"  published    {each.published:,}" + (f", {wait:,} wait" if wait else ", all of them")
    yield f"  one region   {each.one_region:,}" if each.one_region else "  one region   none"
    if each.second_region:
        yield f"  second       {each.second_region}"
    unread = each.size - (each.folded or 0)
    behind = f"{_counted(unread, 'entry', 'entries')} behind"
    yield "  reports      " + (behind if unread else "know all of them")
    yield f"  missing      {_missing(each)}"
    yield f"  conflicts    {each.conflicts:,}" if each.conflicts else "  conflicts    none"
    for concern in each.concerns:
        facts = ", ".join(f"{key} {value}" for key, value in concern.facts.items() if value not in ("", []))
        what = f"{concern.kind.replace('_', ' ')}: {concern.subject}"
        yield f"  ! {what}, since {moment(concern.since)}: {facts}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _missing(each: StatusShown) -> str:
    if not each.gaps:
        return "none"
    late = f", {each.overdue:,} overdue" if each.overdue else ""
    numbers, gaps = _counted(each.missing, "number", "numbers"), _counted(each.gaps, "gap", "gaps")
    return f"{numbers} in {gaps}{late}"
