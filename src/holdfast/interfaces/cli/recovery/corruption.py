"""`holdfast recover`: damaged data is put back, and what was written since then stays."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.interfaces.cli.moments import parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, told
from holdfast.interfaces.cli.recovery.runs import StartRequest, say_started

if TYPE_CHECKING:
    from holdfast.interfaces.cli.recovery.ports import RecoveryCommands

MOST_READ = 100_000
"""Characters: what is longer is refused, in the words of `RecoverRequest`."""


class PutBack(StrEnum):
    """How damaged tables are put back."""

    ROWS = "rows"
    REPLACE = "replace"
    DATABASE = "database"


def add_recover(app: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    """Add `holdfast recover`."""

    @app.command()
    def recover(
        database: Annotated[str, typer.Argument(metavar="DB", help="A database's key in the estate.")],
        config: Config,
        data_dir: DataDir,
        check: Annotated[
            Path, typer.Option("--check", help="A file of SQL that returns one row, true while all is well.")
        ],
        tables: Annotated[
            str | None,
            typer.Option(
                "--tables", help="The damaged ones, by commas; left out: what the first bad commit touched."
            ),
        ] = None,
        between: Annotated[
            tuple[str, str] | None,
            typer.Option("--between", metavar="A B", help="Search only here; times with their offset."),
        ] = None,
        way: Annotated[
            PutBack, typer.Option("--way", help="Damaged rows; all rows of the tables; the whole database.")
        ] = PutBack.ROWS,
        freeze: Annotated[
            bool, typer.Option("--freeze/--no-freeze", help="The database only reads meanwhile.")
        ] = True,
        drop_new: Annotated[
            bool, typer.Option("--drop-new", help="With --way replace: new rows since then go too.")
        ] = False,
        watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it is over.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Find the last good point, show what is damaged, and put it back when somebody has approved.

        Until then nothing is changed, but that the database only reads; a cancel takes that back.
        """
        since, until = (each.strip() for each in between) if between else ("", "")
        if between and parse_moment(until) <= parse_moment(since):
            raise typer.BadParameter("the second time must be after the first", param_hint="--between")
        text, where = _read(check, as_json=as_json), place(config, data_dir)
        with told(as_json=as_json):
            from holdfast.interfaces.recover_request import PLAYBOOK, RecoverRequest  # noqa: PLC0415

            wanted = RecoverRequest(
                text, tables or "", since, until, way.value, freeze=freeze, drop_new=drop_new
            )
            request = StartRequest(PLAYBOOK, database, wanted.given())
            view = commands().recovery_runs().start(where, request)
        say_started(commands, where, view, watch=watch, as_json=as_json)


def _read(check: Path, *, as_json: bool) -> str:
    try:
        with check.open(encoding="utf-8") as file:
            return file.read(MOST_READ)
    except OSError as error:
        fail(f"{check} cannot be read: {error.strerror}", as_json=as_json)
    except UnicodeDecodeError:
        fail(f"{check} is not text in UTF-8", as_json=as_json)
