"""`holdfast switchover`, `failover` and `failback`: move a cluster to its other region, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from holdfast.interfaces.cli.options import AsJson, Config, DataDir, place
from holdfast.interfaces.cli.output import fail, print_json, told
from holdfast.interfaces.cli.recovery.runs import say_started

if TYPE_CHECKING:
    from holdfast.interfaces.cli.ports import Place
    from holdfast.interfaces.cli.recovery.ports import RecoveryCommands
    from holdfast.recovery.views import RunView

ClusterKey = Annotated[str, typer.Argument(metavar="CLUSTER", help="Its key in the estate.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it is over.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what is seen, what speaks against it, and begin nothing.")
]


class Move(StrEnum):
    """What is meant."""

    SWITCHOVER = "switchover"
    FAILOVER = "failover"
    FORCED = "failover --force"
    FAILBACK = "failback"


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """What somebody asks for."""

    cluster: str
    move: Move


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What would be begun, and what is known before."""

    cluster: str
    move: Move
    playbook: str
    lost: str
    """The region that is left."""
    to: str
    seen: Sequence[str]
    """How each region stands."""
    against: Sequence[str]
    """What speaks against it; the playbook looks again by itself."""
    loss: Sequence[str] = ()
    """What could be lost at most, as lines; empty where nothing can be."""
    given: Mapping[str, str] = field(default_factory=dict)
    instead: str = ""
    """What would help, where this would not."""


class FailoverCommands(Protocol):
    """What these commands need behind them."""

    def plan(self, place: Place, request: MoveRequest) -> MovePlan:
        """Look at the regions. Changes nothing."""
        ...

    def start(self, place: Place, plan: MovePlan) -> RunView:
        """Begin it, under the account of whoever calls."""
        ...


def add_failover(app: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    """Add the three verbs."""

    @app.command()
    def switchover(
        cluster: ClusterKey,
        config: Config,
        data_dir: DataDir,
        dry_run: DryRun = False,
        watch: Watch = False,
        as_json: AsJson = False,
    ) -> None:
        """Move a cluster to its other region as planned, with both well. Nothing is lost."""
        request = MoveRequest(cluster, Move.SWITCHOVER)
        _move(commands, place(config, data_dir), request, dry_run=dry_run, watch=watch, as_json=as_json)

    @app.command()
    def failover(
        cluster: ClusterKey,
        config: Config,
        data_dir: DataDir,
        force: Annotated[
            bool,
            typer.Option("--force", help="Though it is not certain that the region is lost, or data may be."),
        ] = False,
        yes: Annotated[
            bool, typer.Option("--yes", help="With --force: you have read what could be lost.")
        ] = False,
        dry_run: DryRun = False,
        watch: Watch = False,
        as_json: AsJson = False,
    ) -> None:
        """Leave a region that is lost. A second person agrees to a forced one."""
        request = MoveRequest(cluster, Move.FORCED if force else Move.FAILOVER)
        where = place(config, data_dir)
        _move(commands, where, request, dry_run=dry_run, watch=watch, as_json=as_json, yes=yes)

    @app.command()
    def failback(
        cluster: ClusterKey,
        config: Config,
        data_dir: DataDir,
        dry_run: DryRun = False,
        watch: Watch = False,
        as_json: AsJson = False,
    ) -> None:
        """Go back to a region that was lost: archive its tail, rebuild it, then switch over as planned."""
        request = MoveRequest(cluster, Move.FAILBACK)
        _move(commands, place(config, data_dir), request, dry_run=dry_run, watch=watch, as_json=as_json)


def _move(
    commands: Callable[[], RecoveryCommands],
    where: Place,
    request: MoveRequest,
    *,
    dry_run: bool,
    watch: bool,
    as_json: bool,
    yes: bool = False,
) -> None:
    with told(as_json=as_json):
        plan = commands().recovery_moves().plan(where, request)
    if dry_run:
        if as_json:
            print_json(_document(plan))
        else:
            _say(plan)
        if plan.against:
            raise typer.Exit(1)
        return
    if not as_json:
        _say(plan)
    if plan.against and request.move is not Move.FORCED:
        hint = "put it right first" if request.move is not Move.FAILOVER else "holdfast failover --force"
        said = f"{request.move.value} does not begin: {plan.against[0]}"
        fail(said, plan.instead or hint, as_json=as_json)
    if request.move is Move.FORCED and not yes:
        if as_json or not sys.stdin.isatty():
            fail("a forced failover wants --yes", "read the loss statement: --dry-run", as_json=as_json)
        typer.confirm("This may lose what is listed above. Begin it?", abort=True)
    with told(as_json=as_json):
        view = commands().recovery_moves().start(where, plan)
    say_started(commands, where, view, watch=watch, as_json=as_json)


def _say(plan: MovePlan) -> None:
    typer.echo(f"{plan.cluster}: {plan.move.value} from {plan.lost} to {plan.to}")
    for line in plan.seen:
        typer.echo(f"  {line}")
    if plan.against:
        typer.echo("what speaks against it:")
        for line in plan.against:
            typer.echo(f"  {line}")
    if plan.instead:
        typer.echo(f"instead: {plan.instead}")
    if plan.loss:
        typer.echo("what could be lost:")
        for line in plan.loss:
            typer.echo(f"  {line}")


def _document(plan: MovePlan) -> dict[str, object]:
    return {
        "cluster": plan.cluster,
        "move": plan.move.value,
        "playbook": plan.playbook,
        "lost": plan.lost,
        "to": plan.to,
        "seen": list(plan.seen),
        "against": list(plan.against),
        "instead": plan.instead,
        "loss": list(plan.loss),
        "given": dict(plan.given),
    }
