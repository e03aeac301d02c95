"""Tiles: the tree in immutable pieces of 256 hashes. Source: C2SP tlog-tiles.

Level 0 holds leaf hashes; each hash of a higher level is the root over a full tile of the level below.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from holdfast.ledger.errors import ProofRefused

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_BYTES
QUARTERS = 4
QUARTER_WIDTH = TILE_WIDTH // QUARTERS
"""Tiles are kept in quarters, each with the roots over all four: a proof needs no more of a tile than one."""
MOST_LEVELS = 8
"""Enough for every size below 2**64."""
_PREFIXES = [length.to_bytes(2, "big") for length in range(1 << 16)]
_PATH = re.compile(r"(0|[1-9][0-9]?|entries)((?:/x[0-9]{3})*/[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class FullTile:
    """A tile that no longer changes; the roots over its quarters, one behind the other; and the root over all
    of it, a hash of the level above.
    """

    level: int
    index: int
    hashes: bytes
    quarter_roots: bytes
    root: bytes


class Quarter(NamedTuple):
    """64 hashes of a full tile, and the roots over all quarters of the tile."""

    hashes: bytes
    quarter_roots: bytes


@dataclass(frozen=True, slots=True)
class TileName:
    """A tile as a path names it. `level` None is that of the entries; `width` 256 is a full one."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Below `tile/`: `0/x001/x234/067`, `entries/000.p/12`."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        number = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level is None else str(self.level)
        return f"{level}/{number}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")

    @classmethod
    def parsed(cls, path: str) -> "TileName":
        """Raises ProofRefused unless it is the one way to write that name."""
        found = _PATH.fullmatch(path) if len(path) <= 80 else None
        if found:
            level, number, width = found.groups()
            index = int(number.replace("/x", "").replace("/", ""))
            name = cls(None if level == "entries" else int(level), index, int(width or TILE_WIDTH))
            if name.path == path and (name.level or 0) < MOST_LEVELS:
                return name
        raise ProofRefused(f"{path[:80]!r} names no tile")


def widths(size: int) -> list[tuple[int, int]]:
    """Per level, from 0: the full tiles of a tree of so many leaves, and the width of the partial one."""
    found = []
    while size:
        found.append(divmod(size, TILE_WIDTH))
        size //= TILE_WIDTH
    return found


def names_of(size: int) -> list[TileName]:
    """Every tile of hashes of a tree of so many leaves, as its checkpoint's readers may ask for them."""
    return [
        name
        for level, (full, partial) in enumerate(widths(size))
        for name in (
            *(TileName(level, index) for index in range(full)),
            *([TileName(level, full, partial)] if partial else []),
        )
    ]


def bundle(entries: list[bytes]) -> bytes:
    """Entries as C2SP entry bundles hold them. Each is below 64 KiB."""
    prefixes = map(_PREFIXES.__getitem__, map(len, entries))
    return b"".join(chain.from_iterable(zip(prefixes, entries, strict=True)))


def unbundled(content: bytes) -> list[bytes]:
    """The entries of a bundle. Raises ProofRefused when it is cut off."""
    entries, at = [], 0
    while at < len(content):
        end = at + 2 + int.from_bytes(content[at : at + 2], "big")
        if at + 2 > len(content) or end > len(content):
            raise ProofRefused("the entry bundle is cut off")
        entries.append(content[at + 2 : end])
        at = end
    return entries


def hashes_out_of(
    tile: Callable[[int], bytes], start: int, end: int, by_entries: bytes | None
) -> bytes | None:
    """The hashes of the leaves [start, end) out of tiles; where there is none, those of `by_entries`.

    `tile` tells the hashes of the tile with that number, none where it is not there; `by_entries` has all
    that are asked for. None when neither has them.
    """
    found, at = list[bytes](), start
    while at < end:
        index, inside = divmod(at, TILE_WIDTH)
        upto = min((index + 1) * TILE_WIDTH, end)
        if hashes := tile(index):
            found.append(hashes[inside * HASH_BYTES : (inside + upto - at) * HASH_BYTES])
        elif by_entries is not None:
            found.append(by_entries[(at - start) * HASH_BYTES : (upto - start) * HASH_BYTES])
        else:
            return None
        at = upto
    return b"".join(found)
