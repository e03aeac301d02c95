"""`holdfast ledger gaps|conflicts|settle`: what has not come, what came twice, and what nobody waits for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.moments import parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, print_json, print_table, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place

Tenant = Annotated[str, typer.Option("--tenant", metavar="T", help="The tenant's key.")]
OneTenant = Annotated[str | None, typer.Option("--tenant", metavar="T", help="Only this tenant's.")]
OneSource = Annotated[str | None, typer.Option("--source", metavar="S", help="Only this source's.")]
AlsoSettled = Annotated[bool, typer.Option("--settled", help="Also what was settled.")]


@dataclass(frozen=True, slots=True)
class GapShown:
    """Numbers [first, last] of a source that have not come.

    `is_tail`: the source claims them, and nothing later came. `settled`: why nobody waits for them; `since`
    is then when that was said.
    """

    tenant: str
    source: str
    epoch: int
    first: int
    last: int
    since: datetime
    age: timedelta
    is_tail: bool
    is_overdue: bool
    settled: str = ""


@dataclass(frozen=True, slots=True)
class ConflictShown:
    """The conflict entry `leaf`: other content came under a key that was taken."""

    tenant: str
    source: str
    epoch: int
    seq: int
    leaf: int
    at: datetime
    settled: bool


@dataclass(frozen=True, slots=True)
class SettleRequest:
    """What is to be settled: numbers of a source's epoch, a conflict entry of it, or a device's meters."""

    tenant: str
    reason: str
    source: str | None = None
    epoch: int | None = None
    numbers: tuple[int, int] | None = None
    leaf: int | None = None
    device: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class MeterShown:
    """A counter between two readings of a source, and what the entries in between add up to."""

    tenant: str
    device: str
    counter: str
    source: str
    since: datetime
    until: datetime
    counted: int
    recorded: int
    difference: int
    jobs: int
    untold: int
    verdict: str


@dataclass(frozen=True, slots=True)
class ReadingRequest:
    """What a person read from a device's counters."""

    tenant: str
    source: str
    device: str
    read_at: datetime
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StatusShown:
    """How a tenant's log stands. `folded`: what reports and lists know of it; None before anything does."""

    tenant: str
    origin: str
    size: int
    last_entry_at: datetime | None
    published: int
    published_at: datetime | None
    one_region: int
    folded: int | None
    sources: int
    gaps: int
    missing: int
    overdue: int
    conflicts: int
    concerns: Sequence[ConcernShown]
    second_region: str = ""
    """Whether the standby in the second region follows now, in words."""


@dataclass(frozen=True, slots=True)
class ConcernShown:
    """What somebody must look into."""

    kind: str
    subject: str
    since: datetime
    facts: Mapping[str, object]


class CompletenessCommands(Protocol):
    """What these commands need behind them. All tenants are meant where none is named.

    Each raises NotThere for a tenant that is not there.
    """

    def gaps(
        self, place: Place, tenant: str | None, source: str | None, *, settled: bool
    ) -> Sequence[GapShown]: ...

    def conflicts(
        self, place: Place, tenant: str | None, source: str | None, *, settled: bool
    ) -> Sequence[ConflictShown]: ...

    def settle(self, place: Place, request: SettleRequest) -> Sequence[str]:
        """What was settled, in words. Raises NotThere where nothing of it is open."""
        ...

    def meters(
        self, place: Place, tenant: str | None, device: str | None, look_back: timedelta, *, settled: bool
    ) -> Sequence[MeterShown]: ...

    def read_meter(self, place: Place, request: ReadingRequest) -> Mapping[str, str]:
        """By counter, whether it was taken, is there already, or is in conflict with what is there."""
        ...

    def status(self, place: Place, tenant: str | None) -> Sequence[StatusShown]: ...


def add_gaps(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    _add_gaps(app, commands)
    _add_conflicts(app, commands)
    _add_settle(app, commands)


def _add_gaps(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def gaps(
        config: Config,
        data_dir: DataDir,
        tenant: OneTenant = None,
        source: OneSource = None,
        settled: AlsoSettled = False,
        as_json: AsJson = False,
    ) -> None:
        """List the numbers of sources that have not come, the oldest first.

        Ends with 1 when one of them is overdue.
        """
        with told(as_json=as_json):
            found = (
                commands()
                .ledger_completeness()
                .gaps(place(config, data_dir), tenant, source, settled=settled)
            )
        if as_json:
            print_json([{**asdict(each), "age": each.age.total_seconds()} for each in found])
        elif not found:
            typer.echo("Nothing is missing.")
        else:
            right = dict.fromkeys(("numbers", "count", "age"), "right")
            columns = ("tenant", "source", "epoch", "numbers", "count", "since", "age", "")
            print_table(
                {name: right.get(name, "left") for name in columns}, [_gap_row(each) for each in found]
            )
        if any(each.is_overdue for each in found):
            raise typer.Exit(FAILED)


def _add_conflicts(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def conflicts(
        config: Config,
        data_dir: DataDir,
        tenant: OneTenant = None,
        source: OneSource = None,
        settled: AlsoSettled = False,
        as_json: AsJson = False,
    ) -> None:
        """List the records that came again under the same number with other content.

        The first one stands; what came is kept as an entry of its own. Ends with 1 when one is not settled.
        """
        with told(as_json=as_json):
            found = (
                commands()
                .ledger_completeness()
                .conflicts(place(config, data_dir), tenant, source, settled=settled)
            )
        if as_json:
            print_json([asdict(each) for each in found])
        elif not found:
            typer.echo("There is no conflict.")
        else:
            print_table(
                dict.fromkeys(("tenant", "source", "epoch", "number", "leaf", "came at", ""), "left"),
                [
                    (
                        each.tenant,
                        each.source,
                        each.epoch,
                        each.seq,
                        each.leaf,
                        moment(each.at),
                        "settled" if each.settled else "",
                    )
                    for each in found
                ],
            )
        if any(not each.settled for each in found):
            raise typer.Exit(FAILED)


def _add_settle(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def settle(
        config: Config,
        data_dir: DataDir,
        tenant: Tenant,
        reason: Annotated[
            str, typer.Option("--reason", help="Why it will not come right. It is kept for ever.")
        ],
        source: Annotated[str | None, typer.Option("--source", metavar="S", help="The source's key.")] = None,
        epoch: Annotated[int | None, typer.Option("--epoch", min=0, help="Of the numbers.")] = None,
        numbers: Annotated[
            str | None, typer.Option("--numbers", metavar="FIRST-LAST", help="That are lost.")
        ] = None,
        leaf: Annotated[int | None, typer.Option("--leaf", min=0, help="A conflict entry.")] = None,
        device: Annotated[
            str | None, typer.Option("--device", help="Whose counters differ, for good reason.")
        ] = None,
        until: Annotated[
            str | None,
            typer.Option("--until", metavar="TIME", help="Readings up to then; ISO 8601 with offset."),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Settle what was looked into and will not come right: it stays listed, and alarms nobody any more.

        Either --source with --epoch and --numbers, or --source with --leaf, or --device with --until.
        """
        given = tuple(each is not None for each in (source, epoch, numbers, leaf, device, until))
        if given not in _FORMS:
            raise typer.BadParameter(
                "give --source --epoch --numbers, or --source --leaf, or --device --until"
            )
        if not reason.strip():
            raise typer.BadParameter("say why: --reason")
        request = SettleRequest(
            tenant,
            reason.strip(),
            source,
            epoch,
            parse_numbers(numbers) if numbers else None,
            leaf,
            device,
            parse_moment(until) if until else None,
        )
        with told(as_json=as_json):
            done = commands().ledger_completeness().settle(place(config, data_dir), request)
        if as_json:
            print_json({"settled": list(done)})
        else:
            for each in done:
                typer.echo(f"settled: {each}")


_FORMS = {
    (True, True, True, False, False, False),
    (True, False, False, True, False, False),
    (False, False, False, False, True, True),
}
"""Which of source, epoch, numbers, leaf, device and until may be given together."""


def parse_numbers(text: str) -> tuple[int, int]:
    """`1203-1207`, or a single number."""
    found = re.fullmatch(r"(\d{1,16})(?:-(\d{1,16}))?", text)
    if found is None or int(found[1]) > int(found[2] or found[1]):
        raise typer.BadParameter(f"{text!r} are no numbers; write 1203-1207, or 1203")
    return int(found[1]), int(found[2] or found[1])


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z" if at else "never"


def length(span: timedelta) -> str:
    """Roughly how long: the two largest units."""
    minutes = int(span.total_seconds()) // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days}d{hours}h"
    return f"{hours}h{minutes}m" if hours else f"{minutes}m"


def _gap_row(each: GapShown) -> tuple[object, ...]:
    numbers = str(each.first) if each.first == each.last else f"{each.first}-{each.last}"
    remark = ", ".join(
        text for text, holds in (("claimed", each.is_tail), ("overdue", each.is_overdue)) if holds
    )
    remark = f"settled: {each.settled}" if each.settled else remark
    count = f"{each.last - each.first + 1:,}"
    return (
        each.tenant, each.source, each.epoch, numbers, count, moment(each.since), length(each.age), remark,
    )  # fmt: skip
