"""Leaves, packed in pieces by whoever prepared them: what is new of a request is packed already when it is
appended. What may have come before is in pieces of its own where that can be told (intake/reading.py), and
nothing is packed anew without it. Anywhere else it costs the packing of its own piece alone.

A segment is its pieces, one behind the other, so that who wants few leaves unpacks few. Each is a whole frame
of the packer's behind a mark: a skippable frame (RFC 8878, section 3.1.2), which zstd passes over, with the
number of leaves, the length of the frame, and the CRC-32 of both numbers and the frame.
"""

import struct
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain
from zlib import crc32

from holdfast.ledger.errors import LogDamaged
from holdfast.ledger.log.tiles import bundle, unbundled
from holdfast.ledger.model import Piece
from holdfast.ledger.ports import Packs

PIECE_LEAVES = 1024
FEW_LEAVES = 256
"""A piece with fewer is packed together with its neighbours: alone it would hardly shrink."""
MARK = struct.pack("<II", 0x184D2A5A, 12)
"""How each mark begins: the skippable frame's magic number, and the length of what it holds."""
MARK_BYTES = len(MARK) + 12
_TOLD = struct.Struct("<II")
_CHECK = struct.Struct("<I")
MOST_PIECE_BYTES = PIECE_LEAVES * (64 * 1024 + 2)
"""Unpacked: no entry of a bundle is longer than 64 KiB."""


def in_pieces(leaves: Sequence[bytes], packs: Packs) -> tuple[Piece, ...]:
    return tuple(
        Piece(len(part), packs.pack(bundle(list(part))))
        for at in range(0, len(leaves), PIECE_LEAVES)
        for part in (leaves[at : at + PIECE_LEAVES],)
    )


def segment_of(pieces: Sequence[Piece]) -> bytes:
    """As it is kept."""
    return b"".join([part for piece in pieces for part in (_mark(piece), piece.packed)])


def behind_mark(segment: bytes, at: int, *, whole: bool = True) -> tuple[int, int, int]:
    """(leaves, begin, end) of the frame behind the mark that stands there. Raises LogDamaged for none.

    Not `whole`: the frame is passed over, and not looked at.
    """
    begin = at + MARK_BYTES
    told, check = segment[at + len(MARK) : begin - _CHECK.size], segment[begin - _CHECK.size : begin]
    if len(check) == _CHECK.size and segment.startswith(MARK, at):
        leaves, length = _TOLD.unpack(told)
        end = begin + length
        frame = segment[begin:end] if whole else b""
        if end <= len(segment) and (not whole or _CHECK.pack(crc32(frame, crc32(told))) == check):
            return leaves, begin, end
    raise LogDamaged("a piece of a segment is not what its mark tells")


def cut_out(segment: bytes, leaves: int, first: int, end: int, packs: Packs, most: int) -> list[bytes]:
    """The leaves [first, end) of a segment that holds so many. Raises LogDamaged when it does not.

    `most` bounds the bytes of a segment without marks: it can only be unpacked as a whole.
    """
    if not segment.startswith(MARK):
        whole = unbundled(packs.unpack(segment, most))
        if len(whole) != leaves:
            raise LogDamaged(f"a segment has {len(whole):,} of {leaves:,} leaves")
        return whole[first:end]
    found, leaf, at = list[bytes](), 0, 0
    while at < len(segment):
        count, begin, behind = behind_mark(segment, at, whole=False)
        if leaf < end and first < leaf + count:
            behind_mark(segment, at)
            part = unbundled(packs.unpack(segment[begin:behind], MOST_PIECE_BYTES))
            if len(part) != count:
                raise LogDamaged(f"a piece of a segment has {len(part):,} of {count:,} leaves")
            found += part[max(first - leaf, 0) : end - leaf]
        leaf, at = leaf + count, behind
    if leaf != leaves:
        raise LogDamaged(f"a segment has {leaf:,} of {leaves:,} leaves")
    return found


Part = Piece | Sequence[bytes]
"""Leaves that are packed already, or that are not."""


def fitted(parts: Sequence[Part], gone: Iterable[tuple[int, int]], packs: Packs) -> list[Piece]:
    """The leaves but those at the places [begin, end) of `gone`, which are in order and do not overlap.

    A piece that keeps all of its leaves stays as it is, and one that keeps none is not looked at; only what
    small ones and opened ones leave is packed, with its neighbours.
    """
    left, small, first, ranges = list[Piece](), list[Part](), 0, deque(gone)
    for part in parts:
        end = first + (part.leaves if isinstance(part, Piece) else len(part))
        kept = list[tuple[int, int]]()
        while first < end:
            begin, behind = ranges[0] if ranges else (end, end)
            if first < begin:
                kept.append((first, min(begin, end)))
            if behind <= end and ranges:
                ranges.popleft()
            first = min(behind, end)
        count = part.leaves if isinstance(part, Piece) else len(part)
        whole = kept == [(end - count, end)]
        if whole and isinstance(part, Piece) and part.leaves >= FEW_LEAVES:
            left += [*_packed(small, packs), part]
            small = []
        elif whole:
            small.append(part)
        elif kept:
            leaves = opened(part, packs) if isinstance(part, Piece) else part
            small += [leaves[at - end + count : upto - end + count] for at, upto in kept]
    return [*left, *_packed(small, packs)]


def _packed(parts: Sequence[Part], packs: Packs) -> Sequence[Piece]:
    if len(parts) == 1 and isinstance(parts[0], Piece):
        return [parts[0]]
    leaves = [opened(each, packs) if isinstance(each, Piece) else each for each in parts]
    return in_pieces(list(chain.from_iterable(leaves)), packs)


def leaf_at(parts: Sequence[Part], place: int, packs: Packs) -> bytes:
    """One of the leaves. Raises LookupError beyond them."""
    for part in parts:
        count = part.leaves if isinstance(part, Piece) else len(part)
        if place < count:
            return (opened(part, packs) if isinstance(part, Piece) else part)[place]
        place -= count
    raise LookupError(place)


def opened(piece: Piece, packs: Packs) -> list[bytes]:
    return unbundled(packs.unpack(piece.packed, MOST_PIECE_BYTES))


def _mark(piece: Piece) -> bytes:
    told = _TOLD.pack(piece.leaves, len(piece.packed))
    return MARK + told + _CHECK.pack(crc32(piece.packed, crc32(told)))
