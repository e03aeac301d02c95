"""How the command line speaks: to people, to programs (--json), and of errors in one line."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

import typer

from holdfast.estate.errors import EstateError
from holdfast.interfaces.cli.ports import Progress
from holdfast.kernel.errors import HoldfastError

FAILED = 1
WRONG_ESTATE = 2
INTERRUPTED = 130

FEW = 20
"""So many steps are told one by one."""
LINE_EVERY_S = 5.0
PIPED_WIDTH = 200
"""Columns where nobody says how wide it is: a table in a file is not folded."""


@contextmanager
def told(*, as_json: bool) -> Iterator[None]:
    """Inside this block a HoldfastError becomes its message and hint on stderr, and the exit code."""
    try:
        yield
    except EstateError as error:
        if as_json:
            print_json({"error": str(error), "problems": error.as_json()})
        else:
            typer.echo(error.as_text(), err=True)
        raise typer.Exit(WRONG_ESTATE) from None
    except HoldfastError as error:
        fail(str(error), error.hint, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def fail(message: str, hint: str = "", *, as_json: bool = False) -> NoReturn:
    """Say what went wrong and what to do next, and end."""
    if as_json:
        print_json({"error": message, "hint": hint})
    else:
        typer.echo(f"holdfast: {message}" + (f"\n  hint: {hint}" if hint else ""), err=True)
    raise typer.Exit(FAILED)


def print_json(value: Any) -> None:
    """One JSON document on stdout. Times are ISO 8601 in UTC."""
    typer.echo(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def print_table(columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people. `columns` maps headings to their alignment (left, right)."""
    from rich.console import Console  # noqa: PLC0415  rich costs more to import than `--help` may take
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, (heading, justify) in enumerate(columns.items()):
        # Nothing is cut off, and the first column, by which a row is named to other commands, stays whole.
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=number == 0)  # type: ignore[arg-type]
    for row in rows:
        # As text, not as rich's markup: a title in brackets would vanish, or be an error.
        table.add_row(*(Text(str(cell)) for cell in row))
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    Console(width=wide).print(table)


class _Lines:
    """Progress where no bar can be drawn: of a long way a line now and then, so that a log stays readable."""

    def __init__(self) -> None:
        self._said_at = -LINE_EVERY_S
        self._said = ""

    def say(self, progress: Progress) -> None:
        now = time.monotonic()
        on_the_way = progress.done is not None and progress.done != progress.total
        if on_the_way and (progress.total or 0) > FEW and now - self._said_at < LINE_EVERY_S:
            return
        if progress.text == self._said:
            return
        self._said_at, self._said = now, progress.text
        typer.echo(progress.text, err=True)


@contextmanager
def progress_shown(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar with an estimate on a terminal, plain lines elsewhere, nothing when `quiet`."""
    if quiet:
        yield lambda _: None
    elif not sys.stderr.isatty():
        yield _Lines().say
    else:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Bar(*columns, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda p: bar.update(task, description=p.text, total=p.total, completed=p.done or 0)
