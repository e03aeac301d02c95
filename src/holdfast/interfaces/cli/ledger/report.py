"""`holdfast ledger report|rebuild`: what was printed, scanned, copied and faxed, by whom and when."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, progress_shown, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place, Report
    from holdfast.ledger.reports.reporting import Asked, Row
    from holdfast.ledger.reports.reporting import Report as LedgerReport

MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Whose sums were made anew."""

    tenants: Sequence[str]


class ReportCommands(Protocol):
    """What these commands need behind them."""

    def report(self, place: Place, asked: Asked) -> LedgerReport: ...

    def rebuild(self, place: Place, tenant: str | None, report: Report) -> Rebuilt: ...


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day: write 2026-11-22") from None


Day = Annotated[date | None, typer.Option(metavar="DAY", parser=_day)]


def add_report(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    _add_report(app, commands)
    _add_rebuild(app, commands)


def _add_report(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def report(
        config: Config,
        data_dir: DataDir,
        period: Annotated[
            str, typer.Argument(metavar="[PERIOD]", help="2026, 2026-11, 2026-W47 or 2026-11-22.")
        ] = "",
        tenant: Annotated[
            str | None, typer.Option("--tenant", "-t", metavar="TENANT", help="Left out: all of them.")
        ] = None,
        since: Annotated[
            date | None, typer.Option(metavar="DAY", parser=_day, help="Instead of a period: the first day.")
        ] = None,
        until: Annotated[
            date | None, typer.Option(metavar="DAY", parser=_day, help="And the first one after it.")
        ] = None,
        by: Annotated[
            str,
            typer.Option(
                metavar="WHAT", help="tenant, kind, device, user, cost_centre or format (of paper)."
            ),
        ] = "",
        per: Annotated[str, typer.Option(metavar="TIME", help="day, week, month or year.")] = "",
        kind: Annotated[str, typer.Option(metavar="KIND", help="Only print, scan, copy or fax.")] = "",
        device: Annotated[
            str | None, typer.Option(metavar="DEVICE", help="Only this one; '' for jobs that tell none.")
        ] = None,
        user: Annotated[str | None, typer.Option(metavar="USER", help="Only this pseudonym's jobs.")] = None,
        cost_centre: Annotated[
            str | None, typer.Option(metavar="CODE", help="Only this cost centre.")
        ] = None,
        top: Annotated[
            int | None, typer.Option(min=1, metavar="N", help="Only the N greatest, by --order.")
        ] = None,
        order: Annotated[
            str,
            typer.Option(
                metavar="QUANTITY", help="jobs, sheets, impressions, scan_pages, fax_pages or amount."
            ),
        ] = "jobs",
        form: Annotated[str, typer.Option("--format", metavar="FORM", help="As a file: csv or xlsx.")] = "",
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", metavar="FILE", help="Where to; its ending says the form."),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Sum up jobs by whom, by what and over which time. The days are those of each tenant's time zone.

        Without a period it is the month that it is now.
        """
        from holdfast.ledger.model import Kind  # noqa: PLC0415
        from holdfast.ledger.reports.reporting import Asked, By, Order, Per  # noqa: PLC0415
        from holdfast.ledger.reports.times import month_of, stretch_of  # noqa: PLC0415

        with told(as_json=as_json):
            if period and (since or until):
                fail("a period, or --since and --until", "give one of the two", as_json=as_json)
            if (since is None) != (until is None):
                fail("--since and --until come together", "give both, or a period", as_json=as_json)
            first, end = stretch_of(period) if period else month_of(datetime.now(UTC).date())
            asked = Asked(
                since or first,
                until or end,
                tenant,
                _one(By, by, "--by", as_json=as_json),
                _one(Per, per, "--per", as_json=as_json),
                _one(Kind, kind, "--kind", as_json=as_json),
                device,
                user,
                cost_centre,
                top,
                _one(Order, order, "--order", as_json=as_json) or Order.JOBS,
            )
            found = commands().ledger_reports().report(place(config, data_dir), asked)
        if form or out:
            _write(found, form, out, as_json=as_json)
        elif as_json:
            print_json(plain_report(found))
        else:
            _print(found)


def _add_rebuild(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def rebuild(
        config: Config,
        data_dir: DataDir,
        tenant: Annotated[
            str | None, typer.Option("--tenant", "-t", metavar="TENANT", help="Left out: all of them.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Make what reports are read from anew out of the log. Reports go on with the old sums meanwhile."""
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            found = commands().ledger_reports().rebuild(place(config, data_dir), tenant, report)
        if as_json:
            print_json({"rebuilt": list(found.tenants)})
        else:
            for each in found.tenants or ["nobody"]:
                typer.echo(f"the sums of {each} were made anew")


def _one(words: Any, text: str, option: str, *, as_json: bool) -> Any:
    """The word of a StrEnum, in one of its spellings; None for nothing."""
    name = text.strip().lower().replace("-", "_").replace("center", "centre")
    if not name:
        return None
    if name not in set(words):
        fail(f"{option} {text!r} is not known", f"it takes: {', '.join(words)}", as_json=as_json)
    return words(name)


def _write(report: LedgerReport, form: str, out: Path | None, *, as_json: bool) -> None:
    from holdfast.interfaces.report_sheets import FileForm, written  # noqa: PLC0415

    name = form or (out.suffix.removeprefix(".") if out else "")
    if name not in set(FileForm):
        fail(f"there is no form {name!r}", f"--format takes: {', '.join(FileForm)}", as_json=as_json)
    parts = written(FileForm(name), report)
    if out is None:
        if as_json or (name == FileForm.XLSX and sys.stdout.isatty()):
            fail("a file is wanted", "say where to: --out FILE", as_json=as_json)
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("wb") as file:
            file.writelines(parts)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}", as_json=as_json)
    if as_json:
        print_json({"rows": len(report.rows), "file": out, "format": name})
    else:
        typer.echo(f"{len(report.rows):,} rows written to {out}")


def plain_report(report: LedgerReport) -> dict[str, Any]:
    """For programs. Amounts are in minor units."""
    asked = report.asked
    return {
        "since": asked.since.isoformat(),
        "until": asked.until.isoformat(),
        "tenant": asked.tenant,
        "by": asked.by,
        "per": asked.per,
        "rows": [_plain(row) for row in report.rows],
        "total": _plain(report.total),
        "members": report.members,
        "behind": report.behind,
        "void_corrections": sum(each.void for each in report.standing),
    }


def _plain(row: Row) -> dict[str, Any]:
    sums = row.sums._asdict()
    sums.pop("amount")
    return {
        "start": row.start.isoformat() if row.start else None,
        "tenant": row.tenant,
        "member": row.member,
        **sums,
        "amounts": dict(row.amounts),
    }


def _print(report: LedgerReport) -> None:
    from holdfast.interfaces.report_sheets import amount_text, table_of  # noqa: PLC0415

    table = table_of(report)
    if not report.rows:
        typer.echo(f"Nothing from {report.asked.since} to before {report.asked.until}.")
    else:
        shown = [name for name in table.quantities if any(getattr(row.sums, name) for row in report.rows)]
        columns: Mapping[str, str] = {
            **dict.fromkeys([each.replace("_", " ") for each in table.names[: table.keys]] or [""], "left"),
            **dict.fromkeys([each.replace("_", " ") for each in shown], "right"),
            **dict.fromkeys(table.currencies, "right"),
        }

        def cells(row: Row, names: Sequence[object]) -> list[object]:
            quantities = [f"{getattr(row.sums, each):,}" for each in shown]
            paid = [amount_text(row.amounts[c], c) if row.amounts.get(c) else "" for c in table.currencies]
            return [*names, *quantities, *paid]

        rows = [
            cells(
                row, [each if each != "" else "(none)" for each in table.cells(row)[: table.keys]] or ["all"]
            )
            for row in report.rows
        ]
        if table.keys:
            rows.append(cells(report.total, ["total", *[""] * (table.keys - 1)]))
        print_table(columns, rows)
        if report.asked.most is not None and report.members > report.asked.most:
            typer.echo(
                f"the {report.asked.most:,} greatest of {report.members:,}; the total is of all of them"
            )
    if report.behind:
        typer.echo(f"{report.behind:,} entries have come that are not summed up yet")
    if voids := sum(each.void for each in report.standing):
        typer.echo(f"{voids:,} corrections name nothing that could be corrected, and count nothing")
