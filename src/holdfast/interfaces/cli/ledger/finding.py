"""Options with which entries are picked out, for every command that does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.interfaces.cli.moments import parse_moment

if TYPE_CHECKING:
    from holdfast.ledger.find.finding import Filter

Tenant = Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="Whose ledger.")]
Since = Annotated[
    datetime | None,
    typer.Option("--since", metavar="TIME", parser=parse_moment, help="Jobs that occurred then or later."),
]
Until = Annotated[
    datetime | None,
    typer.Option("--until", metavar="TIME", parser=parse_moment, help="Jobs that occurred before."),
]
Jobs = Annotated[list[str] | None, typer.Option("--job", metavar="JOB", help="A job's id.")]
Users = Annotated[list[str] | None, typer.Option("--user", metavar="USER", help="A user's pseudonym.")]
Devices = Annotated[list[str] | None, typer.Option("--device", metavar="DEVICE", help="A device.")]
CostCentres = Annotated[
    list[str] | None, typer.Option("--cost-centre", metavar="CODE", help="A cost centre; '' for none.")
]
SourceKeys = Annotated[list[str] | None, typer.Option("--source", metavar="SOURCE", help="Who posted it.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", metavar="KIND", help="print, scan, copy or fax.")]
Statuses = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", help="completed, cancelled, failed or partial."),
]
Whats = Annotated[
    list[str] | None,
    typer.Option(
        "--what", metavar="WHAT", help="record, correction or conflict; the first two if nothing is said."
    ),
]
Columns = Annotated[
    str,
    typer.Option("--columns", metavar="NAMES", help="Columns to show, with commas; all for every one."),
]


def filter_of(
    values: Mapping[str, Sequence[str] | None],
    since: datetime | None = None,
    until: datetime | None = None,
) -> Filter:
    """`values` by the dimensions' names. Raises Unsuitable."""
    from holdfast.ledger.find.finding import Dimension, Filter  # noqa: PLC0415

    return Filter.of(since, until, {Dimension(name): each or () for name, each in values.items()})


def moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
