"""Leaves, packed in pieces by whoever prepared them: what is new of a request is packed already when it is
appended, and a record that came before costs the packing of its own piece alone.

A segment is its pieces, one behind the other, so that who wants few leaves unpacks few. Each is a whole frame
of the packer's behind a mark: a skippable frame (RFC 8878, section 3.1.2), which zstd passes over, with the
number of leaves, the length of the frame, and the CRC-32 of both numbers and the frame.
"""

import struct
from bisect import bisect_left
from collections.abc import Sequence
from zlib import crc32

from holdfast.ledger.errors import LogDamaged
from holdfast.ledger.log.tiles import bundle, unbundled
from holdfast.ledger.model import Piece
from holdfast.ledger.ports import Packs

PIECE_LEAVES = 1024
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


def without(pieces: Sequence[Piece], places: Sequence[int], packs: Packs) -> list[Piece]:
    """The leaves but those at these places, which are in order."""
    left, first = list[Piece](), 0
    for piece in pieces:
        end = first + piece.leaves
        gone = {place - first for place in places[bisect_left(places, first) : bisect_left(places, end)]}
        if not gone:
            left.append(piece)
        elif len(gone) < piece.leaves:
            kept = [leaf for at, leaf in enumerate(opened(piece, packs)) if at not in gone]
            left.append(Piece(len(kept), packs.pack(bundle(kept))))
        first = end
    return left


def leaf_at(pieces: Sequence[Piece], place: int, packs: Packs) -> bytes:
    """One of the leaves. Raises LookupError beyond them."""
    for piece in pieces:
        if place < piece.leaves:
            return opened(piece, packs)[place]
        place -= piece.leaves
    raise LookupError(place)


def opened(piece: Piece, packs: Packs) -> list[bytes]:
    return unbundled(packs.unpack(piece.packed, MOST_PIECE_BYTES))


def _mark(piece: Piece) -> bytes:
    told = _TOLD.pack(piece.leaves, len(piece.packed))
    return MARK + told + _CHECK.pack(crc32(piece.packed, crc32(told)))
