"""Where copies go. Adapters provide it."""

from typing import Protocol


class Bucket(Protocol):
    """Objects by path. Raises HoldfastError for whatever goes wrong."""

    async def put(self, path: str, content: bytes, *, media_type: str, cache: str) -> None:
        """Store an object, whole or not at all, in the place of what was there."""
        ...

    async def get(self, path: str) -> bytes | None:
        """An object's content; None when there is none."""
        ...

    async def delete(self, path: str) -> None:
        """Let go of an object, which may be gone already."""
        ...
