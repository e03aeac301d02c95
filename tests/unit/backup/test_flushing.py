"""What was written is on its way to the disk at once, and proven to be there at the end."""

import ctypes
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.backup.restore import flushing
from holdfast.backup.restore.flushing import WORTH_BEGINNING, begin_flush, synced


class Kernel:
    """Notes what it is asked to begin with."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []

    def sync_file_range(
        self, descriptor: int, at: ctypes.c_int64, size: ctypes.c_int64, flags: ctypes.c_uint
    ) -> int:
        del descriptor
        self.asked.append((at.value, size.value, flags.value))
        return 0


def test_large_runs_begin_at_their_own_place_beyond_4_gb(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    monkeypatch.setattr(flushing, "_LIBC", kernel)
    begin_flush(3, 5 << 32, WORTH_BEGINNING)
    begin_flush(3, 0, WORTH_BEGINNING - 1)
    assert kernel.asked == [(5 << 32, WORTH_BEGINNING, 2)]


def test_a_machine_without_the_call_restores_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_LIBC", SimpleNamespace())
    begin_flush(3, 0, WORTH_BEGINNING)


def test_what_was_begun_is_what_was_written(tmp_path: Path) -> None:
    content = os.urandom(2 * WORTH_BEGINNING)
    place = tmp_path / "file"
    with place.open("wb") as file:
        file.write(content)
        file.flush()
        begin_flush(file.fileno(), 0, len(content))
    synced([tmp_path])
    assert place.read_bytes() == content


def test_what_could_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> int:
        ctypes.set_errno(28)
        return -1

    monkeypatch.setattr(flushing, "_LIBC", SimpleNamespace(syncfs=full))
    with pytest.raises(OSError, match="No space left"):
        synced([tmp_path])
