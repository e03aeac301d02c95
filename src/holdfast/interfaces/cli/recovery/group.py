"""The commands of recovery, and the subjects among them."""

from collections.abc import Callable

import typer

from holdfast.interfaces.cli.recovery.corruption import add_recover
from holdfast.interfaces.cli.recovery.drill import add_drills
from holdfast.interfaces.cli.recovery.evidence import add_evidence
from holdfast.interfaces.cli.recovery.failover import add_failover
from holdfast.interfaces.cli.recovery.playbooks import add_playbooks
from holdfast.interfaces.cli.recovery.ports import RecoveryCommands
from holdfast.interfaces.cli.recovery.runs import add_runs


def add_recovery(app: typer.Typer, commands: Callable[[], RecoveryCommands]) -> None:
    """One line for each module of this package: add_XXX(app, commands). `app` is the whole command line."""
    add_runs(app, commands)
    add_playbooks(app, commands)
    add_failover(app, commands)
    add_recover(app, commands)
    add_drills(app, commands)
    add_evidence(app, commands)
