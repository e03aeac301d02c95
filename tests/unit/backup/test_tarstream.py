import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.backup.errors import Damaged
from holdfast.backup.model import Member
from holdfast.backup.take.tarstream import TarStream, is_unlogged

SIZES = [0, 1, 511, 512, 513, 8192, 100_001]


def tar_of(files: dict[str, int]) -> bytes:
    """A tar file as PostgreSQL writes one: ustar, a folder with a slash at its end."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo("base")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        tar.addfile(folder)
        link = tarfile.TarInfo("pg_tblspc/16384")
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, "/srv/fast", 0o777
        tar.addfile(link)
        for name, size in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = size, 0o600
            tar.addfile(entry, io.BytesIO(b"x" * size))
    # Two blocks end it; Python's records of 20 blocks are not PostgreSQL's way.
    return target.getvalue().rstrip(b"\0") + bytes(512 - len(target.getvalue().rstrip(b"\0")) % 512 + 1024)


def members_of(content: bytes, piece: int, inside: str = "") -> list[Member]:
    stream = TarStream(3, inside)
    found = [
        member
        for start in range(0, len(content), piece)
        for member in stream.feed(memoryview(content)[start : start + piece])
    ]
    stream.close()
    assert stream.position == len(content)
    return found


def expected(content: bytes) -> list[tuple[str, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return [(each.name, each.offset_data, each.size) for each in tar.getmembers()]


@given(st.lists(st.sampled_from(SIZES), max_size=8), st.integers(1, 70_000))
def test_members_lie_where_tar_finds_them_however_the_stream_is_cut(sizes: list[int], piece: int) -> None:
    content = tar_of({f"base/5/{number}": size for number, size in enumerate(sizes)})
    found = members_of(content, max(piece, 1 + len(content) // 400))
    assert [(each.path, each.offset, each.size) for each in found] == expected(content)


@pytest.mark.parametrize("piece", [1, 511, 512, 513])
def test_a_header_that_is_cut_anywhere_is_read(piece: int) -> None:
    content = tar_of({"a": 700, "b": 0, "c": 512})
    assert [each.path for each in members_of(content, piece)] == ["base", "pg_tblspc/16384", "a", "b", "c"]


def test_kinds_modes_and_links_are_kept() -> None:
    folder, link, file = members_of(tar_of({"PG_VERSION": 3}), 4096)
    assert (folder.kind, folder.mode, folder.size) == ("folder", 0o700, 0)
    assert (link.kind, link.target, link.size) == ("link", "/srv/fast", 0)
    assert (file.kind, file.mode, file.archive) == ("file", 0o600, 3)


def test_a_tablespaces_files_are_named_from_the_data_directory() -> None:
    *_, file = members_of(tar_of({"PG_18_202506291/5/16385": 3}), 4096, inside="pg_tblspc/16384")
    assert file.path == "pg_tblspc/16384/PG_18_202506291/5/16385"


def test_a_file_of_more_than_8_gib_is_measured() -> None:
    entry = tarfile.TarInfo("base/5/16390")
    entry.size = 9 << 30
    stream = TarStream(0)
    (member,) = stream.feed(entry.tobuf(tarfile.GNU_FORMAT))
    assert (member.offset, member.size) == (512, 9 << 30)
    with pytest.raises(Damaged, match="in the middle of a file"):
        stream.close()


def test_a_stream_that_ends_within_a_file_or_a_header_is_damaged() -> None:
    content = tar_of({"a": 5000})
    for cut in (len(content) - 1024 - 600, 200):
        with pytest.raises(Damaged, match="in the middle"):
            members_of(content[:cut], 300)


def test_a_header_with_a_flipped_bit_is_damaged() -> None:
    content = bytearray(tar_of({"a": 10}))
    content[0] ^= 1
    with pytest.raises(Damaged, match="no header"):
        members_of(bytes(content), 4096)


def test_extensions_that_would_change_the_next_name_are_refused() -> None:
    entry = tarfile.TarInfo("a" * 120)
    content = entry.tobuf(tarfile.PAX_FORMAT)
    with pytest.raises(Damaged, match="no header"):
        members_of(content, 512)


def test_bytes_behind_the_end_are_damaged() -> None:
    content = tar_of({"a": 1})
    with pytest.raises(Damaged, match="behind its end"):
        members_of(content + content, 4096)


@pytest.mark.parametrize(
    ("path", "unlogged"),
    [
        ("base/5/16385_init", True),
        ("pg_tblspc/16384/PG_18_202506291/5/16385_init", True),
        ("base/5/INCREMENTAL.16385_init", True),
        ("base/5/16385_vm", False),
        ("base/5/16385", False),
        ("base/pgsql_init", False),
    ],
)
def test_unlogged_relations_are_known_by_their_init_fork(path: str, unlogged: bool) -> None:
    assert is_unlogged(Member(path, 0, 0, 0, 0)) is unlogged


@pytest.mark.parametrize("name", ["../evil", "base/../../evil", "/etc/evil", "./../evil"])
def test_what_would_lead_out_of_the_folder_is_no_file_of_postgresqls(name: str) -> None:
    with pytest.raises(Damaged, match="leads out"):
        members_of(tar_of({name: 3}), 4096)
