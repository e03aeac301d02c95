"""What can go wrong with backups and restores.

HoldfastError
└── BackupError
    ├── SourceError        the protected database: away, refusing, or not what was backed up before
    │   ├── SourceAway         transient
    │   ├── SourceRefused      rights, settings: an operator's
    │   │   └── IncrementRefused   it takes no increment of that backup: answered by a full one
    │   └── WalGone            the server no longer has WAL that is needed: answered by a new backup
    ├── RegionError        a region's store
    │   ├── RegionAway         does not answer, or not now: transient
    │   ├── RegionRefused      rights, address, options, full: an operator's
    │   └── AlreadyThere       a key is never written twice
    ├── SpoolError         WAL that waits on this machine's disk
    │   ├── SpoolTaken         another process works there, or it holds another server's WAL: an operator's
    │   ├── SpoolFull          no room for more, now
    │   └── Diverged           the server's WAL is not the continuation of what was kept
    ├── Damaged            stored bytes are not what was stored (digest, key, format)
    ├── KeyMissing         encrypted under a key that the estate does not name
    ├── NotRecoverable     no chain of backup and WAL reaches the moment that was asked for
    ├── NotFit             the place or the programs of a restore do not fit (space, version, folder in use)
    └── RestoreFailed      the restored server did not come up, or did not answer
"""

from holdfast.kernel.errors import HoldfastError, Remedy


class BackupError(HoldfastError):
    """A backup, a copy or a restore did not happen."""


class SourceError(BackupError):
    """The protected database did not do it."""


class SourceAway(SourceError):  # noqa: N818  a state of affairs more than an error
    """It does not answer, or broke off."""

    remedy = Remedy.TRANSIENT


class SourceRefused(SourceError):  # noqa: N818
    """It answers, and refuses."""

    remedy = Remedy.NEEDS_OPERATOR


class IncrementRefused(SourceRefused):
    """It cannot tell what changed since that backup."""


class WalGone(SourceError):  # noqa: N818
    """It has thrown away WAL that is needed."""


class RegionError(BackupError):
    """A region's store did not do it."""


class RegionAway(RegionError):  # noqa: N818
    """It does not answer, or not now."""

    remedy = Remedy.TRANSIENT


class RegionRefused(RegionError):  # noqa: N818
    """It answers, and refuses."""

    remedy = Remedy.NEEDS_OPERATOR


class AlreadyThere(RegionError):  # noqa: N818
    """There is an object of that key. It is left as it was."""


class SpoolError(BackupError):
    """WAL could not be kept on this machine's disk."""


class SpoolTaken(SpoolError):  # noqa: N818
    """The folder cannot be used."""

    remedy = Remedy.NEEDS_OPERATOR


class SpoolFull(SpoolError):  # noqa: N818
    """There is no room for more, now. Nothing of what was given is kept."""

    remedy = Remedy.TRANSIENT


class Diverged(SpoolError):  # noqa: N818
    """The server sends other bytes than those that were kept of the same place."""

    remedy = Remedy.NEEDS_OPERATOR

    def __init__(self, message: str, *, at: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.at = at


class Damaged(BackupError):  # noqa: N818
    """What was read is not what was stored."""

    remedy = Remedy.NEEDS_OPERATOR


class KeyMissing(BackupError):  # noqa: N818
    """It was encrypted under a key that is not at hand."""

    remedy = Remedy.NEEDS_OPERATOR


class NotRecoverable(BackupError):  # noqa: N818
    """Nothing stored reaches the moment that was asked for."""

    remedy = Remedy.NEEDS_OPERATOR


class NotFit(BackupError):  # noqa: N818
    """The place or the programs of a restore do not fit."""

    remedy = Remedy.NEEDS_OPERATOR


class RestoreFailed(BackupError):  # noqa: N818
    """The restored server did not come up, or did not answer."""

    remedy = Remedy.NEEDS_OPERATOR
