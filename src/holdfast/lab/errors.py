"""What can go wrong in the lab.

LabError
├── UnknownPartError       no part and no group of parts has that name
├── NotRunningError        what does not run cannot be broken
├── PortTakenError         somebody else listens where a part should
├── PartFailedError        a part did not start, or did not end
├── WrongDamageError       that cannot be broken in that way
├── UnsupportedError       this machine, or this lab as it was started, cannot do that
├── LabBusyError           another command is at work on the same lab
└── SourcesMissingError    the sample service is not on this machine
"""

from holdfast.kernel.errors import HoldfastError, Remedy


class LabError(HoldfastError):
    remedy = Remedy.NEEDS_OPERATOR


class UnknownPartError(LabError):
    remedy = Remedy.PERMANENT


class NotRunningError(LabError):
    pass


class WrongDamageError(LabError):
    remedy = Remedy.PERMANENT


class UnsupportedError(LabError):
    pass


class PortTakenError(LabError):
    """`pid` is None when the owner belongs to somebody whose processes we may not read."""

    def __init__(self, message: str, *, port: int, pid: int | None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.port = port
        self.pid = pid


class PartFailedError(LabError):
    pass


class LabBusyError(LabError):
    remedy = Remedy.TRANSIENT


class SourcesMissingError(LabError):
    pass
