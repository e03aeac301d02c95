"""Reads rows of catalogs out of their files, without a server: also dead ones, and ones not yet committed.

Source: PostgreSQL `src/include/storage/bufpage.h`, `src/include/access/htup_details.h`,
`src/backend/utils/cache/relmapper.c`.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

MAP = "pg_filenode.map"
NAME_BYTES = 64
_MAP_MAGIC = 0x592717
_MOST_MAPPED = 64
_PAGE = 8192
_NORMAL = 1
_SMALLEST = 24


def mapped(content: bytes) -> dict[int, int]:
    """Which file each of the catalogs has whose number stands in no catalog; oid to number, from the map."""
    if len(content) < 8:
        return {}
    magic, count = struct.unpack_from("<ii", content)
    if magic != _MAP_MAGIC or not 0 <= count <= _MOST_MAPPED or len(content) < 8 + 8 * count:
        return {}
    return dict(struct.unpack_from("<II", content, 8 + 8 * at) for at in range(count))


def rows_in(paths: list[Path]) -> Iterator[bytes]:
    """The rows of these files, each from its first column on; nothing of what is no page."""
    for path in paths:
        with path.open("rb") as file:
            while len(page := file.read(_PAGE)) == _PAGE:
                yield from _rows(page)


def _rows(page: bytes) -> Iterator[bytes]:
    (lower,) = struct.unpack_from("<H", page, 12)
    for at in range(24, min(lower, _PAGE - 4), 4):
        (pointer,) = struct.unpack_from("<I", page, at)
        start, flags, length = pointer & 0x7FFF, pointer >> 15 & 3, pointer >> 17
        if flags == _NORMAL and start + length <= _PAGE and length >= _SMALLEST:
            yield page[start + page[start + 22] : start + length]


def name_at(row: bytes, at: int) -> str:
    return row[at : at + NAME_BYTES].rstrip(b"\0").decode(errors="replace")
