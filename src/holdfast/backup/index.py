"""Which file lies where in a backup's tar streams: so a restore fetches chunks in parallel, or one table."""

from collections.abc import Iterable, Sequence

import msgspec

from holdfast.backup.errors import Damaged
from holdfast.backup.model import Member

LONGEST_INDEX = 1 << 30
_Row = tuple[str, int, int, int, int, str, str]


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
        row = (each.path, each.archive, each.offset, each.size, each.mode, each.kind, each.target)
        if len(self._content) > 1:
            self._content += b","
        self._content += msgspec.json.encode(row)

    def encoded(self) -> bytes:
        """As `encoded_index` writes it."""
        return bytes(self._content) + b"]"


def decoded_index(content: bytes) -> Sequence[Member]:
    """The members that `encoded_index` wrote. Raises Damaged, also for a path that leads out."""
    if len(content) > LONGEST_INDEX:
        raise Damaged(f"an index of {len(content)} bytes is none")
    try:
        rows = msgspec.json.decode(content, type=list[_Row])
    except msgspec.MsgspecError as error:
        raise Damaged(f"the index: {error}") from error
    members = [Member(*row) for row in rows]
    for member in members:
        parts = member.path.split("/")
        if member.path.startswith("/") or ".." in parts or "\0" in member.path:
            raise Damaged(f"the index: {member.path!r} leads out of the folder")
        if member.offset < 0 or member.size < 0 or member.kind not in ("file", "folder", "link"):
            raise Damaged(f"the index: {member.path!r} lies nowhere")
    return members


def chunks_of(member: Member, chunk_bytes: int) -> range:
    """The numbers of the chunks that hold a member's content."""
    if member.size == 0:
        return range(0)
    return range(member.offset // chunk_bytes, (member.offset + member.size - 1) // chunk_bytes + 1)
