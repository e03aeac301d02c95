"""A store in a folder: made once and on purpose, and away when its disk is, whoever asks."""

import os
from pathlib import Path

import pytest

from holdfast.adapters.objectstore.folder import FolderRegion
from holdfast.adapters.objectstore.regions import open_region
from holdfast.adapters.objectstore.store_folder import MARKER
from holdfast.backup.errors import RegionAway
from holdfast.backup.ports import Region


def _opened(root: Path, begun: Path) -> FolderRegion:
    """As another process opens it."""
    region = open_region("eu", root.as_uri(), {}, begun=begun)
    assert isinstance(region, FolderRegion)
    return region


def _is_away(region: Region) -> None:
    for ask in (
        lambda: region.put("b", b"x"),
        lambda: region.replace("b", b"x"),
        lambda: region.get("a"),
        lambda: list(region.listed("")),
        lambda: region.delete(["a"]),
    ):
        with pytest.raises(RegionAway):
            ask()


def test_a_new_store_is_empty_and_what_is_put_first_makes_it(tmp_path: Path) -> None:
    root, begun = tmp_path / "store", tmp_path / "data" / "stores" / "eu"
    region = _opened(root, begun)
    assert list(region.listed("")) == []
    with pytest.raises(FileNotFoundError):
        region.get("a")
    assert region.is_new
    assert not root.exists()

    region.put("a", b"x")

    assert not region.is_new
    assert (root / MARKER).is_file()
    assert root.stat().st_mode & 0o077 == 0
    assert [each.key for each in _opened(root, begun).listed("")] == ["a"]


def test_an_unplugged_disk_is_away_also_for_whoever_comes_later(tmp_path: Path) -> None:
    root, begun = tmp_path / "mnt", tmp_path / "begun"
    root.mkdir()
    region = _opened(root, begun)
    region.put("a", b"x")
    root.rename(tmp_path / "unplugged")
    _is_away(region)
    _is_away(_opened(root, begun))
    assert not root.exists()

    # What is left of a disk is the empty folder that it was mounted on.
    root.mkdir()
    _is_away(region)
    _is_away(_opened(root, begun))
    assert list(root.iterdir()) == []

    root.rmdir()
    (tmp_path / "unplugged").rename(root)
    assert _opened(root, begun).get("a") == b"x"
    region.put("b", b"x")


def test_a_store_in_which_everything_expired_is_there(tmp_path: Path) -> None:
    root, begun = tmp_path / "store", tmp_path / "begun"
    region = _opened(root, begun)
    region.put("db/a", b"x")
    region.delete(["db/a"])
    assert list(_opened(root, begun).listed("")) == []
    _opened(root, begun).put("db/b", b"x")


def test_copies_are_a_store_also_without_the_marker(tmp_path: Path) -> None:
    """As when a person copied the folder to another disk, without the hidden files."""
    root, begun = tmp_path / "store", tmp_path / "begun"
    _opened(root, begun).put("a", b"x")
    (root / MARKER).unlink()
    region = _opened(root, begun)
    assert region.get("a") == b"x"
    region.put("b", b"x")
    assert (root / MARKER).is_file()


def test_it_begins_anew_where_a_person_says_so(tmp_path: Path) -> None:
    root, begun = tmp_path / "store", tmp_path / "begun"
    region = _opened(root, begun)
    region.put("a", b"x")
    root.rename(tmp_path / "broken")
    root.mkdir()
    with pytest.raises(RegionAway) as away:
        list(_opened(root, begun).listed(""))
    assert f"remove {begun}" in away.value.hint
    begun.unlink()
    region.put("a", b"y")
    assert (root / MARKER).is_file()
    assert begun.is_file()
    assert _opened(tmp_path / "elsewhere", begun).is_new, "another folder is another store"


def test_a_folder_is_made_only_where_one_is_to_hold_it(tmp_path: Path) -> None:
    region = _opened(tmp_path / "no-disk" / "store", tmp_path / "begun")
    _is_away(region)
    assert not (tmp_path / "no-disk").exists()
    (tmp_path / "no-disk").mkdir()
    region.put("a", b"x")


def test_what_cannot_be_remembered_stops_no_backup(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    region = _opened(tmp_path / "store", tmp_path / "file" / "begun")
    region.put("a", b"x")
    assert region.get("a") == b"x"


def test_a_store_whose_making_was_cut_off_is_made_by_the_next(tmp_path: Path) -> None:
    root, begun = tmp_path / "store", tmp_path / "begun"
    root.mkdir()
    (root / MARKER).touch()
    _opened(root, begun).put("a", b"x")
    assert begun.read_bytes() == os.fsencode(root)
