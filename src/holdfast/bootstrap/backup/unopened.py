"""A region whose store cannot even be opened: its secret is gone, its address wrong, its folder not allowed.

It stands among the others all the same, and tells whoever asks it why. So one region's mistake stops no
backup into the others, and no restore from them.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NoReturn

from holdfast.backup.errors import RegionRefused
from holdfast.backup.ports import Listed
from holdfast.kernel.errors import HoldfastError


class UnopenedRegion:
    """A `Region` that refuses everything with the error that kept it closed."""

    def __init__(self, name: str, why: HoldfastError) -> None:
        self.name = name
        self._why = why

    def put(self, key: str, content: bytes | memoryview) -> None:
        self._refuse(key, content)

    def replace(self, key: str, content: bytes | memoryview) -> None:
        self._refuse(key, content)

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        self._refuse(key, start, end)

    def listed(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self._refuse(prefix, after)

    def delete(self, keys: Sequence[str]) -> None:
        self._refuse(keys)

    def lock(self, key: str, until: datetime) -> bool:
        self._refuse(key, until)

    def locked_until(self, key: str) -> datetime | None:
        self._refuse(key)

    def _refuse(self, *_: object) -> NoReturn:
        raise RegionRefused(str(self._why), hint=self._why.hint) from self._why
