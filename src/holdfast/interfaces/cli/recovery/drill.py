"""`holdfast drill`: try a recovery before it is needed, and see which drills prove something still."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import print_json, print_table, told
from holdfast.interfaces.cli.recovery.runs import follow, plain_run

if TYPE_CHECKING:
    from datetime import datetime

    from holdfast.interfaces.cli.ports import Place
    from holdfast.interfaces.cli.recovery.ports import RecoveryCommands
    from holdfast.interfaces.evidence_desk import DrillShown
    from holdfast.recovery.forecast import Forecast
    from holdfast.recovery.views import RunView

Subject = Annotated[str, typer.Argument(metavar="DB", help="A database's key in the estate.")]
Region = Annotated[str, typer.Option("--region", help="Out of this region; at random if left out.")]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, help="What chance begins with, to pick the same again.")
]
Watch = Annotated[bool, typer.Option("--watch/--no-watch", "-w", help="Follow it until it is over.")]


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """A drill to be started. An empty subject: the only one of the estate that it could be."""

    scenario: str
    subject: str
    given: Mapping[str, str]
    seed: int | None = None
    """Left out: one is drawn, and told."""


class DrillCommands(Protocol):
    """What these commands need behind them."""

    def start(self, place: Place, request: DrillRequest) -> tuple[RunView, int]:
        """The run and the seed that it has. Raises Refused where the estate does not allow it."""
        ...

    def game_day(self, place: Place, seed: int | None, *, dry_run: bool) -> tuple[str, int, RunView | None]:
        """The drill that was picked, by which seed, and its run."""
        ...

    def standings(self, place: Place) -> tuple[datetime, Sequence[DrillShown]]:
        """Every declared drill, as of that time."""
        ...


def add_drills(app: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    """Add `holdfast drill`."""
    group = typer.Typer(help="Drills: recoveries, tried before they are needed.", no_args_is_help=True)
    app.add_typer(group, name="drill")
    _add_copies(group, commands)
    _add_outage(group, commands)
    _add_game_day(group, commands)
    _add_list(group, commands)


def _add_copies(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command()
    def restore(
        database: Subject,
        config: Config,
        data_dir: DataDir,
        region: Region = "",
        older: Annotated[bool, typer.Option("--older", help="A moment at random, not the newest.")] = False,
        seed: Seed = None,
        watch: Watch = True,
        as_json: AsJson = False,
    ) -> None:
        """Restore a copy apart from everything, question it, and measure how long it took."""
        given = {"region": region, "point": "older" if older else "newest"}
        where = place(config, data_dir)
        _start(commands, where, DrillRequest("restore", database, given, seed), watch=watch, as_json=as_json)

    @group.command()
    def corruption(
        database: Subject,
        config: Config,
        data_dir: DataDir,
        region: Region = "",
        how: Annotated[
            str, typer.Option("--how", help="In the lab: update, drop or flip; one of them if left out.")
        ] = "",
        seed: Seed = None,
        watch: Watch = True,
        as_json: AsJson = False,
    ) -> None:
        """Restore a moment at random, as if damage had begun behind it, and tell what has changed since.

        Where the estate declares it with `where: lab`, the lab's data is damaged for real, and put back.
        """
        request = DrillRequest("corruption", database, {"region": region, "how": how}, seed)
        _start(commands, place(config, data_dir), request, watch=watch, as_json=as_json)


def _add_outage(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command("region-outage")
    def region_outage(
        config: Config,
        data_dir: DataDir,
        cluster: Annotated[
            str, typer.Option("--cluster", help="Left out: the only one that can be failed over.")
        ] = "",
        seed: Seed = None,
        watch: Watch = True,
        as_json: AsJson = False,
    ) -> None:
        """Move a cluster to its second region, where the estate declares that drill, and measure it."""
        request = DrillRequest("region-outage", cluster, {}, seed)
        _start(commands, place(config, data_dir), request, watch=watch, as_json=as_json)


def _add_game_day(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command("game-day")
    def game_day(
        config: Config,
        data_dir: DataDir,
        seed: Seed = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell which it would be.")] = False,
        watch: Watch = True,
        as_json: AsJson = False,
    ) -> None:
        """Pick one of the declared drills at random, and start it. The seed picks the same one again."""
        where = place(config, data_dir)
        with told(as_json=as_json):
            key, drawn, view = commands().recovery_drills().game_day(where, seed, dry_run=dry_run)
        if as_json:
            print_json({"drill": key, "seed": drawn, "run": None if view is None else plain_run(view)})
        else:
            typer.echo(f"{key}, picked with the seed {drawn}")
        if view is not None and watch:
            follow(commands, where, view.run.id, as_json=as_json)


def _add_list(group: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    @group.command("list")
    def list_(config: Config, data_dir: DataDir, as_json: AsJson = False) -> None:
        """Show the declared drills: when each passed last, until when that proves anything, what is next."""
        with told(as_json=as_json):
            now, found = commands().recovery_drills().standings(place(config, data_dir))
        if as_json:
            print_json({"at": now, "drills": [_plain(each) for each in found]})
        elif not found:
            typer.echo("the estate declares no drill; see `recovery.drills` in docs/estate.md")
        else:
            _print_list(found)


def _start(
    commands: Callable[[], RecoveryCommands],
    where: Place,
    request: DrillRequest,
    *,
    watch: bool,
    as_json: bool,
) -> None:
    with told(as_json=as_json):
        view, seed = commands().recovery_drills().start(where, request)
    if not as_json:
        typer.echo(f"started run {view.run.id} on {view.run.subject}, with the seed {seed}")
    elif not watch:
        print_json(plain_run(view))
    if watch:
        follow(commands, where, view.run.id, as_json=as_json)
        if not as_json:
            typer.echo(f"its evidence: holdfast evidence list --subject {view.run.subject}")
    elif not as_json:
        typer.echo(f"follow it: holdfast run watch {view.run.id}")


def _print_list(found: Sequence[DrillShown]) -> None:
    columns = {
        "drill": "left",
        "of": "left",
        "where": "left",
        "passed (UTC)": "left",
        "proves until": "left",
        "next": "left",
        "restores in": "left",
    }
    print_table(columns, [_row(each) for each in found])
    for each in found:
        if each.forecast is not None and each.forecast.breaks_at is not None:
            typer.echo(f"holdfast: {each.standing.key}: {warning_of(each.forecast)}", err=True)


def _row(shown: DrillShown) -> Sequence[str]:
    from holdfast.interfaces.evidence_words import lasted  # noqa: PLC0415

    it, forecast = shown.standing, shown.forecast
    until = "nothing: it never passed" if it.valid_until is None else f"{it.valid_until:%F}"
    takes = "" if forecast is None or forecast.now_s is None else lasted(round(forecast.now_s * 1000))
    return (
        it.key,
        f"{it.drill.scenario} of {it.drill.subject}",
        it.drill.where,
        f"{it.passed_at:%F %H:%M}" if it.passed_at else "never",
        f"{until} (expired)" if it.passed_at and it.is_expired else until,
        "by hand" if it.due_at is None else "now" if it.is_due else f"{it.due_at:%F %H:%M}",
        takes,
    )


def warning_of(forecast: Forecast) -> str:
    """What a person is told of a restore time that grows beyond what was agreed on."""
    from holdfast.interfaces.evidence_words import lasted, seconds  # noqa: PLC0415

    then = "unknown" if forecast.then_s is None else lasted(round(forecast.then_s * 1000))
    return (
        f"from about {forecast.breaks_at:%F} on a restore takes longer than the {seconds(forecast.limit)} "
        f"that were agreed on; it grows to {then} ({forecast.samples} measurements)"
    )


def _plain(shown: DrillShown) -> dict[str, Any]:
    it, forecast = shown.standing, shown.forecast
    return {
        "drill": it.key,
        "scenario": it.drill.scenario,
        "subject": it.drill.subject,
        "where": it.drill.where,
        "tried_at": it.tried_at,
        "passed_at": it.passed_at,
        "valid_until": it.valid_until,
        "expired": it.is_expired,
        "due_at": it.due_at,
        "forecast": None
        if forecast is None
        else {
            "samples": forecast.samples,
            "now_s": forecast.now_s,
            "then_s": forecast.then_s,
            "growth_bytes_per_day": forecast.growth_per_day,
            "limit_s": None if forecast.limit is None else forecast.limit.total_seconds(),
            "breaks_at": forecast.breaks_at,
        },
    }
