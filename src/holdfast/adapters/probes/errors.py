"""What ends an attempt, in words for people.

    HoldfastError
    └── AttemptFailed    the target did not do what the attempt needed

The words may reach customers: no addresses, paths or secrets of ours in them.
"""

import errno
import ssl

from holdfast.kernel.errors import HoldfastError, Remedy


class AttemptFailed(HoldfastError):  # noqa: N818  it says what the attempt did
    """Ends an attempt; its message becomes the observation's `error`. Never leaves this package."""

    remedy = Remedy.TRANSIENT


_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.ECONNABORTED: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.ETIMEDOUT: "connection timed out",
    errno.EADDRNOTAVAIL: "internal: no local port is free",
    errno.EMFILE: "internal: no file descriptors are left",
    errno.ENFILE: "internal: no file descriptors are left",
    errno.ENOBUFS: "internal: the network buffers are full",
}


def words_for(error: Exception) -> str:
    """A network error in a few words."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or 'unknown error').replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.errno in _WORDS:
        return _WORDS[error.errno]
    return "connection failed"
