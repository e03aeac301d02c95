"""`holdfast ledger trace`: everything about one job, user, device or entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.ledger.finding import Devices, Jobs, Tenant, Users, filter_of, moment_text
from holdfast.interfaces.cli.ledger.jobs import plain_access, plain_job, print_accesses
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, print_json, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ledger.ports import LedgerCommands
    from holdfast.interfaces.cli.ports import Place
    from holdfast.ledger.find.finding import Filter
    from holdfast.ledger.find.tracing import Proven, Trace, Traced

_SHOWN = (
    "kind",
    "status",
    "user",
    "device",
    "cost_centre",
    "formats",
    "mono_impressions",
    "colour_impressions",
    "scan_pages",
    "fax_pages",
    "prices",
)


@dataclass(frozen=True, slots=True)
class TraceAsked:
    """What is traced: what a filter finds, or a leaf."""

    tenant: str
    wanted: Filter | int
    limit: int
    proofs: bool


class TraceCommands(Protocol):
    """What this command needs behind it."""

    def trace(self, place: Place, asked: TraceAsked) -> Trace: ...


def add_trace(app: typer.Typer, commands: Callable[[], LedgerCommands]) -> None:
    @app.command()
    def trace(
        config: Config,
        data_dir: DataDir,
        tenant: Tenant,
        job: Jobs = None,
        user: Users = None,
        device: Devices = None,
        leaf: Annotated[
            int | None, typer.Option("--leaf", min=0, metavar="LEAF", help="One entry, by its place.")
        ] = None,
        limit: Annotated[
            int, typer.Option("--limit", min=1, max=1000, help="How many entries, the newest ones.")
        ] = 100,
        proofs: Annotated[
            bool, typer.Option("--proofs/--no-proofs", help="Prove each entry, or be quicker.")
        ] = True,
        as_json: AsJson = False,
    ) -> None:
        """Show all about a job, user, device or entry: records, corrections, conflicts, proofs, readers.

        Exits with 1 when a proof does not hold.
        """
        named = {"job": job, "user": user, "device": device}
        if (leaf is None) != any(named.values()):
            raise typer.BadParameter("name a --leaf, or a --job, --user or --device")
        with told(as_json=as_json):
            wanted = filter_of(named) if leaf is None else leaf
            found = (
                commands()
                .ledger_trace()
                .trace(place(config, data_dir), TraceAsked(tenant, wanted, limit, proofs))
            )
        if as_json:
            print_json(_plain(found))
        else:
            _print(found)
        if found.broken:
            raise typer.Exit(FAILED)


def _print(trace: Trace) -> None:
    if not trace.entries:
        typer.echo("Nothing in the log is about that.")
    for each in trace.entries:
        for line in _told(each):
            typer.echo(line)
    if trace.pruned_below is not None:
        typer.echo(f"Leaves below {trace.pruned_below:,} are not kept any more.")
    if not trace.complete:
        typer.echo("There are older entries: --limit takes more.")
    if trace.seen.accesses:
        typer.echo("\nRead or exported by")
        print_accesses([access for access, _ in trace.seen.accesses])
        if not trace.seen.complete:
            typer.echo("and by others before.")
    elif trace.entries:
        typer.echo("\nNobody has read or exported any of it before.")


def _told(traced: Traced) -> list[str]:
    from holdfast.ledger.find.columns import COLUMNS  # noqa: PLC0415
    from holdfast.ledger.find.finding import record_of  # noqa: PLC0415

    job, record = traced.job, record_of(traced.job.entry)
    lines = [f"leaf {job.leaf:,}  {job.what}  {record.job}  occurred {moment_text(record.occurred_at)}"]
    shown = [(COLUMNS[name].heading.lower(), COLUMNS[name].of(job, record)) for name in _SHOWN]
    lines.append("  " + ", ".join(f"{name} {value}" for name, value in shown if value is not None))
    lines.append(
        f"  from {record.source}, epoch {record.epoch}, number {record.seq}; "
        f"taken in {moment_text(traced.received_at)}"
    )
    if record.corrects:
        of = record.corrects
        lines.append(f"  corrects leaf {of.leaf:,}, by {of.actor}: {of.reason}")
    if job.void:
        lines.append("  void: that could not be corrected, or was before; it counts nothing")
    if job.corrected_by is not None:
        lines.append(f"  corrected in leaf {job.corrected_by:,}, which counts instead")
    if job.conflicts:
        leaves = ", ".join(f"{each:,}" for each in job.conflicts)
        lines.append(f"  its key came again with other content: leaf {leaves}")
    if traced.proven is not None:
        lines.append(f"  {_proof_text(traced.proven)}")
    return lines


def _proof_text(proven: Proven) -> str:
    of = f"the {'published' if proven.published else 'unpublished'} checkpoint of {proven.size:,} leaves"
    if not proven.holds:
        return f"PROOF DOES NOT HOLD against {of}: {proven.reason}"
    return f"proved in {of}" + (f"; {proven.reason}" if proven.reason else "")


def _plain(trace: Trace) -> dict[str, Any]:
    return {
        "tenant": trace.tenant,
        "log": trace.origin,
        "size": trace.size,
        "entries": [
            {
                **plain_job(each.job),
                "received_at": each.received_at,
                "proof": None
                if each.proven is None
                else {
                    "holds": each.proven.holds,
                    "reason": each.proven.reason,
                    "size": each.proven.size,
                    "published": each.proven.published,
                    "proof": each.proven.proof,
                },
            }
            for each in trace.entries
        ],
        "complete": trace.complete,
        "pruned_below": trace.pruned_below,
        "seen_by": [{**plain_access(access), "leaves": leaves} for access, leaves in trace.seen.accesses],
        "seen_by_complete": trace.seen.complete,
    }
