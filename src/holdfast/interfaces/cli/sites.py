"""`holdfast site`: the status site as files."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, progress_shown, told
from holdfast.interfaces.cli.ports import Commands


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="The status site.", no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """The status site."""

    @app.command()
    def export(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to: empty, or an earlier copy.")],
        config: Config,
        data_dir: DataDir,
        months: Annotated[
            int, typer.Option("--months", min=1, max=600, help="How many months of history and reports.")
        ] = 24,
        as_json: AsJson = False,
    ) -> None:
        """Write the whole public site as plain files, for any web server, any folder of it, or a bucket."""
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            try:
                done = commands().site_export(place(config, data_dir), folder, months, report)
            except OSError as error:
                fail(f"{folder} cannot be written: {error.strerror}", "choose another place", as_json=as_json)
        written = done.written
        if as_json:
            print_json(
                {
                    "folder": done.folder,
                    "files": written.files,
                    "changed": written.changed,
                    "removed": written.removed,
                    "bytes": written.size,
                    "as_of": done.at,
                    "live": done.live,
                    "left_out": done.left_out,
                }
            )
            return
        typer.echo(
            f"wrote {folder}: {written.files} files, {written.changed} of them new or changed, "
            f"{written.removed} removed"
        )
        if not done.live:
            typer.echo(f"THE DATABASE IS AWAY: it shows what was known at {done.at:%Y-%m-%d %H:%M}Z")
        if done.left_out:
            typer.echo(f"{done.left_out} pages could not be had now and are left out")

    return app
