"""What is in a folder already, beside what PostgreSQL's manifest says should be: what may stay, what goes."""

import os
import re
import shutil
import struct
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import google_crc32c
import msgspec

from holdfast.backup.errors import Damaged
from holdfast.backup.restore.journal import JOURNAL, MARKER
from holdfast.backup.restore.placing import Assembled

READ_BYTES = 1024 * 1024
READERS = 4
OURS = (MARKER, JOURNAL)

# Only these may stay. Others, such as pg_control and pg_filenode.map, end with a CRC-32C of themselves: that
# of the whole file is then the same number whatever is in it, and the manifest's proves nothing.
_OF_A_RELATION = re.compile(r"^(?:base|global|pg_tblspc)/(?:.*/)?\d+(?:_[a-z]+)?(?:\.\d+)?$")

Checksums = Mapping[str, tuple[int, str]]
"""By a file's path its size and its CRC-32C, as PostgreSQL's manifest writes it."""


def checksums_of(manifest: bytes) -> Checksums:
    """What a `backup_manifest` says of its files. Those of another algorithm are left out. Raises Damaged."""
    try:
        told: Any = msgspec.json.decode(manifest)
        files = told["Files"]
        return {
            _path(each): (int(each["Size"]), str(each["Checksum"]))
            for each in files
            if each.get("Checksum-Algorithm") == "CRC32C"
        }
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise Damaged(f"the backup's manifest is none: {error!r}") from error


def is_as_told(path: Path, told: tuple[int, str] | None) -> bool:
    """Whether there is a plain file of that size and checksum."""
    if told is None or path.is_symlink():
        return False
    size, checksum = told
    try:
        with path.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            value = 0
            while part := file.read(READ_BYTES):
                value = google_crc32c.extend(value, part)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    return struct.pack("<I", value).hex() == checksum.lower()


def as_they_should_be(folder: Path, files: Sequence[Assembled], told: Checksums) -> set[str]:
    """The paths of those files that one backup has whole, and that are there already."""
    whole = [each.path for each in files if each.is_whole and _OF_A_RELATION.search(each.path)]
    with ThreadPoolExecutor(READERS, thread_name_prefix="compare") as pool:
        same = pool.map(lambda path: is_as_told(folder / path, told.get(path)), whole)
        return {path for path, good in zip(whole, same, strict=True) if good}


def remove_others(
    folder: Path, files: Collection[str], folders: Collection[str], links: Mapping[str, Path]
) -> None:
    """Remove what is in `folder` and is neither of these files nor folders, nor a link that leads as told.

    A link to somewhere else is removed and never followed: what is there may be a running server's.
    """
    for above, names, plain in os.walk(folder):
        inside = Path(above).relative_to(folder)
        for name in plain:
            path = inside / name
            if str(path) not in files and str(path) not in OURS:
                (folder / path).unlink()
        for name in list(names):
            path = inside / name
            place = folder / path
            if place.is_symlink():
                if links.get(str(path)) != place.readlink():
                    place.unlink()
            elif str(path) not in folders:
                shutil.rmtree(place)
                names.remove(name)


def remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _path(entry: Mapping[str, Any]) -> str:
    if "Path" in entry:
        return str(entry["Path"])
    return bytes.fromhex(entry["Encoded-Path"]).decode(errors="surrogateescape")
