"""Which file lies where in a backup's tar streams: so a restore fetches chunks in parallel, or one table."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec

from holdfast.backup.errors import Damaged
from holdfast.backup.model import Member

LONGEST_INDEX = 1 << 30
_AS_BYTES = "-as-bytes"
"""Behind the kind of a member whose path and target are written in hexadecimal."""
_Row = tuple[str, int, int, int, int, str, str]
_ROWS = msgspec.json.Decoder(list[_Row])


def encoded_index(members: Iterable[Member]) -> bytes:
    """The members as JSON rows, in the order of the streams."""
    index = GrowingIndex()
    for each in members:
        index.add(each)
    return index.encoded()


class GrowingIndex:
    """An index that is written as its members become known: a million files take 100 MB, and no more."""

    def __init__(self) -> None:
        self._content = bytearray(b"[")

    def add(self, each: Member) -> None:
        if len(self._content) > 1:
            self._content += b","
        try:
            self._content += msgspec.json.encode(_row(each))
        except UnicodeEncodeError:
            # A file's name may be any bytes, and JSON holds text only.
            path, target = os.fsencode(each.path).hex(), os.fsencode(each.target).hex()
            row = _row(replace(each, path=path, target=target, kind=each.kind + _AS_BYTES))
            self._content += msgspec.json.encode(row)

    def encoded(self) -> bytes:
        """As `encoded_index` writes it."""
        return bytes(self._content) + b"]"


def decoded_index(content: bytes) -> Sequence[Member]:
    """The members that `encoded_index` wrote. Raises Damaged, also for a path that leads out."""
    if len(content) > LONGEST_INDEX:
        raise Damaged(f"an index of {len(content)} bytes is none")
    try:
        rows = _ROWS.decode(content)
    except msgspec.MsgspecError as error:
        raise Damaged(f"the index: {error}") from error
    members = [_member(row) for row in rows]
    for member in members:
        if leads_out(member.path):
            raise Damaged(f"the index: {member.path!r} leads out of the folder")
        if member.offset < 0 or member.size < 0 or member.kind not in ("file", "folder", "link"):
            raise Damaged(f"the index: {member.path!r} lies nowhere")
    return members


def _row(each: Member) -> _Row:
    return each.path, each.archive, each.offset, each.size, each.mode, each.kind, each.target


def _member(row: _Row) -> Member:
    member = Member(*row)
    if not member.kind.endswith(_AS_BYTES):
        return member
    try:
        path, target = (os.fsdecode(bytes.fromhex(each)) for each in (member.path, member.target))
    except ValueError as error:
        raise Damaged(f"the index: {member.path!r} is no name") from error
    return replace(member, path=path, target=target, kind=member.kind.removesuffix(_AS_BYTES))


def leads_out(path: str) -> bool:
    """Whether a path, taken from a folder, would name something outside of it."""
    return path.startswith("/") or ".." in path.split("/") or "\0" in path


def chunks_of(member: Member, chunk_bytes: int) -> range:
    """The numbers of the chunks that hold a member's content."""
    if member.size == 0:
        return range(0)
    return range(member.offset // chunk_bytes, (member.offset + member.size - 1) // chunk_bytes + 1)
