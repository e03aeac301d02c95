"""`holdfast lab`: real services on this machine that can be broken."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from holdfast.interfaces.cli.options import AsJson, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, progress_shown, told
from holdfast.interfaces.cli.ports import Commands, LabPart, Place, Report

Part = Annotated[
    str,
    typer.Argument(
        help="A part such as a-node or eu-api, a group such as region-a, or a fault such as disk."
    ),
]


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Real services on this machine, to break and to heal.", no_args_is_help=True)

    def run(act: Callable[[Place, Report], Sequence[LabPart]], data_dir: Path, *, as_json: bool) -> None:
        with told(as_json=as_json), progress_shown(quiet=as_json) as report:
            parts = act(place(Path("holdfast.yaml"), data_dir), report)
        _show(parts, as_json=as_json)

    @app.command()
    def up(
        data_dir: DataDir,
        what: Annotated[
            str, typer.Argument(help="regions (two regions and a witness) or clusters (the demo's)")
        ] = "regions",
        namespaces: Annotated[
            bool | None,
            typer.Option(
                "--namespaces/--no-namespaces",
                help="Regions only, as root: real links between the sites, which can be cut.",
                show_default="as it was started first",
            ),
        ] = None,
        fast: Annotated[bool, typer.Option("--fast", help="Regions only: Patroni looks more often.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Start whatever does not run, and heal whatever is broken."""
        run(
            lambda where, report: commands().lab_up(where, what, report, namespaces=namespaces, fast=fast),
            data_dir,
            as_json=as_json,
        )

    @app.command()
    def down(data_dir: DataDir, as_json: AsJson = False) -> None:
        """End every process of the labs. Their content stays."""
        run(commands().lab_down, data_dir, as_json=as_json)

    @app.command()
    def status(data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show every part as it is now."""
        run(lambda where, _: commands().lab_status(where), data_dir, as_json=as_json)

    @app.command("break")
    def break_(
        name: Part,
        data_dir: DataDir,
        how: Annotated[
            str | None,
            typer.Option(
                "--how",
                help="Processes: kill, stop, hang. A link: cut, one-way. Data: update, drop, flip. "
                "A clock: forward, back.",
                show_default="the first of these",
            ),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Do real damage: to processes, links, disks, clocks or data."""
        run(lambda where, report: commands().lab_break(where, name, how, report), data_dir, as_json=as_json)

    @app.command()
    def heal(name: Part, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Undo the damage, and wait until the part answers."""
        run(lambda where, report: commands().lab_heal(where, name, report), data_dir, as_json=as_json)

    return app


def _show(parts: Sequence[LabPart], *, as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"name": p.name, "state": p.state, "pid": p.pid, "port": p.port, "since": p.since}
                for p in parts
            ]
        )
        return
    rows = [
        (p.name, p.state, p.port or "", p.pid or "", f"{p.since:%Y-%m-%d %H:%M:%S}Z" if p.since else "")
        for p in parts
    ]
    print_table({"part": "left", "state": "left", "port": "right", "pid": "right", "since": "left"}, rows)
