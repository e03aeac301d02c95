"""What ends an attempt, in words for people.

    HoldfastError
    └── AttemptFailed     the target did not do what the attempt needed
        └── OwnFault      the attempt never got as far as asking: nothing is known about the target

The words may reach customers: no addresses, paths or secrets of ours in them. Those of our own faults reach
the operator only.
"""

import errno
import ssl

from holdfast.kernel.errors import HoldfastError, Remedy


class AttemptFailed(HoldfastError):  # noqa: N818  it says what the attempt did
    """Ends an attempt; its message becomes the observation's `error`. Never leaves this package."""

    remedy = Remedy.TRANSIENT


class OwnFault(AttemptFailed):
    """Ends an attempt that says nothing about the target: the observation is marked as `ours`."""

    remedy = Remedy.NEEDS_OPERATOR


_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.ECONNABORTED: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.ETIMEDOUT: "connection timed out",
}
_OURS = {
    errno.EADDRNOTAVAIL: "no local port is free",
    errno.EMFILE: "no file descriptors are left",
    errno.ENFILE: "no file descriptors are left",
    errno.ENOBUFS: "the network buffers are full",
    errno.ENOMEM: "no memory is left",
}


def words_for(error: Exception) -> str:
    """A network error in a few words."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or 'unknown error').replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.errno is not None:
        return _WORDS.get(error.errno) or _OURS.get(error.errno, "connection failed")
    return "connection failed"


def failure_of(error: Exception) -> AttemptFailed:
    """A network error as what ends the attempt: the target's failure, or our own fault."""
    ours = isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno in _OURS
    return OwnFault(words_for(error)) if ours else AttemptFailed(words_for(error))
