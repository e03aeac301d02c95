"""`holdfast ledger verify`: recompute the logs, prove an entry, or check a bundle with nothing but a key."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, fail, print_json, print_table, progress_shown, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place, Report

MOST_SHOWN = 40
"""Findings told to people; `--json` has more of them."""
NO_WITNESS = "none is declared"


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What is to be verified. `keys` are verifier keys besides the estate's, as text."""

    tenant: str | None
    since: Path | None
    keys: Sequence[str]
    workers: int
    rollups: bool


@dataclass(frozen=True, slots=True)
class FindingShown:
    """Something that does not fit. `leaf` is the first leaf that it is about."""

    what: str
    leaf: int
    text: str


@dataclass(frozen=True, slots=True)
class LogShown:
    """What became of a log. The log over all has the empty tenant."""

    tenant: str
    origin: str
    size: int
    published: int
    entries: int
    pruned: int
    growths: int
    tiles: int
    checkpoints: int
    findings: Sequence[FindingShown]
    count: int
    """Of findings; the first ones are told."""


@dataclass(frozen=True, slots=True)
class LedgerVerified:
    """The whole ledger, or one tenant's log."""

    logs: Sequence[LogShown]
    witness: str
    """What the witness said: `agrees`, `was not asked: ...`, `none is declared`, or `differs`."""
    rollups: Sequence[str] | None
    """Where the roll-ups differ from the log; None when they were not compared."""
    took_s: float
    remarks: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        return not self.rollups and not any(log.count for log in self.logs)


@dataclass(frozen=True, slots=True)
class EntryProven:
    """An entry that a signed checkpoint holds. `witnesses`: who cosigned it and when (UTC)."""

    tenant: str
    leaf: int
    entry: str
    size: int
    published: bool
    """Whether the checkpoint was handed out; a newer one is only signed by the log."""
    witnesses: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BundleVerified:
    """A bundle that holds. `chosen` and `made_at` are what it says of itself, and are not proved."""

    log: str
    size: int
    entries: int
    chosen: str
    made_at: str
    witnesses: Mapping[str, datetime]


class VerifyCommands(Protocol):
    """What `holdfast ledger verify` does."""

    def logs(self, place: "Place", request: VerifyRequest, report: "Report") -> LedgerVerified: ...

    def entry(self, place: "Place", tenant: str, leaf: int, keys: Sequence[str]) -> EntryProven:
        """Raises ProofRefused, EntriesPruned, NotThere."""
        ...

    def bundle(
        self, path: Path, keys: Sequence[str], report: "Report", on_entry: Callable[[int, bytes], None]
    ) -> BundleVerified:
        """Needs no estate and no database. `on_entry` hears of entries before they are proved."""
        ...


Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="KEY|FILE", help="A verifier key to trust: a ledger's, a log's or a witness's."
    ),
]


def add_verify(app: typer.Typer, commands: Callable[[], "LedgerCommands"]) -> None:
    @app.command()
    def verify(
        config: Config,
        data_dir: DataDir,
        tenant: Annotated[str | None, typer.Option(help="Only this tenant's log.")] = None,
        leaf: Annotated[int | None, typer.Option(min=0, help="With --tenant: only prove this entry.")] = None,
        since: Annotated[
            Path | None,
            typer.Option(
                metavar="FILE", help="With --tenant: a checkpoint kept elsewhere, which it must go on from."
            ),
        ] = None,
        bundle: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Verify this bundle, without estate and database.")
        ] = None,
        key: Key = None,
        rollups: Annotated[
            bool, typer.Option("--rollups", help="Also recompute what reports are read from, and compare.")
        ] = False,
        entries: Annotated[
            bool, typer.Option("--entries", help="With --bundle: print the entries, once they are proved.")
        ] = False,
        workers: Annotated[int, typer.Option(min=1, max=64, help="So many processes.")] = 2,
        as_json: AsJson = False,
    ) -> None:
        """Recompute every log from its entries, and compare it with all that is stored and was published.

        Ends with 1 when anything does not fit. An entry that retention took is vouched for by its tiles.
        """
        keys = key or []
        if (leaf is not None or since is not None) and tenant is None:
            fail("--leaf and --since are about one log", "name it: --tenant KEY", as_json=as_json)
        if bundle is not None:
            _bundle(commands, bundle, keys, entries=entries, as_json=as_json)
        elif leaf is not None and tenant is not None:
            with told(as_json=as_json):
                proven = commands().ledger_verify().entry(place(config, data_dir), tenant, leaf, keys)
            print_json(asdict(proven)) if as_json else _tell_entry(proven)
        else:
            request = VerifyRequest(tenant, since, keys, workers, rollups)
            with told(as_json=as_json), progress_shown(quiet=as_json) as report:
                found = commands().ledger_verify().logs(place(config, data_dir), request, report)
            print_json({"holds": found.holds, **asdict(found)}) if as_json else _tell_logs(found)
            if not found.holds:
                raise typer.Exit(FAILED)


def _bundle(
    commands: Callable[[], "LedgerCommands"], path: Path, keys: Sequence[str], *, entries: bool, as_json: bool
) -> None:
    if not keys:
        fail(
            "a bundle is verified with a key that you have from elsewhere",
            "add --key KEY: the operator tells it, holdfast ledger key show prints it",
            as_json=as_json,
        )
    with told(as_json=as_json), progress_shown(quiet=as_json) as report:
        found = commands().ledger_verify().bundle(path, keys, report, lambda _leaf, _entry: None)
        if entries:  # a second time: what is printed was proved before
            commands().ledger_verify().bundle(path, keys, lambda _: None, _print_entry)
    if as_json:
        if not entries:
            print_json({"holds": True, **asdict(found)})
        return
    typer.echo(f"the bundle holds: {found.entries:,} entries of {found.log}", err=entries)
    typer.echo(f"  checkpoint   {found.size:,} leaves{_by(found.witnesses)}", err=entries)
    typer.echo(f"  it says      {found.chosen}; made {found.made_at}", err=entries)


def _print_entry(leaf: int, entry: bytes) -> None:
    typer.echo(
        b"[%d,%b]" % (leaf, entry if entry.startswith(b"{") else b'"%b"' % entry.replace(b"\n", b"\\n"))
    )


def _tell_entry(proven: EntryProven) -> None:
    typer.echo(proven.entry)
    kind = "published" if proven.published else "newest, not published yet"
    typer.echo(
        f"leaf {proven.leaf:,} of {proven.tenant!r} is in the {kind} checkpoint of {proven.size:,} leaves"
        f"{_by(proven.witnesses)}",
        err=True,
    )


def _by(witnesses: Mapping[str, datetime]) -> str:
    told = [f"{name} at {at:%Y-%m-%d %H:%M:%S} UTC" for name, at in witnesses.items()]
    return f", cosigned by {', '.join(told)}" if told else ", not cosigned by a witness whose key was given"


def _tell_logs(found: LedgerVerified) -> None:
    columns = {
        "log": "left",
        "leaves": "right",
        "published": "right",
        "entries": "right",
        "pruned": "right",
        "tiles": "right",
        "checkpoints": "right",
        "verdict": "left",
    }
    rows = [
        (
            log.tenant or "(over all logs)",
            f"{log.size:,}",
            f"{log.published:,}",
            f"{log.entries:,}",
            f"{log.pruned:,}",
            f"{log.tiles:,}",
            f"{log.growths + log.checkpoints:,}",
            "holds" if not log.count else f"{log.count:,} findings",
        )
        for log in found.logs
    ]
    print_table(columns, rows)
    shown = [(log, each) for log in found.logs for each in log.findings]
    for log, each in shown[:MOST_SHOWN]:
        typer.echo(f"{log.tenant or '(over all logs)'}: {each.what}: {each.text}", err=True)
    if len(shown) > MOST_SHOWN:
        typer.echo(f"... and {len(shown) - MOST_SHOWN:,} more; --json tells them", err=True)
    for difference in found.rollups or ():
        typer.echo(f"roll-ups: {difference}", err=True)
    if found.rollups is not None and not found.rollups:
        typer.echo("the roll-ups are what the logs come to")
    for remark in found.remarks:
        typer.echo(remark)
    leaves = sum(log.size for log in found.logs)
    witness = "no witness is declared" if found.witness == NO_WITNESS else f"the witness {found.witness}"
    typer.echo(f"{witness}; {leaves:,} {'leaf' if leaves == 1 else 'leaves'} in {found.took_s:.1f} s")
