"""`holdfast find-good`: the last commit at which a check was true, and the first one at which it was not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.moments import parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, progress_shown, told

if TYPE_CHECKING:
    from holdfast.backup.search.finding import Finding
    from holdfast.backup.search.searching import Flip, Found
    from holdfast.backup.search.statements import TableChange
    from holdfast.interfaces.cli.ports import Commands, Place, Report

LARGEST_CHECK = 1024 * 1024
NOT_FOUND = 3
"""The exit code when there is no last good point in what was searched."""


@dataclass(frozen=True, slots=True)
class FindRequest:
    """What `find-good` is asked for."""

    database: str
    check: str
    since: datetime | None = None
    until: datetime | None = None
    tables: tuple[str, ...] = ()
    region: str | None = None
    dbname: str | None = None
    leave: Path | None = None
    every_commit: bool = False


@dataclass(frozen=True, slots=True)
class LeftCopy:
    """A copy that runs at the last good point, read-only, and how to connect to it."""

    folder: Path
    conninfo: str


class SearchCommands(Protocol):
    """What this command needs behind it."""

    def find(self, place: Place, request: FindRequest, report: Report) -> tuple[Finding, LeftCopy | None]: ...


def add_find_good(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    @app.command(name="find-good")
    def find_good(
        database: Annotated[str, typer.Argument(metavar="DB", help="A database's key in the estate.")],
        config: Config,
        data_dir: DataDir,
        check: Annotated[
            Path, typer.Option("--check", help="A file of SQL that returns one row, true, while all is well.")
        ],
        between: Annotated[
            tuple[str, str] | None,
            typer.Option("--between", metavar="A B", help="Search only here; times with their offset."),
        ] = None,
        tables: Annotated[
            str | None,
            typer.Option("--tables", help="Tables that count, by commas; left out: those the check reads."),
        ] = None,
        region: Annotated[str | None, typer.Option("--region", help="Search in this region's copy.")] = None,
        dbname: Annotated[str | None, typer.Option("--dbname", help="Where the check runs.")] = None,
        leave: Annotated[
            Path | None, typer.Option("--leave", help="Leave a copy running here, at the last good point.")
        ] = None,
        every_commit: Annotated[
            bool,
            typer.Option(
                "--every-commit", help="Ask at each commit, so that no change is missed. May take long."
            ),
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Find the last commit at which a check was true, and the first one at which it was not."""
        since, until = (parse_moment(each) for each in between) if between else (None, None)
        if since is not None and until is not None and until <= since:
            raise typer.BadParameter("the second time must be after the first", param_hint="--between")
        request = FindRequest(
            database,
            _read(check, as_json=as_json),
            since,
            until,
            tuple(each.strip() for each in (tables or "").split(",") if each.strip()),
            region,
            dbname,
            leave,
            every_commit,
        )
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            found, left = commands().searching().find(place(config, data_dir), request, report)
        if as_json:
            print_json(_as_json(found, left))
        else:
            _print(found, left, every_commit=every_commit)
        if found.outcome.turn is None:
            raise typer.Exit(NOT_FOUND)


def _read(check: Path, *, as_json: bool) -> str:
    try:
        with check.open(encoding="utf-8") as file:
            text = file.read(LARGEST_CHECK + 1)
    except OSError as error:
        fail(f"{check} cannot be read: {error.strerror}", as_json=as_json)
    except UnicodeDecodeError:
        fail(f"{check} is not text in UTF-8", as_json=as_json)
    if not text.strip() or len(text) > LARGEST_CHECK or "\0" in text:
        fail(f"{check} holds no check", "one SELECT that returns one row, true or false", as_json=as_json)
    return text


def _print(found: Finding, left: LeftCopy | None, *, every_commit: bool) -> None:
    outcome, turn = found.outcome, found.outcome.turn
    typer.echo(
        f"{found.database} in {found.region}: {found.commits} commits from {_time(found.first_at)} to"
        f" {_time(found.last_at)}; {outcome.candidates} may change the answer; asked {outcome.asked} times"
    )
    if turn is not None:
        rows = [_row("last good", turn.before), _row("first bad", turn.after)]
        print_table(
            {
                "": "left",
                "time": "left",
                "LSN": "left",
                "xid": "right",
                "statement": "left",
                "tables": "left",
            },
            rows,
        )
        if turn.after.answer.text:
            typer.echo(f"then the check: {turn.after.answer.text}")
        if turn.unasked:
            typer.echo(f"{turn.unasked} commits between them could not be asked: a table was locked then")
    for line in _passed_over(outcome.passed_over, every_commit=every_commit):
        typer.echo(line)
    for line in _advice(found):
        typer.echo(line)
    if len(found.flips) > 1:
        typer.echo(f"the answer changed {len(found.flips)} times, each with the commit named here:")
        columns = {
            "to": "left",
            "time": "left",
            "LSN": "left",
            "xid": "right",
            "statement": "left",
            "tables": "left",
        }
        print_table(columns, [_row(each.after.answer.verdict.value, each.after) for each in found.flips])
    if left is not None:
        typer.echo(f'a copy runs at the last good point, read-only: psql "{left.conninfo}"')
        typer.echo(f"  its files are in {left.folder}; end it with: pg_ctl stop -D {left.folder}")


def _passed_over(count: int, *, every_commit: bool) -> list[str]:
    """What the answer does not rest upon: two changes in there that undo each other are not seen."""
    if not count:
        return []
    if every_commit:
        return [f"{count} commits could not be asked at: a table was locked then"]
    said = f"{count} commits between steps with the same answer were not looked at one by one"
    return [f"{said}; --every-commit looks at each"]


def _advice(found: Finding) -> list[str]:
    """What to do next."""
    first, last = found.outcome.first, found.outcome.last
    if found.outcome.turn is not None and last.is_good:
        return ["the check is good again at the end"]
    if found.outcome.turn is not None:
        return [f"restore it with: {restore_command(found)}"]
    if last.is_good and first.is_good:
        return [
            "the check is still good at the end: the damage came later, or the check does not see it",
            "  hint: let --between end later, or write a check that is false on the database as it is",
        ]
    if last.is_good:
        return ["the check was not good at the beginning, and is good at the end: nothing turned bad"]
    told = f" ({last.text})" if last.text else ""
    return [
        f"the check is never good in what was searched, from its beginning on: {last.verdict.value}{told}",
        "  hint: let --between begin earlier, or search in a region that keeps more (holdfast backup points)",
        "  hint: and see that the check is true on a database that is well",
    ]


def restore_command(found: Finding) -> str:
    """The command line that restores the last good point."""
    from holdfast.backup.lsn import format_lsn  # noqa: PLC0415  `--help` has no use for it

    target = found.target
    lsn = format_lsn(target.lsn) if target is not None and target.lsn is not None else ""
    before = "" if target is None or target.inclusive else " --exclusive"
    return f"holdfast restore {found.database} --at {lsn}{before} --region {found.region} --to DIR"


def _row(heading: str, found: Found | None) -> list[object]:
    from holdfast.backup.lsn import format_lsn  # noqa: PLC0415  as above

    if found is None:
        return [heading, "where the search began", "", "", "", ""]
    commit = found.commit
    tables = "; ".join(_change(each) for each in found.tables)
    return [heading, _time(commit.at), format_lsn(commit.end), commit.xid, found.kind, tables]


def _change(change: TableChange) -> str:
    counts = [
        f"{count} {word}"
        for count, word in (
            (change.inserted, "inserted"),
            (change.updated, "updated"),
            (change.deleted, "deleted"),
        )
        if count
    ]
    counts += ["truncated"] if change.truncated else []
    return f"{change.table}: {', '.join(counts)}" if counts else change.table


def _time(moment: datetime | None) -> str:
    return "?" if moment is None else moment.isoformat()


def _as_json(found: Finding, left: LeftCopy | None) -> Mapping[str, Any]:
    outcome, turn = found.outcome, found.outcome.turn
    return {
        "database": found.database,
        "region": found.region,
        "backup": found.backup,
        "ending": found.ending.value,
        "commits": found.commits,
        "first_at": found.first_at,
        "last_at": found.last_at,
        "candidates": outcome.candidates,
        "asked": outcome.asked,
        "passed_over": outcome.passed_over,
        "at_the_beginning": {"verdict": outcome.first.verdict.value, "text": outcome.first.text},
        "at_the_end": {"verdict": outcome.last.verdict.value, "text": outcome.last.text},
        "last_good": None if turn is None else _found_json(turn.before),
        "first_bad": None if turn is None else _found_json(turn.after),
        "unasked": 0 if turn is None else turn.unasked,
        "restore": None if turn is None else restore_command(found),
        "flips": [_flip_json(each) for each in found.flips],
        "copy": None if left is None else {"folder": str(left.folder), "conninfo": left.conninfo},
    }


def _flip_json(flip: Flip) -> Mapping[str, Any]:
    return {
        "from": flip.was.verdict.value,
        "to": flip.after.answer.verdict.value,
        "before": _found_json(flip.before),
        "after": _found_json(flip.after),
        "unasked": flip.unasked,
    }


def _found_json(found: Found | None) -> Mapping[str, Any] | None:
    from holdfast.backup.lsn import format_lsn  # noqa: PLC0415  as above

    if found is None:
        return None
    return {
        "at": found.commit.at,
        "lsn": format_lsn(found.commit.lsn),
        "end_lsn": format_lsn(found.commit.end),
        "xid": found.commit.xid,
        "subxids": found.commit.subxids,
        "statement": found.kind,
        "prepared": found.commit.prepared,
        "tables": [
            {
                "table": each.table,
                "inserted": each.inserted,
                "updated": each.updated,
                "deleted": each.deleted,
                "truncated": each.truncated,
            }
            for each in found.tables
        ],
        "answer": {"verdict": found.answer.verdict.value, "text": found.answer.text},
    }
