"""What can go wrong when other tools' set-ups are read.

InterchangeError
├── SourceError      the source cannot be read as what it should be
└── NothingError     the source was read, and holds nothing that an estate could be made of
"""

from collections.abc import Sequence

from holdfast.interchange.report import Remark
from holdfast.kernel.errors import HoldfastError, Remedy


class InterchangeError(HoldfastError):
    remedy = Remedy.NEEDS_OPERATOR


class SourceError(InterchangeError):
    """The source cannot be read: not the format, too large, broken, or away."""


class NothingError(InterchangeError):
    """Nothing of the source could be taken over; `remarks` say why, one for each part."""

    def __init__(self, message: str, *, remarks: Sequence[Remark] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.remarks = tuple(remarks)
