"""How the command line speaks: to people, to programs (--json), and of errors in one line."""

import json
import sys
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
    for heading, justify in columns.items():
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        # As text, not as rich's markup: a title in brackets would vanish, or be an error.
        table.add_row(*(Text(str(cell)) for cell in row))
    Console().print(table)


@contextmanager
def progress_shown(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar with an estimate on a terminal, plain lines elsewhere, nothing when `quiet`."""
    if quiet:
        yield lambda _: None
    elif not sys.stderr.isatty():
        yield lambda progress: typer.echo(progress.text, err=True)
    else:
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Bar(*columns, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda p: bar.update(task, description=p.text, total=p.total, completed=p.done or 0)
