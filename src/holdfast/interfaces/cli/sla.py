"""`holdfast sla`: what an agreement's window came to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from holdfast.availability.model import State
from holdfast.availability.sla import MEASURED, Figure, percent_text
from holdfast.availability.views import AgreementReport
from holdfast.interfaces.cli.moments import parse_month
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, told
from holdfast.interfaces.cli.ports import Commands
from holdfast.kernel.durations import format_duration


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Service level agreements.", no_args_is_help=True)

    @app.command()
    def report(
        agreement: Annotated[str, typer.Argument(help="The agreement's key in the estate file.")],
        config: Config,
        data_dir: DataDir,
        month: Annotated[str | None, typer.Option(help="Such as 2026-10; now when left out.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show an agreement's figures, by the formula that the agreement names."""
        # The middle of a month lies in it whatever the agreement's time zone.
        moment = None if month is None else datetime(*parse_month(month), 15, tzinfo=UTC)
        with told(as_json=as_json):
            found = commands().sla_report(place(config, data_dir), agreement, moment)
        if as_json:
            print_json(as_plain(found))
        else:
            _print_report(found)

    return app


def as_plain(report: AgreementReport) -> dict[str, Any]:
    """The report for programs. Durations are in seconds; figures are percent, rounded down."""
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
                "sample": event.sample,
            }
            for status, event in report.events
        ],
    }


def _plain_figure(figure: Figure) -> dict[str, Any]:
    return {
        "availability_percent": percent_text(figure.availability, 5),
        "counted_s": figure.counted.total_seconds(),
        "weighted_downtime_s": figure.downtime.total_seconds(),
        "excluded_maintenance_s": figure.tally.excluded.total_seconds(),
        **{f"{state.label}_s": figure.tally.of(state).total_seconds() for state in MEASURED},
    }


def _print_report(report: AgreementReport) -> None:
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


def _cells(figure: Figure) -> tuple[str, ...]:
    states = (State.MAJOR_OUTAGE, State.PARTIAL_OUTAGE, State.DEGRADED, State.UNKNOWN)
    lengths = [*(figure.tally.of(state) for state in states), figure.tally.excluded]
    return percent_text(figure.availability) or "no data", *(
        _length(each) if each else "-" for each in lengths
    )


def _length(duration: timedelta) -> str:
    """To the second, for people; `--json` has it exactly."""
    return format_duration(timedelta(seconds=round(duration.total_seconds())))
