"""One root for every error that Holdfast raises on purpose.

    HoldfastError
    ├── EstateError           the estate file is wrong                    (holdfast.estate.errors)
    ├── AvailabilityError     a check, an interval or a figure            (holdfast.availability.errors)
    └── DatabaseError         the database is away, taken or unsuitable   (holdfast.adapters.postgres.errors)

A user error is shown as its message and hint, never as a traceback.
"""

from enum import Enum


class Remedy(Enum):
    """What helps: waiting, nothing, or a person."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    NEEDS_OPERATOR = "needs-operator"


class HoldfastError(Exception):
    """Says what is wrong in one line (`str(error)`) and what to do next (`hint`)."""

    remedy: Remedy = Remedy.PERMANENT

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
