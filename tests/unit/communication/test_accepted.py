"""The file of what was accepted: whole keys, one writer, and nothing lost on the way from one to the next."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from holdfast.adapters.notify.accepted import LONGEST, accepted_file

KEYS = [str(uuid4()) for _ in range(3)]


def test_what_was_noted_is_left_for_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "desk" / "accepted"
    with accepted_file(path) as file:
        assert file.left() == []
        for key in KEYS:
            file.add(key)
    with accepted_file(path) as file:
        assert file.left() == KEYS
        assert file.left() == []
        file.settle(KEYS)
        file.add(extra := str(uuid4()))
    with accepted_file(path) as file:
        assert file.left() == [*KEYS, extra]
    assert path.stat().st_mode & 0o777 == 0o600


def test_while_one_writes_nobody_else_does(tmp_path: Path) -> None:
    with accepted_file(tmp_path / "f"), pytest.raises(BlockingIOError), accepted_file(tmp_path / "f"):
        pass


def test_a_key_that_was_cut_short_was_never_noted(tmp_path: Path) -> None:
    with accepted_file(tmp_path / "f") as file:
        for key in KEYS:
            file.add(key)
    os.truncate(tmp_path / "f", 40)
    with accepted_file(tmp_path / "f") as file:
        assert file.left() == KEYS[:2]
        file.add(KEYS[2])
    with accepted_file(tmp_path / "f") as file:
        assert file.left() == KEYS


def test_a_long_file_is_begun_anew_when_all_is_settled(tmp_path: Path) -> None:
    keys = [str(uuid4()) for _ in range(LONGEST // 16)]
    with accepted_file(tmp_path / "f") as file:
        for key in keys:
            file.add(key)
        file.settle(keys[1:])
        assert (tmp_path / "f").stat().st_size == LONGEST
        file.settle(keys[:1])
        assert (tmp_path / "f").stat().st_size == 0
        file.add(KEYS[0])
    with accepted_file(tmp_path / "f") as file:
        assert file.left() == KEYS[:1]


def test_another_files_keys_are_taken_over(tmp_path: Path) -> None:
    with accepted_file(tmp_path / "posted") as posted:
        posted.add(KEYS[1])
    with accepted_file(tmp_path / "f") as file:
        file.add(KEYS[0])
        with accepted_file(tmp_path / "posted") as posted:
            file.take_over(posted.left())
            posted.clear()
    with accepted_file(tmp_path / "f") as file, accepted_file(tmp_path / "posted") as posted:
        assert (file.left(), posted.left()) == (KEYS[:2], [])


def test_a_full_disk_costs_a_note_and_nothing_else(tmp_path: Path) -> None:
    with accepted_file(tmp_path / "f") as file:
        descriptor = os.open("/dev/full", os.O_RDWR)
        try:
            file._descriptor, own = descriptor, file._descriptor
            file.add(KEYS[0])
        finally:
            file._descriptor = own
            os.close(descriptor)
        file.add(KEYS[1])
    with accepted_file(tmp_path / "f") as file:
        assert file.left() == KEYS[1:2]
