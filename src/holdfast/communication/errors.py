"""What can go wrong with telling readers something.

CommunicationError
├── NotPossible      the step makes no sense now: resolving what is resolved, merging into itself
│   └── BadAddress   no mail address that mail can be sent to
├── ChangedMeanwhile somebody else changed it since it was read; nothing was stored       read it again
└── NotThere         no incident, maintenance, template or subscription has that name
"""

from holdfast.kernel.errors import HoldfastError, Remedy


class CommunicationError(HoldfastError):
    pass


class NotPossible(CommunicationError):  # noqa: N818  states of affairs more than errors
    pass


class BadAddress(NotPossible):
    pass


class ChangedMeanwhile(CommunicationError):  # noqa: N818
    remedy = Remedy.TRANSIENT


class NotThere(CommunicationError):  # noqa: N818
    pass
