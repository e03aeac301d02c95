"""Segments of a log as zstandard frames (RFC 8878) with size and checksum, as `zstd -d` opens them.

A segment may be several frames, one behind the other.
"""

import zstandard

from holdfast.ledger.append.pieces import MARK, behind_mark
from holdfast.ledger.errors import LogDamaged


class ZstdSegments:
    """`Packs`. Used by one thread at a time, as a process's event loop does."""

    def __init__(self, level: int = 1) -> None:
        self._compressor = zstandard.ZstdCompressor(
            level=level, write_content_size=True, write_checksum=True, write_dict_id=False
        )
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, content: bytes) -> bytes:
        return self._compressor.compress(content)

    def unpack(self, content: bytes, most: int) -> bytes:
        """Of one frame, or of several behind each other; their marks are looked at and passed over."""
        parts = list[bytes]()
        while content or not parts:
            end = None
            if content.startswith(MARK):
                _, begin, end = behind_mark(content, 0)
                end, content = end - begin, content[begin:]
            part, rest = self._frame(content, most)
            if end not in {None, len(content) - len(rest)}:
                raise LogDamaged("a segment's mark tells another length")
            parts.append(part)
            most -= len(part)
            content = rest
        return b"".join(parts) if len(parts) > 1 else parts[0]

    def _frame(self, content: bytes, most: int) -> tuple[bytes, bytes]:
        """What the first frame holds, and what is behind it."""
        try:
            claimed = zstandard.frame_content_size(content)
            if not 0 <= claimed <= most or not content.startswith(zstandard.FRAME_HEADER):
                raise LogDamaged("a segment does not tell a size that can be")
            frame = self._decompressor.decompressobj()
            part = frame.decompress(content)
        except zstandard.ZstdError as error:
            raise LogDamaged(f"a segment cannot be unpacked: {error}") from error
        if len(part) != claimed or not frame.eof:
            raise LogDamaged("a segment is cut off")
        return part, frame.unused_data
