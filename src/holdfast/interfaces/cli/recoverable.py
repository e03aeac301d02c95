"""`holdfast backup points|expire|retention`: what can be restored, what may go, and who agreed to that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.backup.lsn import format_lsn
from holdfast.backup.recoverable.drawn import as_text, drawn
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.retention.approvals import PEOPLE, Change, Standing
from holdfast.backup.retention.keeping import keep_document, keep_text
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, progress_shown, told
from holdfast.interfaces.cli.sizes import size_text

if TYPE_CHECKING:
    from holdfast.estate.backup import Keep
    from holdfast.interfaces.cli.ports import Commands, Place, Report

Database = Annotated[str, typer.Argument(metavar="DB", help="A database's key in the estate.")]
SAMPLES = 3


@dataclass(frozen=True, slots=True)
class RegionExpiry:
    """What expired in a region, or (in a dry run) would. `why` tells of each backup that stays."""

    region: str
    keep: Keep | None
    backups: tuple[str, ...] = ()
    wal_pieces: int = 0
    stored_bytes: int = 0
    why: Mapping[str, tuple[str, ...]] | None = None
    locked: tuple[str, ...] = ()
    error: str = ""


class RecoverableCommands(Protocol):
    """What these commands need behind them. All databases are meant where none is named."""

    def points(
        self, place: Place, database: str | None, region: str | None, samples: int
    ) -> tuple[datetime, Sequence[RegionPoints]]:
        """The moment of asking, and what each region told. Needs no running Holdfast."""
        ...

    def expire(
        self, place: Place, database: str, *, dry_run: bool, report: Report
    ) -> Sequence[RegionExpiry]: ...

    def retention(self, place: Place, database: str) -> Sequence[Standing]: ...

    def approve(self, place: Place, database: str, region: str | None) -> Sequence[Standing]:
        """Approve what is asked for, as the account that runs this. Returns what stands then."""
        ...


def add_points(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    _add_points(app, commands)
    _add_expire(app, commands)
    _add_retention(app, commands)


def _add_points(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def points(
        config: Config,
        data_dir: DataDir,
        database: Annotated[str | None, typer.Argument(metavar="DB", help="A database's key.")] = None,
        all_: Annotated[bool, typer.Option("--all", help="Every database of the estate.")] = False,
        region: Annotated[str | None, typer.Option("--region", help="Only this region's copy.")] = None,
        samples: Annotated[
            int, typer.Option("--sample", min=0, max=10_000, help="Objects to read and compare, per region.")
        ] = SAMPLES,
        as_json: AsJson = False,
    ) -> None:
        """Show which moments can be restored, from which region, and how long it will take."""
        if (database is None) != all_:
            raise typer.BadParameter("name a database, or say --all")
        with told(as_json=as_json):
            now, found = commands().recoverable().points(place(config, data_dir), database, region, samples)
        if as_json:
            print_json([_plain(each, now) for each in found])
        else:
            for each, line in zip(found, drawn(found, now), strict=True):
                for text in _told(each, as_text(line), line.start, now):
                    typer.echo(text)
        if any(each.error or each.damaged or each.rpo(now) is None for each in found):
            raise typer.Exit(1)


def _add_expire(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def expire(
        database: Database,
        config: Config,
        data_dir: DataDir,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go, and why.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Let go of what nobody needs any more, by the retention that is in force."""
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            found = (
                commands()
                .recoverable()
                .expire(place(config, data_dir), database, dry_run=dry_run, report=report)
            )
        if as_json:
            print_json({"dry_run": dry_run, "regions": [_plain_expiry(each) for each in found]})
        else:
            for each in found:
                _print_expiry(each, dry_run=dry_run)
        if any(each.error for each in found):
            raise typer.Exit(1)


def _add_retention(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command()
    def retention(
        database: Database,
        config: Config,
        data_dir: DataDir,
        step: Annotated[str | None, typer.Argument(help="approve, or nothing to look.")] = None,
        region: Annotated[str | None, typer.Option("--region", help="Only this region.")] = None,
        as_json: AsJson = False,
    ) -> None:
        """Show for how long copies are kept, and what is asked for; `approve` agrees to keeping less.

        Two people have to, and a day goes by before it takes effect.
        """
        if step not in (None, "approve"):
            fail(f"there is no step {step!r}", "write: approve, or leave it out", as_json=as_json)
        with told(as_json=as_json):
            behind = commands().recoverable()
            where = place(config, data_dir)
            standing = behind.approve(where, database, region) if step else behind.retention(where, database)
        shown = [each for each in standing if region in (None, each.region)]
        if as_json:
            print_json([_plain_standing(each) for each in shown])
        else:
            _print_standing(shown)


def _told(points: RegionPoints, line: str, start: datetime, now: datetime) -> Iterator[str]:
    """What a region restores, in lines."""
    yield f"{points.database} in {points.region}"
    if points.error:
        yield f"  unknown: {points.error}"
        return
    yield f"  RPO now       {length(points.rpo(now))}"
    newest = moment(points.covered_until) if points.covered_until else "none"
    yield f"  newest moment {newest}, restored in {length(points.expected)}"
    yield f"  verified      {_verified(points)}"
    yield f"  {start:%Y-%m-%d %H:%M}Z [{line}] {now:%Y-%m-%d %H:%M}Z"
    for window in points.windows:
        many = f"{len(window.backups)} backup{'s' if len(window.backups) != 1 else ''}"
        yield f"  window  {moment(window.start)} to {moment(window.end)}, timeline {window.timeline}, {many}"
    for gap in points.gaps:
        after = moment(gap.after) if gap.after else "an unknown moment"
        before = f"until {moment(gap.before)}" if gap.before else "and no backup behind it yet"
        places = f"{format_lsn(gap.start)} to {format_lsn(gap.end)}"
        yield f"  gap     from {after} {before}: WAL {places} is not there"
    for mark in points.suspects:
        yield f"  SUSPECT since {moment(mark.since)}: {mark.reason} (mark {mark.id})"
    for name, why in points.unrestorable:
        yield f"  not restorable: {name}: {why}"
    if points.sampled:
        yield f"  {points.sampled - len(points.damaged)} of {points.sampled} objects read are what was stored"
    for key in points.damaged:
        yield f"  DAMAGED {key}"


def _verified(points: RegionPoints) -> str:
    verified = points.verified
    if verified is None:
        return "never"
    text = f"{verified.standing} at {moment(verified.at)}"
    if verified.standing != "passed":
        last = f"passed last at {moment(verified.passed_at)}" if verified.passed_at else "never passed"
        text += f" ({last}): {'; '.join(verified.problems)}"
    return text


def length(duration: timedelta | None) -> str:
    """A length of time for people; what is not known is said so."""
    if duration is None:
        return "unknown"
    seconds = duration.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def _plain(points: RegionPoints, now: datetime) -> dict[str, Any]:
    verified = points.verified
    return {
        "database": points.database,
        "region": points.region,
        "asked_at": points.asked_at,
        "error": points.error or None,
        "rpo_s": _seconds(points.rpo(now)),
        "covered_until": points.covered_until,
        "expected_restore_s": _seconds(points.expected),
        "stored_bytes": points.stored_bytes,
        "windows": [
            {
                "start": each.start,
                "end": each.end,
                "timeline": each.timeline,
                "start_lsn": format_lsn(each.start_lsn),
                "end_lsn": format_lsn(each.end_lsn),
                "backups": list(each.backups),
            }
            for each in points.windows
        ],
        "gaps": [
            {
                "after": each.after,
                "before": each.before,
                "timeline": each.timeline,
                "start_lsn": format_lsn(each.start),
                "end_lsn": format_lsn(each.end),
            }
            for each in points.gaps
        ],
        "points": [
            {
                "id": each.id,
                "kind": each.kind,
                "label": each.label,
                "at": each.at,
                "chain": each.links,
                "stored_bytes": each.stored_bytes,
                "suspect": each.suspect,
                "expected_restore_s": _seconds(each.expected),
            }
            for each in points.points
        ],
        "not_restorable": [{"name": name, "why": why} for name, why in points.unrestorable],
        "suspects": [
            {"id": each.id, "since": each.since, "raised_at": each.raised_at, "reason": each.reason}
            for each in points.suspects
        ],
        "verified": None
        if verified is None
        else {
            "at": verified.at,
            "standing": verified.standing,
            "problems": list(verified.problems),
            "passed_at": verified.passed_at,
            "ready_s": verified.ready_s,
        },
        "sampled": points.sampled,
        "damaged": list(points.damaged),
    }


def _print_expiry(expiry: RegionExpiry, *, dry_run: bool) -> None:
    if expiry.error:
        typer.echo(f"{expiry.region}: nothing is known, and nothing went: {expiry.error}")
        return
    would = "would go" if dry_run else "gone"
    kept = keep_text(expiry.keep) if expiry.keep else ""
    many = f"{len(expiry.backups)} backups and {expiry.wal_pieces} pieces of WAL"
    typer.echo(f"{expiry.region}: {many}, {size_text(expiry.stored_bytes)} {would}; kept is {kept}")
    for id_ in expiry.backups:
        typer.echo(f"  {would}  {id_}")
    for id_, why in (expiry.why or {}).items():
        typer.echo(f"  stays  {id_}: {', '.join(why)}")
    if expiry.locked:
        typer.echo(f"  {len(expiry.locked)} objects are locked, and go another time")


def _plain_expiry(expiry: RegionExpiry) -> dict[str, Any]:
    return {
        "region": expiry.region,
        "error": expiry.error or None,
        "keep": keep_document(expiry.keep) if expiry.keep else None,
        "backups": list(expiry.backups),
        "wal_pieces": expiry.wal_pieces,
        "stored_bytes": expiry.stored_bytes,
        "stays": {id_: list(why) for id_, why in (expiry.why or {}).items()},
        "locked": list(expiry.locked),
    }


def _print_standing(standing: Sequence[Standing]) -> None:
    rows = [
        (
            each.region,
            keep_text(each.in_force) if each.in_force else "nothing",
            keep_text(each.declared) if each.declared else "no copy",
            _asked(each.change),
        )
        for each in standing
    ]
    print_table(dict.fromkeys(("region", "in force", "in the estate", "asked for"), "left"), rows)


def _asked(change: Change | None) -> str:
    if change is None:
        return ""
    by = ", ".join(each.who for each in change.approvals) or "nobody"
    effective = change.effective_at
    when = f"in effect from {moment(effective)}" if effective else f"{PEOPLE} people must approve it"
    return f"to keep less, approved by {by}; {when}"


def _plain_standing(standing: Standing) -> dict[str, Any]:
    change = standing.change
    return {
        "region": standing.region,
        "in_force": keep_document(standing.in_force) if standing.in_force else None,
        "declared": keep_document(standing.declared) if standing.declared else None,
        "change": None
        if change is None
        else {
            "id": change.id,
            "asked_at": change.asked_at,
            "to": keep_document(change.to),
            "approvals": [{"by": each.who, "at": each.at} for each in change.approvals],
            "effective_at": change.effective_at,
        },
    }
