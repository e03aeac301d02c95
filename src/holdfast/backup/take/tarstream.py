"""Which file lies where in a tar stream, found while it passes, without touching the files' own bytes.

Reads what PostgreSQL writes: ustar headers in blocks of 512 bytes, names of up to 99 characters, sizes in
octal or, from 8 GiB on, in base 256. Source: PostgreSQL `src/port/tar.c`; POSIX.1-2017 pax, "ustar
Interchange Format".
"""

import re
from collections.abc import Iterator, Sequence

from holdfast.backup.errors import Damaged
from holdfast.backup.index import leads_out
from holdfast.backup.model import Member

BLOCK = 512
_ZEROS = bytes(BLOCK)
_KINDS = {0x30: "file", 0: "file", 0x35: "folder", 0x32: "link"}
_INIT_FORK = re.compile(r"(?:^|/)(?:INCREMENTAL\.)?\d+_init$")


class TarStream:
    """The members of one archive. Feed it the stream's bytes, in any pieces, then `close` it.

    `inside` is the folder that the archive's names are relative to, empty for the data directory. Raises
    Damaged for what is no tar stream of PostgreSQL's, or ends in the middle.
    """

    def __init__(self, archive: int, inside: str = "") -> None:
        self.position = 0
        """How many bytes were fed."""
        self._archive = archive
        self._prefix = f"{inside}/" if inside else ""
        self._next_header = 0
        self._part = b""
        self._ended = False

    def feed(self, piece: bytes | memoryview) -> Sequence[Member]:
        """The members whose header ends in this piece."""
        end = self.position + len(piece)
        found = () if self._next_header >= end else tuple(self._members(memoryview(piece), end))
        self.position = end
        return found

    def close(self) -> None:
        """Nothing comes any more. Raises Damaged when something should have."""
        if self._part or self._next_header > self.position:
            raise Damaged(f"the tar stream ends at byte {self.position}, in the middle of a file")

    def _members(self, piece: memoryview, end: int) -> Iterator[Member]:
        begin = self.position
        while self._next_header < end:
            # Only a header's own bytes are copied. One may be cut in two by the end of a piece.
            at = max(self._next_header + len(self._part) - begin, 0)
            self._part += bytes(piece[at : at + BLOCK - len(self._part)])
            if len(self._part) < BLOCK:
                return
            header, self._part = self._part, b""
            content = self._next_header + BLOCK
            if header == _ZEROS:
                self._ended = True
                self._next_header = content
                continue
            if self._ended:
                raise Damaged(f"the tar stream goes on behind its end, at byte {content - BLOCK}")
            member = self._member(header, content)
            self._next_header = content + (member.size + BLOCK - 1) // BLOCK * BLOCK
            yield member

    def _member(self, header: bytes, content: int) -> Member:
        written, counted = _number(header[148:156]), sum(header) - sum(header[148:156]) + 8 * 0x20
        kind = _KINDS.get(header[156])
        if written != counted or kind is None:
            raise Damaged(f"the tar stream has no header at byte {content - BLOCK}, where one must be")
        name = _text(header[:100]).removeprefix("./").rstrip("/")
        if leads_out(name):
            raise Damaged(f"the server sent {name!r}, which leads out of its own folder")
        return Member(
            self._prefix + name,
            self._archive,
            content,
            _number(header[124:136]) if kind == "file" else 0,
            _number(header[100:108]),
            kind,
            _text(header[157:257]) if kind == "link" else "",
        )


def is_unlogged(member: Member) -> bool:
    """Whether it is the empty beginning of an unlogged relation: all that a backup holds of that one."""
    return _INIT_FORK.search(member.path) is not None


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError as error:
        raise Damaged(f"the tar stream has {field!r} where a number must be") from error


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="surrogateescape")
