"""An agreement's statement, for people and for programs."""

from datetime import timedelta
from typing import Any

import typer

from holdfast.availability.model import State
from holdfast.availability.sla import MEASURED, Figure, percent_text
from holdfast.communication.model import Incident
from holdfast.interfaces.cli.frozen import print_chain, row_as_plain
from holdfast.interfaces.cli.output import print_table
from holdfast.interfaces.cli.ports import SlaReport
from holdfast.kernel.durations import format_duration

DOWNTIME = frozenset({State.MAJOR_OUTAGE, State.PARTIAL_OUTAGE})
"""Of these it is said when nobody declared an incident."""


def as_plain(found: SlaReport) -> dict[str, Any]:
    """The report for programs. Durations are in seconds; figures are percent, rounded down."""
    report = found.report
    statement = report.statement
    return {
        "agreement": report.key,
        "customer": report.customer_name,
        "formula": statement.figure.formula,
        "from": statement.window.start,
        "to": statement.window.end,
        "elapsed_to": statement.elapsed.end,
        "sample": report.sample,
        "objective_percent": str(statement.terms.objective),
        "met": statement.met,
        "total": _plain_figure(statement.figure),
        "components": {
            f"{each.cluster_key}/{each.key}": _plain_figure(statement.by_component[each.id])
            for each in report.components
        },
        "budget": {
            "allowed_s": statement.budget.allowed.total_seconds(),
            "spent_s": statement.budget.spent.total_seconds(),
            "left_s": statement.budget.left.total_seconds(),
        },
        "credit_percent": str(statement.credit),
        "events": [
            {
                "component": f"{status.cluster_key}/{status.key}",
                "state": event.state.label,
                "from": event.window.start,
                "to": event.window.end,
                "reason": event.reason,
                "because_of": [f"{each.cluster_key}/{each.key}" for each in event.because_of],
                "sample": event.sample,
                "incident": None if incident is None else {"id": incident.id, "title": incident.title},
            }
            for (status, event), incident in zip(report.events, found.declared, strict=True)
        ],
        "frozen": [row_as_plain(row) for row in report.frozen],
    }


def _plain_figure(figure: Figure) -> dict[str, Any]:
    return {
        "availability_percent": percent_text(figure.availability, 5),
        "counted_s": figure.counted.total_seconds(),
        "weighted_downtime_s": figure.downtime.total_seconds(),
        "excluded_maintenance_s": figure.tally.excluded.total_seconds(),
        **{f"{state.label}_s": figure.tally.of(state).total_seconds() for state in MEASURED},
    }


def print_report(found: SlaReport) -> None:
    """The report for people."""
    report = found.report
    statement = report.statement
    typer.echo(f"{report.agreement.name} · {report.customer_name}")
    if report.sample:
        typer.echo("CONTAINS SAMPLE HISTORY: not a statement about a real service")
    typer.echo(f"{statement.window.start:%Y-%m-%d %H:%M}Z to {statement.window.end:%Y-%m-%d %H:%M}Z")
    typer.echo(f"formula {statement.figure.formula}, objective {statement.terms.objective} %")
    rows = [
        (f"{each.cluster_key}/{each.key}", *_cells(statement.by_component[each.id]))
        for each in report.components
    ]
    rows.append(("all", *_cells(statement.figure)))
    headings = ("component", "availability %", "major", "partial", "degraded", "unknown", "maintenance")
    print_table(dict.fromkeys(headings, "right") | {"component": "left"}, rows)
    verdict = {True: "met so far", False: "MISSED", None: "no data"}[statement.met]
    budget = statement.budget
    typer.echo(f"objective {verdict}; error budget left {_length(budget.left)} of {_length(budget.allowed)}")
    if statement.credit:
        typer.echo(f"credit owed: {statement.credit} % of the fee")
    _print_downtimes(found)
    print_chain(report.frozen)


def _print_downtimes(found: SlaReport) -> None:
    rows = [
        (
            f"{event.window.start:%Y-%m-%d %H:%M:%S}Z",
            _length(event.window.duration),
            f"{status.cluster_key}/{status.key}",
            event.state.label.replace("_", " "),
            _declared(incident),
        )
        for (status, event), incident in zip(found.report.events, found.declared, strict=True)
        if event.state in DOWNTIME
    ]
    if rows:
        print_table(dict.fromkeys(("downtime", "for", "component", "state", "incident"), "left"), rows)


def _declared(incident: Incident | None) -> str:
    return "none was declared" if incident is None else f"{incident.id} {incident.title}"


def _cells(figure: Figure) -> tuple[str, ...]:
    states = (State.MAJOR_OUTAGE, State.PARTIAL_OUTAGE, State.DEGRADED, State.UNKNOWN)
    lengths = [*(figure.tally.of(state) for state in states), figure.tally.excluded]
    return percent_text(figure.availability) or "no data", *(
        _length(each) if each else "-" for each in lengths
    )


def _length(duration: timedelta) -> str:
    """To the second, for people; `--json` has it exactly."""
    return format_duration(timedelta(seconds=round(duration.total_seconds())))
