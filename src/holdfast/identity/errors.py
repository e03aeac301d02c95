"""What can go wrong with who somebody is.

IdentityError
├── Refused        wrong name, password, code, session or token; says no more than that
├── LockedOut      too many failures; says when it may be tried again
├── NotAllowed     known, but without the right
└── NotThere       no such account, token or session
"""

from holdfast.kernel.errors import HoldfastError


class IdentityError(HoldfastError):
    pass


class Refused(IdentityError):  # noqa: N818  states of affairs more than errors
    pass


class LockedOut(IdentityError):  # noqa: N818
    pass


class NotAllowed(IdentityError):  # noqa: N818
    pass


class NotThere(IdentityError):  # noqa: N818
    pass
