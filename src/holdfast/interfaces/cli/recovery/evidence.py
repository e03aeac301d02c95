"""`holdfast evidence`: what drills and recoveries came to, and the proof that it was not changed since."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import FAILED, fail, print_json, print_table, told

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ports import Place
    from holdfast.interfaces.cli.recovery.ports import RecoveryCommands
    from holdfast.interfaces.evidence_desk import Whole
    from holdfast.recovery.evidence import Remark
    from holdfast.recovery.evidence_ports import Grown

SHOWN = 20
NO_WITNESS = "none is declared"
EvidenceId = Annotated[str, typer.Argument(metavar="EVIDENCE", help="As `evidence list` shows it.")]


@dataclass(frozen=True, slots=True)
class LogVerified:
    """What looking through the log, or an exported file, came to."""

    log: str
    entries: int
    size: int
    """Of the log, by the newest checkpoint."""
    problems: Sequence[str]
    checkpoint: str
    cosigned: int = 0
    """So many of the first entries are vouched for by a witness whose key is known."""
    witnesses: Mapping[str, datetime] = field(default_factory=dict)
    """Who cosigned those, and when."""
    witness: str = ""
    """What the witness said: `agrees`, `differs`, `was not asked: ...`, `none is declared`; or nothing."""
    waits: str = ""
    """Why the newest entries are not cosigned, as far as that is known."""


class EvidenceCommands(Protocol):
    """What these commands need behind them. Each raises NotThere for an evidence that there is not."""

    def newest(
        self, place: Place, most: int, *, subject: str | None, scenario: str | None
    ) -> tuple[Sequence[Whole], Grown]:
        """The newest first, without their remarks; and how far the log has come, and is cosigned."""
        ...

    def get(self, place: Place, which: str) -> Whole: ...

    def verify(self, place: Place, keys: Sequence[str], continues: Path | None) -> LogVerified:
        """The whole log; with `continues` also that it goes on from what that file tells."""
        ...

    def verify_file(
        self, place: Place, file: Path, keys: Sequence[str], continues: Path | None
    ) -> LogVerified:
        """Needs no database; with keys, no estate either. Raises EvidenceRefused and ProofRefused."""
        ...

    def exported(self, place: Place, which: Sequence[str], *, pdf: bool) -> bytes:
        """Of these with their remarks; of none, all there is."""
        ...

    def key(self, place: Place) -> str:
        """The verifier key, for whoever verifies."""
        ...

    def remark(self, place: Place, which: str, text: str) -> Whole: ...


def add_evidence(app: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    """Add `holdfast evidence`."""
    group = typer.Typer(help="Evidence: what drills and recoveries came to, signed.", no_args_is_help=True)
    app.add_typer(group, name="evidence")
    _add_looking(group, commands)
    _add_verify(group, commands)
    _add_export(group, commands)


def _add_looking(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command("list")
    def list_(
        config: Config,
        data_dir: DataDir,
        subject: Annotated[
            str | None, typer.Option("--subject", help="Only of this cluster or database.")
        ] = None,
        scenario: Annotated[str | None, typer.Option("--scenario", help="Only of this scenario.")] = None,
        most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="So many at most.")] = SHOWN,
        as_json: AsJson = False,
    ) -> None:
        """Show the newest evidence: what was done, how it ended, RPO and RTO as measured."""
        from holdfast.interfaces.evidence_words import (  # noqa: PLC0415
            cosigned_words,
            kind,
            lasted,
            plain_evidence,
            plain_grown,
            verdict,
        )

        with told(as_json=as_json):
            found, grown = (
                commands()
                .recovery_evidence()
                .newest(place(config, data_dir), most, subject=subject, scenario=scenario)
            )
        if as_json:
            told_ = [plain_evidence(each.evidence, each.leaf) for each in found]
            print_json({"evidence": told_, "log": plain_grown(grown)})
        elif not found:
            typer.echo("there is no evidence yet; holdfast drill restore makes the first")
        else:
            columns = {
                "evidence": "left",
                "began (UTC)": "left",
                "subject": "left",
                "what": "left",
                "verdict": "left",
                "RPO": "right",
                "RTO": "right",
            }
            rows = [
                (
                    each.id,
                    f"{each.began_at:%F %T}",
                    each.subject,
                    kind(each),
                    verdict(each),
                    lasted(each.rpo.measured_ms),
                    lasted(each.rto.measured_ms),
                )
                for each in (shown.evidence for shown in found)
            ]
            print_table(columns, rows)
            typer.echo(cosigned_words(grown))

    @group.command()
    def show(evidence: EvidenceId, config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show one evidence whole, with the remarks on it."""
        with told(as_json=as_json):
            found = commands().recovery_evidence().get(place(config, data_dir), evidence)
        _print_shown(found, as_json=as_json)

    @group.command()
    def remark(
        evidence: EvidenceId,
        text: Annotated[str, typer.Argument(metavar="TEXT", help="What was done about it.")],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """Add to an evidence, under your name and for good: what was done about what it showed."""
        with told(as_json=as_json):
            found = commands().recovery_evidence().remark(place(config, data_dir), evidence, text)
        _print_shown(found, as_json=as_json)


def _add_verify(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command()
    def verify(
        config: Config,
        data_dir: DataDir,
        offline: Annotated[
            Path | None,
            typer.Option(
                "--offline",
                metavar="FILE",
                help="An exported file: no database is asked, and with --key no estate.",
            ),
        ] = None,
        key: Annotated[
            list[str] | None,
            typer.Option(
                "--key",
                metavar="KEY",
                help="name+id+key, of the log and of its witness, as they told you; left out: the estate's.",
            ),
        ] = None,
        continues: Annotated[
            Path | None,
            typer.Option(
                "--continues", metavar="FILE", help="An earlier export: the log must go on from that one."
            ),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """See that every entry is as it was signed, and none is missing in between. Ends with 1 otherwise.

        With the witness's key, an entry in a file must be in a checkpoint that the witness has cosigned.
        """
        where = place(config, data_dir)
        with told(as_json=as_json):
            asked = commands().recovery_evidence()
            if offline is not None:
                found = asked.verify_file(where, offline, key or [], continues)
            else:
                found = asked.verify(where, key or [], continues)
        if as_json:
            print_json({"holds": not found.problems, **asdict(found)})
        else:
            for each in found.problems:
                typer.echo(each)
            verdict = "does NOT hold" if found.problems else "holds"
            typer.echo(f"{found.log}: {found.entries:,} of {found.size:,} entries looked at: it {verdict}")
            _print_vouching(found)
        if found.problems:
            raise typer.Exit(FAILED)

    @group.command()
    def key(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Print the log's verifier key, to be given to auditors by another way than the files."""
        with told(as_json=as_json):
            text = commands().recovery_evidence().key(place(config, data_dir))
        print_json({"key": text}) if as_json else typer.echo(text)


def _print_vouching(found: LogVerified) -> None:
    """What a witness vouches for, and what it does not, never left out."""
    by = ", ".join(f"{name} at {at:%F %T} UTC" for name, at in found.witnesses.items())
    if found.cosigned:
        typer.echo(f"cosigned up to entry {found.cosigned:,} of {found.size:,} by {by}")
    if found.cosigned < found.size:
        rest = f"{found.size - found.cosigned:,} of {found.size:,} entries"
        reason = f": {found.waits}" if found.waits else ""
        typer.echo(f"not cosigned by a witness whose key is known: {rest}{reason}")
    if found.witness:
        said = "no witness is declared" if found.witness == NO_WITNESS else f"the witness {found.witness}"
        typer.echo(said)


def _add_export(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command()
    def export(
        config: Config,
        data_dir: DataDir,
        to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where to write it.")],
        evidence: Annotated[
            list[str] | None, typer.Argument(metavar="[EVIDENCE]...", help="Left out: all there is.")
        ] = None,
        pdf: Annotated[bool, typer.Option("--pdf", help="For people: one evidence as PDF.")] = False,
        json: Annotated[bool, typer.Option("--json", help="For proof: with proofs, as JSON.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    ) -> None:
        """Write evidence into a file for an auditor: JSON that proves itself with the key alone, or PDF."""
        if pdf == json:
            fail("name one of --json and --pdf")
        if pdf and len(evidence or []) != 1:
            fail("a PDF is of one evidence", "holdfast evidence list shows them")
        if to.exists() and not force:
            fail(f"{to} is there already", "--force replaces it")
        with told(as_json=False):
            content = (
                commands().recovery_evidence().exported(place(config, data_dir), evidence or [], pdf=pdf)
            )
        try:
            _write(to, content)
        except OSError as error:
            fail(f"{to} cannot be written: {error.strerror}")
        typer.echo(f"wrote {to}, {len(content):,} bytes")


def _write(to: Path, content: bytes) -> None:
    """The file is there whole, or as it was: also when the disk is full in the middle."""
    fresh = to.with_name(f"{to.name}.{secrets.token_hex(4)}.new")
    try:
        with fresh.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(to)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _print_shown(found: Whole, *, as_json: bool) -> None:
    from holdfast.interfaces.evidence_words import plain_evidence  # noqa: PLC0415

    if as_json:
        print_json(
            {
                **plain_evidence(found.evidence, found.leaf),
                "remarks": [_plain(*each) for each in found.remarks],
            }
        )
    else:
        _print_whole(found)


def _plain(leaf: int, remark: Remark) -> dict[str, Any]:
    return {"leaf": leaf, "id": remark.id, "who": remark.who, "at": remark.at, "text": remark.text}


def _print_whole(found: Whole) -> None:
    from holdfast.interfaces import evidence_words as words  # noqa: PLC0415

    it = found.evidence
    typer.echo(f"{it.id}: {words.kind(it)} of {it.subject}: {words.verdict(it)}")
    ended = f"{it.ended_at:%F %T}" if it.ended_at else "not yet"
    typer.echo(f"  began {it.began_at:%F %T} UTC, ended {ended}, started by {it.started_by}")
    typer.echo(
        f"  playbook {it.playbook}, revision {it.revision}; run {it.run}; leaf {found.leaf} of the log"
    )
    if it.seed is not None:
        typer.echo(f"  picked at random with the seed {it.seed}")
    for text in filter(None, (it.what, it.why)):
        typer.echo(f"  {text}")
    typer.echo(f"  data: {words.size_words(it.data_bytes)}")
    for name, measure in (("RPO", it.rpo), ("RTO", it.rto)):
        target, contract, measured, met = words.measure_words(measure)
        typer.echo(f"  {name}: target {target}, contract {contract}, measured {measured}: {met}")
    loss, counted = it.loss, words.counted
    typer.echo(f"  lost: {counted(loss.transactions)} transactions, {counted(loss.entries)} ledger entries")
    for line in loss.statement.splitlines():
        typer.echo(f"    {line}")
    for each in it.phases:
        name = f"    {each.name}" if each.within else f"  {each.title or each.name}"
        typer.echo(
            f"{name}: {words.lasted(each.lasted_ms)}" + ("" if each.ended == "done" else f" ({each.ended})")
        )
    for approved in it.approvals:
        typer.echo(f"  {approved.gate}: approved by {approved.who} at {approved.at:%F %T} UTC")
    for invariant in it.invariants:
        detail = f": {invariant.detail}" if invariant.detail else ""
        typer.echo(f"  {invariant.name}: {invariant.holds.value}{detail}")
    if it.corrective:
        typer.echo(f"  to be done: {it.corrective}")
    for leaf, remark in found.remarks:
        typer.echo(f"  {remark.at:%F %T} UTC, {remark.who} (leaf {leaf}): {remark.text}")
