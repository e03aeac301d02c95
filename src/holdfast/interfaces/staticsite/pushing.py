"""Brings one copy up to date: only what changed, in an order in which every reader finds what is linked to.

What the copy holds is noted in it, so that whoever pushes next, here or in another process, knows. The note
is written last: one that is behind costs a file that is written twice, and loses none.
"""

import asyncio
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from holdfast.interfaces.staticsite.copying import File
from holdfast.interfaces.staticsite.ports import Bucket

NOTE = ".holdfast-copy.json"
AT_ONCE = 8
REFRESH = timedelta(minutes=5)
"""A page of which nothing changed but the time that it tells is written again after this."""
GRACE = timedelta(days=1)
"""How long stylesheets and scripts outlive their last page: readers may still have that open."""

_RECENT = timedelta(minutes=10)
_MADE = re.compile(rb"<p class=\"wide when\" data-copy>.*?</p>", re.DOTALL)
_TIME = re.compile(rb"<time datetime=\"([^\"]+)\">.*?</time>", re.DOTALL)
_AS_OF = re.compile(rb'"(?:as_of|updated_at)":\s*"[^"]*"')


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file ready to be pushed: compressed, with what tells whether it says the same as another."""

    path: str
    media_type: str
    packed: bytes
    says: str

    @property
    def content(self) -> bytes:
        return zlib.decompress(self.packed)

    @property
    def is_asset(self) -> bool:
        return self.path.startswith("static/")


@dataclass(frozen=True, slots=True)
class Pushed:
    """What one push came to."""

    written: int
    removed: int


class _Held(msgspec.Struct):
    """One file of a copy: what it says, and when it was written, in seconds since 1970."""

    says: str
    at: float


class _Note(msgspec.Struct):
    """What a copy holds, and since when it holds something that no page needs any more."""

    files: dict[str, _Held] = {}
    unused: dict[str, float] = {}
    format: int = 1


_NOTE = msgspec.json.Decoder(_Note)


def prepared(file: File, at: datetime) -> Prepared:
    """The file, with a fingerprint of what it says: when it was made is no part of that."""
    return Prepared(file.path, file.media_type, zlib.compress(file.content, 3), _says(file, at))


def _says(file: File, at: datetime) -> str:
    content = file.content
    if file.media_type.startswith("text/html"):
        content = _TIME.sub(lambda told: b"" if _is_recent(told[1], at) else told[0], _MADE.sub(b"", content))
    elif file.media_type.startswith("application/json"):
        content = _AS_OF.sub(b"", content)
    return hashlib.sha256(content).hexdigest()


def _is_recent(told: bytes, at: datetime) -> bool:
    try:
        return abs(at - datetime.fromisoformat(told.decode())) < _RECENT
    except (ValueError, TypeError):
        return False


def cache_of(file: Prepared) -> str:
    """Names of assets change with their content; all else is asked for again."""
    return "public, max-age=31536000, immutable" if file.is_asset else "public, max-age=30, must-revalidate"


async def push(bucket: Bucket, files: Mapping[str, Prepared], now: datetime, *, whole: bool) -> Pushed:
    """Make the copy say what `files` say, in their order. With `whole` what is not among them goes."""
    note = _note(await bucket.get(NOTE))
    stamp = now.timestamp()
    due = [each for each in files.values() if _is_due(note.files.get(each.path), each, stamp)]
    for group in _groups(due):
        await _each(bucket, group, note, stamp)
    gone = _unneeded(note, files, stamp) if whole else []
    for path in gone:
        await bucket.delete(path)
        note.files.pop(path, None)
        note.unused.pop(path, None)
    await bucket.put(NOTE, msgspec.json.encode(note), media_type="application/json", cache="no-store")
    return Pushed(len(due), len(gone))


def _note(content: bytes | None) -> _Note:
    """What is noted; nothing where there is no note, or none that this version understands."""
    try:
        return _NOTE.decode(content) if content else _Note()
    except msgspec.MsgspecError:
        return _Note()


def _is_due(held: _Held | None, file: Prepared, stamp: float) -> bool:
    if held is None or held.says != file.says:
        return True
    return file.media_type.startswith("text/html") and abs(stamp - held.at) >= REFRESH.total_seconds()


def _groups(files: Sequence[Prepared]) -> Iterable[list[Prepared]]:
    """What goes together: all that pages need, then the pages of one depth after the other."""
    depths: dict[tuple[int, int], list[Prepared]] = {}
    for each in files:
        if each.is_asset:
            place = (0, 0)
        elif not each.media_type.startswith("text/html"):
            place = (1, 0)
        else:
            place = (2, -each.path.count("/"))
        depths.setdefault(place, []).append(each)
    return [group for _, group in sorted(depths.items())]


async def _each(bucket: Bucket, files: Sequence[Prepared], note: _Note, stamp: float) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(file: Prepared) -> None:
        async with places:
            await bucket.put(file.path, file.content, media_type=file.media_type, cache=cache_of(file))
        note.files[file.path] = _Held(file.says, stamp)
        note.unused.pop(file.path, None)

    try:
        async with asyncio.TaskGroup() as group:
            for each in files:
                group.create_task(one(each))
    except ExceptionGroup as group_of:
        raise group_of.exceptions[0] from None


def _unneeded(note: _Note, files: Mapping[str, Prepared], stamp: float) -> list[str]:
    """What is to go now. Assets wait for GRACE after their last use."""
    gone = []
    for path in [each for each in note.files if each not in files]:
        since = note.unused.setdefault(path, stamp)
        if not path.startswith("static/") or stamp - since >= GRACE.total_seconds():
            gone.append(path)
    return gone
