"""Short ids: twelve letters and digits."""

import hashlib

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH = 12


def id_from(*names: str) -> str:
    """The id that follows from these names: always the same, and of others another."""
    number = int.from_bytes(hashlib.sha256("\0".join(names).encode()).digest(), "big")
    letters = []
    for _ in range(_LENGTH):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)
