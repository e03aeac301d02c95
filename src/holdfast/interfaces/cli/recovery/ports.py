"""What the commands of recovery need behind them: a method for each subject (bootstrap/recovery/commands.py).

A subject's words are named here and not loaded: `holdfast --help` has no use for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from holdfast.interfaces.cli.recovery.drill import DrillCommands
    from holdfast.interfaces.cli.recovery.evidence import EvidenceCommands
    from holdfast.interfaces.cli.recovery.failover import FailoverCommands
    from holdfast.interfaces.cli.recovery.playbooks import PlaybookCommands
    from holdfast.interfaces.cli.recovery.runs import RunCommands


class RecoveryCommands(Protocol):
    """Every method raises HoldfastError for what a user can put right."""

    def recovery_drills(self) -> DrillCommands:
        """Drills: starting them, and how they stand."""
        ...

    def recovery_evidence(self) -> EvidenceCommands:
        """What drills and recoveries came to."""
        ...

    def recovery_moves(self) -> FailoverCommands:
        """Moving a cluster to its other region, and back."""
        ...

    def recovery_playbooks(self) -> PlaybookCommands:
        """Reading playbooks. Needs files only: no database, no network."""
        ...

    def recovery_runs(self) -> RunCommands:
        """Starting, watching and steering runs."""
        ...
