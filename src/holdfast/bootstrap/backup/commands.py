"""Commands that concern databases; each is imported when it is asked for, with its drivers."""

from typing import TYPE_CHECKING

from holdfast.bootstrap.at_work import run, with_database

if TYPE_CHECKING:
    from holdfast.interfaces.cli.backup import BackupCommands
    from holdfast.interfaces.cli.copies import CopyCommands
    from holdfast.interfaces.cli.recoverable import RecoverableCommands
    from holdfast.interfaces.cli.restoring import RestoreCommands
    from holdfast.interfaces.cli.searching import SearchCommands
    from holdfast.interfaces.cli.verifying import VerifyCommands
    from holdfast.interfaces.cli.wal import WalCommands


class DatabaseCommands:
    """The part of the commands that concerns databases."""

    def backups(self) -> "BackupCommands":
        from holdfast.bootstrap.backup.taking import LocalBackups  # noqa: PLC0415

        return LocalBackups()

    def copies(self) -> "CopyCommands":
        from holdfast.bootstrap.backup.copies import LocalCopies  # noqa: PLC0415

        return LocalCopies()

    def recoverable(self) -> "RecoverableCommands":
        from holdfast.bootstrap.backup.recoverable import LocalRecoverable  # noqa: PLC0415

        return LocalRecoverable(with_database, run)

    def verifications(self) -> "VerifyCommands":
        from holdfast.bootstrap.backup.verifying import LocalVerifications  # noqa: PLC0415

        return LocalVerifications()

    def restores(self) -> "RestoreCommands":
        from holdfast.bootstrap.backup.restoring import LocalRestores  # noqa: PLC0415

        return LocalRestores()

    def searching(self) -> "SearchCommands":
        from holdfast.bootstrap.backup.searching import LocalSearches  # noqa: PLC0415

        return LocalSearches()

    def wal(self) -> "WalCommands":
        from holdfast.bootstrap.backup.wal import LocalWal  # noqa: PLC0415

        return LocalWal()
