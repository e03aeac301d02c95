"""Letters and requests as they are queued: sealed, so that the database never holds whom they are for."""

from dataclasses import dataclass

import msgspec

from holdfast.communication.delivering import Request
from holdfast.communication.model import Letter
from holdfast.kernel.vault import Vault

_PURPOSE = "parcel"


@dataclass(frozen=True, slots=True)
class _Parcel:
    """Exactly one of the two."""

    letter: Letter | None = None
    request: Request | None = None


_PARCEL = msgspec.json.Decoder(_Parcel)


def sealed_parcel(vault: Vault, content: Letter | Request) -> bytes:
    parcel = _Parcel(letter=content) if isinstance(content, Letter) else _Parcel(request=content)
    return vault.seal(msgspec.json.encode(parcel).decode(), _PURPOSE)


def opened_parcel(vault: Vault, sealed: bytes) -> Letter | Request:
    """Raises HoldfastError for what was sealed with another key, or for something else."""
    parcel = _PARCEL.decode(vault.open(sealed, _PURPOSE))
    content = parcel.letter or parcel.request
    if content is None:
        raise ValueError("an empty parcel")
    return content
