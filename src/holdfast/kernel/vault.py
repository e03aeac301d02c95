"""Keeping secrets that must be read again: addresses of subscribers, second factors."""

from typing import Protocol


class Vault(Protocol):
    """Seals texts so that only a holder of its key reads them, and finds equal ones without reading any."""

    def seal(self, text: str, purpose: str) -> bytes:
        """Encrypted and authenticated, another result each time. It opens for the same `purpose` only."""
        ...

    def open(self, sealed: bytes, purpose: str) -> str:
        """What was sealed for that purpose; raises HoldfastError for anything else."""
        ...

    def fingerprint(self, text: str, purpose: str) -> bytes:
        """32 bytes, the same for the same text and purpose, that tell nothing to who has no key."""
        ...
