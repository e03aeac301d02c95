"""A copy on disk: exchanged whole, what is the same untouched, what is not ours kept, and nothing half."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.interfaces.staticsite.copying import File
from holdfast.interfaces.staticsite.folder import NOTE, CopyFolder, FolderRefused, exchanged


def file(path: str, content: str) -> File:
    return File(path, "text/html", content.encode())


ONE = [file("a/index.html", "a"), file("b/c.css", "c"), file("index.html", "i")]
TWO = [file("a/index.html", "A"), file("b/c.css", "c"), file("new/x.html", "x"), file("index.html", "i")]


def held(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in root.rglob("*")
        if path.is_file() and path.name != NOTE
    }


@pytest.fixture(params=["exchanged", "mounted"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> CopyFolder:
    """One that is exchanged as a whole, and one that cannot be, as a mounted volume."""
    exchange = exchanged if request.param == "exchanged" else lambda *_: False
    return CopyFolder(tmp_path / "site", exchange)


def test_a_copy_holds_exactly_its_files(folder: CopyFolder, tmp_path: Path) -> None:
    root = tmp_path / "site"
    first = folder.replace(ONE)
    assert held(root) == {each.path: each.content.decode() for each in ONE}
    assert (first.files, first.changed, first.removed, first.size) == (3, 3, 0, 3)

    second = folder.replace(TWO)
    assert held(root) == {each.path: each.content.decode() for each in TWO}
    assert (second.changed, second.removed) == (2, 0)

    third = folder.replace(ONE)
    assert held(root) == {each.path: each.content.decode() for each in ONE}
    assert (third.changed, third.removed) == (1, 1)
    assert not (root / "new").exists()
    assert [each.name for each in tmp_path.iterdir() if "fresh" in each.name] == []


def test_a_place_that_cannot_be_written_is_found_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(NotADirectoryError):
        CopyFolder(tmp_path / "taken" / "deep" / "site").try_out()
    with pytest.raises(FolderRefused):
        CopyFolder(tmp_path / "taken").try_out()
    CopyFolder(tmp_path / "new" / "site").try_out()
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def test_what_did_not_change_is_not_touched(folder: CopyFolder, tmp_path: Path) -> None:
    folder.replace(ONE)
    same = tmp_path / "site/b/c.css"
    os.utime(same, (1, 1))
    before = same.stat()
    folder.replace(TWO)

    after = same.stat()
    assert (after.st_ino, after.st_mtime) == (before.st_ino, before.st_mtime)


def test_what_is_not_ours_is_kept(folder: CopyFolder, tmp_path: Path) -> None:
    root = tmp_path / "site"
    folder.replace(ONE)
    (root / ".well-known").mkdir()
    (root / ".well-known/acme").write_text("challenge")
    (root / "CNAME").write_text("status.example")
    (root / "link").symlink_to(".well-known")
    folder.replace(TWO)

    assert (root / ".well-known/acme").read_text() == "challenge"
    assert (root / "CNAME").read_text() == "status.example"
    assert (root / "link").readlink() == Path(".well-known")


def test_a_folder_with_anything_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("thesis")
    with pytest.raises(FolderRefused, match="not empty"):
        CopyFolder(tmp_path).replace(ONE)
    with pytest.raises(FolderRefused, match="no folder"):
        CopyFolder(tmp_path / "precious.txt").replace(ONE)
    assert held(tmp_path) == {"precious.txt": "thesis"}


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir(mode=0o750)
    CopyFolder(tmp_path / "site").replace(ONE)
    assert (tmp_path / "site").stat().st_mode & 0o777 == 0o750


def test_dying_on_the_way_leaves_the_old_copy(folder: CopyFolder, tmp_path: Path) -> None:
    folder.replace(ONE)

    def dying() -> Iterator[File]:
        yield TWO[0]
        raise OSError(28, "no space left on device")

    with pytest.raises(OSError, match="no space"):
        folder.replace(dying())
    assert held(tmp_path / "site") == {each.path: each.content.decode() for each in ONE}

    (tmp_path / ".site.fresh").mkdir(exist_ok=True)
    (tmp_path / ".site.fresh/left").write_text("by one that was killed")
    folder.replace(TWO)
    assert held(tmp_path / "site") == {each.path: each.content.decode() for each in TWO}


def test_a_reader_holds_one_copy_or_the_other(tmp_path: Path) -> None:
    """Whoever has the folder open keeps all of the old one; whoever opens it anew gets all of the new one."""
    folder = CopyFolder(tmp_path / "site")
    folder.replace(ONE)
    handle = os.open(tmp_path / "site", os.O_RDONLY | os.O_DIRECTORY)
    try:
        old = os.fstat(handle).st_ino
        folder.replace(TWO)
        assert (tmp_path / "site").stat().st_ino != old
    finally:
        os.close(handle)


def test_two_do_not_write_one_folder_at_once(tmp_path: Path) -> None:
    with (tmp_path / ".site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(FolderRefused, match="somebody else"):
            CopyFolder(tmp_path / "site").replace(ONE)
    CopyFolder(tmp_path / "site").replace(ONE)


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "site").symlink_to("real")
    CopyFolder(tmp_path / "site").replace(ONE)
    CopyFolder(tmp_path / "site").replace(TWO)

    assert (tmp_path / "site").is_symlink()
    assert held(tmp_path / "real") == {each.path: each.content.decode() for each in TWO}
