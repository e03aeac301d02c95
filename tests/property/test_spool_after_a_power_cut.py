"""After a power cut any part of what was not flushed may be on the disk; what was flushed is."""

import tempfile
from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from holdfast.backup.lsn import Segment, Timeline
from holdfast.backup.wal.spool_files import MARKS_BYTES, SegmentFile, made

SIZE = 64 * 1024
SECTOR = 512
SEGMENT = Segment(Timeline(1), 7, SIZE)
STEPS = st.lists(st.integers(1, 9000) | st.none(), max_size=14)


def content(at: int, count: int) -> bytes:
    """No two stretches alike, and zeros among them."""
    return bytes((n * 7 + n // 251) % 256 if n % 900 < 700 else 0 for n in range(at, at + count))


@given(STEPS, st.randoms(use_true_random=False), st.booleans())
def test_what_was_flushed_is_there_and_nothing_that_never_came(
    steps: list[int | None], chance: Random, used_before: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spare = folder / "spare-1"
        made(spare, SIZE)
        if used_before:
            spare.write_bytes(b"\xaa" * (SIZE + MARKS_BYTES))
        file = SegmentFile.claimed(SEGMENT, folder, spare)
        on_disk = file.path.read_bytes()
        for step in steps:
            if step is None:
                file.was_flushed(file.written)
                on_disk = file.path.read_bytes()
            else:
                file.write(content(file.written, min(step, SIZE - file.written)))
        flushed, written, now = file.flushed, file.written, file.path.read_bytes()
        file.close()

        sectors = range(0, SIZE + MARKS_BYTES, SECTOR)
        torn = b"".join((now if chance.random() < 0.5 else on_disk)[at : at + SECTOR] for at in sectors)
        for state in (torn, on_disk, now):
            file.path.write_bytes(state)
            found = SegmentFile.found(SEGMENT, file.path)
            try:
                assert flushed <= found.written <= written
                assert file.path.read_bytes()[: found.written] == content(0, found.written)
                if state is now:
                    assert found.written == written, "a kill loses nothing"
                found.write(content(found.written, min(100, SIZE - found.written)))
                kept = found.written
            finally:
                found.close()
            again = SegmentFile.found(SEGMENT, file.path)
            again.close()
            assert again.written == kept


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000))
def test_what_was_cut_back_is_forgotten(flushed: int, more: int, cut: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder / "spare-1", SIZE)
        file = SegmentFile.claimed(SEGMENT, folder, folder / "spare-1")
        file.write(content(0, flushed))
        file.was_flushed(flushed)
        file.write(content(flushed, more))
        length = flushed + min(cut, more)
        file.cut_back(length)
        file.close()
        found = SegmentFile.found(SEGMENT, file.path)
        found.close()
        assert found.written == length
        assert file.path.read_bytes()[:length] == content(0, length)
