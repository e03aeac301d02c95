"""`holdfast ledger meters|reading`: what devices counted against what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.interfaces.cli.ledger.gaps import (
    AlsoSettled,
    MeterShown,
    OneTenant,
    ReadingRequest,
    Tenant,
    moment,
)
from holdfast.interfaces.cli.moments import parse_length, parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, print_json, print_table, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands

AMISS = frozenset({"differs"})
"""The verdicts that somebody must look into."""
COUNTERS = ("impressions", "mono_impressions", "colour_impressions", "sheets", "scan_pages", "fax_pages")


def add_meters(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    _add_meters(app, commands)
    _add_reading(app, commands)


def _add_meters(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def meters(
        config: Config,
        data_dir: DataDir,
        tenant: OneTenant = None,
        device: Annotated[str | None, typer.Option("--device", metavar="D", help="Only this one's.")] = None,
        look_back: Annotated[
            str, typer.Option("--look-back", metavar="LENGTH", help="Readings of the last so long.")
        ] = "35d",
        only_amiss: Annotated[bool, typer.Option("--differing", help="Only what does not agree.")] = False,
        settled: AlsoSettled = False,
        as_json: AsJson = False,
    ) -> None:
        """Compare devices' own counters with the entries between two readings.

        Differences are told, never corrected. Ends with 1 when there is one.
        """
        wanted = parse_length(look_back)
        with told(as_json=as_json):
            behind = commands().ledger_completeness()
            found = behind.meters(place(config, data_dir), tenant, device, wanted, settled=settled)
        shown = [each for each in found if not only_amiss or each.verdict != "agrees"]
        if as_json:
            print_json([asdict(each) for each in shown])
        elif not shown:
            typer.echo("There is no difference." if found else "No counter was read twice.")
        else:
            _print(shown)
        if any(each.verdict in AMISS for each in found):
            raise typer.Exit(FAILED)


def _print(found: Sequence[MeterShown]) -> None:
    right = {"counted", "recorded", "difference"}
    columns = (
        "tenant", "device", "counter", "read by", "from", "to", "counted", "recorded", "difference", "",
    )  # fmt: skip
    rows = [
        (
            each.tenant,
            each.device,
            each.counter,
            each.source,
            moment(each.since),
            moment(each.until),
            f"{each.counted:,}",
            f"{each.recorded:,}",
            f"{each.difference:+,}" if each.difference else "0",
            each.verdict + (f" ({each.untold} entries do not tell it)" if each.untold else ""),
        )
        for each in found
    ]
    print_table({name: "right" if name in right else "left" for name in columns}, rows)


def _add_reading(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def reading(
        config: Config,
        data_dir: DataDir,
        tenant: Tenant,
        device: Annotated[str, typer.Option("--device", metavar="D", help="Whose counters they are.")],
        values: Annotated[
            list[str], typer.Option("--set", metavar="COUNTER=VALUE", help=f"One of {', '.join(COUNTERS)}.")
        ],
        at: Annotated[
            str | None, typer.Option("--at", metavar="TIME", help="When it was read; left out: now.")
        ] = None,
        source: Annotated[
            str, typer.Option("--source", metavar="S", help="Who read it; readings of one are compared.")
        ] = "operator",
        as_json: AsJson = False,
    ) -> None:
        """Keep what somebody read from a device's own counters."""
        read_at = parse_moment(at) if at else datetime.now(UTC)
        if read_at > datetime.now(UTC):
            raise typer.BadParameter("--at lies ahead")
        counters = dict(_counter(each) for each in values)
        request = ReadingRequest(tenant, source, device, read_at, counters)
        with told(as_json=as_json):
            outcome = commands().ledger_completeness().read_meter(place(config, data_dir), request)
        if as_json:
            print_json(outcome)
        else:
            for counter, text in outcome.items():
                typer.echo(f"{counter}: {text}")
        if "conflict" in outcome.values():
            raise typer.Exit(FAILED)


def _counter(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if name not in COUNTERS:
        raise typer.BadParameter(f"{name!r} is no counter; there are: {', '.join(COUNTERS)}")
    if not value.isascii() or not value.isdecimal() or len(value) > 15:
        raise typer.BadParameter(f"{value!r} is no count; write sheets=48211")
    return name, int(value)
