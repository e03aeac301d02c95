"""What can go wrong in availability.

AvailabilityError
├── ConditionError    an expectation that is not in the condition language
├── TimelineError     a write that would change history
└── TooMuch           a question beyond all bounds
"""

from holdfast.kernel.errors import HoldfastError


class AvailabilityError(HoldfastError):
    pass


class ConditionError(AvailabilityError):
    """The text is not in the condition language; `position` is the offset of the trouble."""

    def __init__(self, message: str, *, position: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.position = position


class TimelineError(AvailabilityError):
    """Timelines only grow: a transition at or before the newest one is refused."""


class TooMuch(AvailabilityError):  # noqa: N818  a state of affairs more than an error
    """The range, or the number of components, is beyond what one answer may cost."""
