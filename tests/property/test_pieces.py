"""Segments in pieces: what goes in comes out, in any part; and a bit that is another one is found."""

import subprocess
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.ledger.append import pieces
from holdfast.ledger.append.pieces import MARK_BYTES, cut_out, fitted, in_pieces, leaf_at, opened, segment_of
from holdfast.ledger.errors import LogDamaged, ProofRefused
from holdfast.ledger.log.tiles import bundle, unbundled

PACKS = ZstdSegments()
MOST = 1 << 20
LEAVES = st.lists(st.binary(max_size=40), min_size=1, max_size=20)


@pytest.fixture(autouse=True, scope="module")
def _small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_LEAVES", 4)
        patch.setattr(pieces, "FEW_LEAVES", 3)
        yield


@settings(deadline=None)
@given(LEAVES, st.data())
def test_any_part_comes_out_as_it_went_in(leaves: list[bytes], data: st.DataObject) -> None:
    parts = in_pieces(leaves, PACKS)
    segment, count = segment_of(parts), len(leaves)
    assert unbundled(PACKS.unpack(segment, MOST)) == leaves
    first = data.draw(st.integers(0, count))
    end = data.draw(st.integers(first, count))
    assert cut_out(segment, count, first, end, PACKS, MOST) == leaves[first:end]
    plain = PACKS.pack(bundle(leaves))  # a segment that somebody made without marks
    assert cut_out(plain, count, first, end, PACKS, MOST) == leaves[first:end]
    assert [leaf_at(parts, place, PACKS) for place in range(count)] == leaves

    gone = sorted(data.draw(st.sets(st.integers(0, count - 1))))
    loose = data.draw(st.sets(st.integers(0, len(parts) - 1)))
    left = fitted(
        [opened(part, PACKS) if at in loose else part for at, part in enumerate(parts)],
        [(place, place + 1) for place in gone],
        PACKS,
    )
    kept = [leaf for place, leaf in enumerate(leaves) if place not in gone]
    if kept:
        assert cut_out(segment_of(left), len(kept), 0, len(kept), PACKS, MOST) == kept
    else:
        assert left == []
    beginnings = list(accumulate((part.leaves for part in parts), initial=0))
    for at, part in enumerate(parts):
        touched = any(place in range(beginnings[at], beginnings[at + 1]) for place in gone)
        if not touched and at not in loose and part.leaves >= 3:
            assert any(each is part for each in left), "nothing is packed anew that keeps all of its leaves"


@settings(deadline=None, max_examples=40)
@given(LEAVES)
def test_each_flipped_bit_is_found(leaves: list[bytes]) -> None:
    """By who unpacks all of it; and who takes a part never gets another one than was meant."""
    count, segment = len(leaves), segment_of(in_pieces(leaves, PACKS))
    for bit in range(len(segment) * 8):
        flipped = bytearray(segment)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(LogDamaged):
            PACKS.unpack(bytes(flipped), MOST)
        try:
            part = cut_out(bytes(flipped), count, count // 2, count // 2 + 1, PACKS, MOST)
        except (LogDamaged, ProofRefused):
            continue
        assert part == leaves[count // 2 : count // 2 + 1]


@settings(deadline=None, max_examples=40)
@given(LEAVES, st.data())
def test_what_is_cut_off_or_does_not_belong_is_found(leaves: list[bytes], data: st.DataObject) -> None:
    count, segment = len(leaves), segment_of(in_pieces(leaves, PACKS))
    short = segment[: data.draw(st.integers(0, len(segment) - 1))]
    for broken in (short, segment + segment[:MARK_BYTES], segment + b"x"):
        with pytest.raises(LogDamaged):
            cut_out(broken, count, 0, count, PACKS, MOST)
    with pytest.raises(LogDamaged):
        cut_out(segment + segment, count, 0, count, PACKS, MOST)


def test_zstd_itself_opens_a_segment(tmp_path: Path) -> None:
    leaves = [b"leaf %d" % number for number in range(30)]
    kept = tmp_path / "segment.zst"
    kept.write_bytes(segment_of(in_pieces(leaves, PACKS)))
    told = subprocess.run(["zstd", "-dc", str(kept)], capture_output=True, check=True)
    assert unbundled(told.stdout) == leaves


def test_a_segment_may_not_be_larger_than_is_said() -> None:
    segment = segment_of(in_pieces([b"x" * 1000] * 9, PACKS))
    assert PACKS.unpack(segment, 9 * 1002)
    with pytest.raises(LogDamaged):
        PACKS.unpack(segment, 9 * 1002 - 1)
