"""Chunks that several threads place at once: whoever has the rest of a header waits for its beginning."""

import threading
import time
from array import array
from pathlib import Path

from holdfast.backup.model import Member, StoredObject
from holdfast.backup.restore.increments import BLOCK, MAGIC, header_bytes
from holdfast.backup.restore.placing import Assembled, Chunk, Part, Placer

COUNT = 4000
HEADER = header_bytes(COUNT)


def incremental() -> bytes:
    """A file of so many blocks, all of them changed."""
    told = array("I", [MAGIC, COUNT, COUNT, *range(COUNT)]).tobytes()
    return told.ljust(HEADER, b"\0") + b"".join(bytes([n % 251]) * BLOCK for n in range(COUNT))


def chunk(file: Assembled, number: int, start: int) -> Chunk:
    stored = StoredObject(f"chunk-{number}", 0, 0, "")
    return Chunk(0, 0, number, stored, (Part(file, 0),), start)


def test_a_header_in_three_chunks_is_put_together_whoever_comes_first(tmp_path: Path) -> None:
    content = incremental()
    sources = [
        Member("base/5/INCREMENTAL.16384", 0, 0, len(content), 0o600),
        Member("base/5/16384", 0, 0, COUNT * BLOCK, 0o600),
    ]
    file = Assembled("base/5/16384", sources)
    (tmp_path / "base/5").mkdir(parents=True)
    placer = Placer(tmp_path)
    cuts = [0, 5000, 11_000, len(content)]
    threads = []
    for number in (2, 1, 0):
        piece = memoryview(content)[cuts[number] : cuts[number + 1]]
        place = placer.place
        thread = threading.Thread(target=place, args=(chunk(file, number, cuts[number]), piece), daemon=True)
        thread.start()
        threads.append(thread)
        time.sleep(0.05)  # so that those which must wait do wait
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
    assert (tmp_path / "base/5/16384").read_bytes() == content[HEADER:]
