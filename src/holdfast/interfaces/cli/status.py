"""`holdfast status`: the estate in a terminal, live."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, told
from holdfast.interfaces.cli.ports import Commands

if TYPE_CHECKING:
    from rich.console import RenderableType

    from holdfast.availability.views import ComponentHistory, ComponentStatus, Overview

REFRESH_S = 2.0
DAYS = 30
_STYLES = {
    "operational": "green",
    "degraded": "yellow",
    "partial_outage": "dark_orange",
    "major_outage": "bold red",
    "unknown": "bright_black",
}
_SIGNS = {"operational": "●", "degraded": "◐", "partial_outage": "◑", "major_outage": "✖", "unknown": "?"}
"""States differ in their signs, not in colour alone."""


def add_status(app: typer.Typer, commands: Callable[[], Commands]) -> None:
    """Add the command to `app`."""

    @app.command()
    def status(
        config: Config,
        data_dir: DataDir,
        once: Annotated[bool, typer.Option("--once", help="Show it once instead of following it.")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Show every component, and follow it until Ctrl-C."""
        where = place(config, data_dir)
        with told(as_json=as_json):
            if as_json:
                commands().status(where, lambda overview: print_json(as_plain(overview)), every_s=None)
            elif once:
                commands().status(where, _print, every_s=None)
            else:
                _follow(lambda show: commands().status(where, show, every_s=REFRESH_S))


def as_plain(overview: "Overview") -> dict[str, Any]:
    """The overview for programs."""
    return {
        "as_of": overview.at,
        "state": overview.state.label,
        "sample": overview.sample,
        "components": [
            {
                "cluster": cluster.key,
                "component": each.status.key,
                "state": each.status.state.label,
                "since": each.status.since,
                "reason": each.status.reason,
                "because_of": [f"{cause.cluster_key}/{cause.key}" for cause in each.status.because_of],
                "under_maintenance": each.status.maintenance is not None,
            }
            for cluster in overview.clusters
            for each in cluster.components
        ],
    }


def _print(overview: "Overview") -> None:
    from rich.console import Console  # noqa: PLC0415

    Console().print(_table(overview))


def _follow(watch: Callable[[Callable[["Overview"], None]], None]) -> None:
    from rich.live import Live  # noqa: PLC0415

    with Live(auto_refresh=False, screen=False) as live:
        watch(lambda overview: live.update(_table(overview), refresh=True))


def _table(overview: "Overview") -> "RenderableType":
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    table.title = f"{overview.state.label.replace('_', ' ')}, as of {overview.at:%Y-%m-%d %H:%M:%S}Z"
    if overview.sample:
        table.caption = "contains sample history"
    for heading in ("component", "state", "for", f"{DAYS} days", "why"):
        table.add_column(heading)
    for cluster in overview.clusters:
        for each in cluster.components:
            state = each.status.state.label
            sign = Text(f"{_SIGNS[state]} {state.replace('_', ' ')}", style=_STYLES[state])
            if each.status.maintenance is not None:
                sign.append(" (maintenance)", style="blue")
            table.add_row(
                f"{cluster.name} · {each.status.name}",
                sign,
                _age(each.status.since, overview.at),
                _percent(each),
                Text(_why(each.status)),
            )
    return table


def _why(status: "ComponentStatus") -> str:
    if not status.because_of:
        return status.reason
    because = "because of " + ", ".join(each.full_name for each in status.because_of)
    return f"{status.reason}; {because}" if status.reason else because


def _percent(history: "ComponentHistory") -> str:
    from holdfast.availability.sla import percent_text  # noqa: PLC0415

    text = percent_text(history.figure.availability)
    return "no data" if text is None else f"{text} %"


def _age(since: datetime | None, now: datetime) -> str:
    """The two largest units that say something."""
    if since is None:
        return ""
    seconds = max(0, int((now - since) / timedelta(seconds=1)))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "now"
