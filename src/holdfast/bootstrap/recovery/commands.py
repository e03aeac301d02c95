"""Commands that concern recovery; each is imported when it is asked for, with its drivers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.interfaces.cli.recovery.drill import DrillCommands
    from holdfast.interfaces.cli.recovery.evidence import EvidenceCommands
    from holdfast.interfaces.cli.recovery.failover import FailoverCommands
    from holdfast.interfaces.cli.recovery.playbooks import PlaybookCommands
    from holdfast.interfaces.cli.recovery.runs import RunCommands


class RecoveryCommands:
    """The part of the commands that concerns recovery: a method for each of its protocols."""

    def recovery_drills(self) -> "DrillCommands":
        from holdfast.bootstrap.recovery.drill_commands import LocalDrills  # noqa: PLC0415

        return LocalDrills()

    def recovery_evidence(self) -> "EvidenceCommands":
        from holdfast.bootstrap.recovery.evidence import LocalEvidence  # noqa: PLC0415

        return LocalEvidence()

    def recovery_moves(self) -> "FailoverCommands":
        from holdfast.bootstrap.recovery.failover_commands import LocalMoves  # noqa: PLC0415

        return LocalMoves()

    def recovery_playbooks(self) -> "PlaybookCommands":
        from holdfast.bootstrap.recovery.reading import LocalPlaybooks  # noqa: PLC0415

        return LocalPlaybooks()

    def recovery_runs(self) -> "RunCommands":
        from holdfast.bootstrap.recovery.runs import LocalRuns  # noqa: PLC0415

        return LocalRuns()
