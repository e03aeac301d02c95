"""What can go wrong with who somebody is.

IdentityError
├── Refused        wrong name, password, code, session or token; says no more than that
├── LockedOut      too many failures; says when it may be tried again
├── NotAllowed     known, but without the right
├── Unsuitable     a name that is taken, a password that is too weak, the last administrator
├── Unavailable    too many logins at once, or a provider that is away
└── NotThere       no such account, token or session
"""

from datetime import datetime

from holdfast.kernel.errors import HoldfastError, Remedy


class IdentityError(HoldfastError):
    pass


class Refused(IdentityError):  # noqa: N818  states of affairs more than errors
    pass


class LockedOut(IdentityError):  # noqa: N818
    remedy = Remedy.TRANSIENT

    def __init__(self, until: datetime) -> None:
        super().__init__(f"too many attempts; try again after {until:%H:%M:%S} UTC")
        self.until = until


class NotAllowed(IdentityError):  # noqa: N818
    pass


class NotThere(IdentityError):  # noqa: N818
    pass


class Unsuitable(IdentityError):  # noqa: N818
    pass


class Unavailable(IdentityError):  # noqa: N818
    remedy = Remedy.TRANSIENT
