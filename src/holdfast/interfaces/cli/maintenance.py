"""`holdfast maintenance`: announce planned work, so that it leaves the counted time of agreements."""

from collections.abc import Callable
from typing import Annotated

import typer

from holdfast.interfaces.cli.moments import parse_moment
from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, print_table, told
from holdfast.interfaces.cli.ports import Commands


def build(commands: Callable[[], Commands]) -> typer.Typer:
    app = typer.Typer(help="Planned maintenance.", no_args_is_help=True)

    @app.command()
    def plan(
        components: Annotated[list[str], typer.Argument(help="cluster/component; * for all, such as eu/*")],
        start: Annotated[str, typer.Option("--from", help="When it begins: 2026-11-22T03:00+01:00")],
        end: Annotated[str, typer.Option("--to", help="When it ends.")],
        config: Config,
        data_dir: DataDir,
        title: Annotated[str, typer.Option("--title", help="What customers read.")] = "Planned maintenance",
        as_json: AsJson = False,
    ) -> None:
        """Announce maintenance now. The announcement's time is taken, and cannot be changed."""
        with told(as_json=as_json):
            planned = commands().maintenance_plan(
                place(config, data_dir), components, parse_moment(start), parse_moment(end), title
            )
        if as_json:
            print_json({"id": planned.id, "announced_at": planned.announced_at})
        else:
            typer.echo(f"planned maintenance {planned.id}, announced {planned.announced_at:%Y-%m-%d %H:%M}Z")

    @app.command("list")
    def list_(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show what is planned, and what was in the last 90 days."""
        with told(as_json=as_json):
            planned = commands().maintenance_list(place(config, data_dir))
        if as_json:
            print_json(
                [
                    {
                        "id": each.id,
                        "from": each.window.start,
                        "to": each.window.end,
                        "announced_at": each.announced_at,
                        "cancelled_at": each.cancelled_at,
                        "title": each.title,
                        "components": list(names),
                    }
                    for each, names in planned
                ]
            )
            return
        rows = [
            (
                each.id,
                f"{each.window.start:%Y-%m-%d %H:%M}Z",
                f"{each.window.end:%Y-%m-%d %H:%M}Z",
                "cancelled" if each.cancelled_at else "",
                each.title,
                ", ".join(names),
            )
            for each, names in planned
        ]
        headings = ("id", "from", "to", "", "title", "components")
        print_table(dict.fromkeys(headings, "left"), rows)

    @app.command()
    def cancel(
        maintenance_id: Annotated[int, typer.Argument()],
        config: Config,
        data_dir: DataDir,
        as_json: AsJson = False,
    ) -> None:
        """Cancel maintenance: it no longer leaves the counted time."""
        with told(as_json=as_json):
            done = commands().maintenance_cancel(place(config, data_dir), maintenance_id)
        if not done:
            fail(
                f"there is no maintenance {maintenance_id} to cancel",
                "holdfast maintenance list",
                as_json=as_json,
            )
        print_json({"cancelled": maintenance_id}) if as_json else typer.echo(f"cancelled {maintenance_id}")

    return app
