"""Segments of a log as zstandard frames (RFC 8878) with size and checksum, as `zstd -d` opens them."""

import zstandard

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
        try:
            claimed = zstandard.frame_content_size(content)
            if 0 <= claimed <= most:
                return self._decompressor.decompress(content, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise LogDamaged(f"a segment cannot be unpacked: {error}") from error
        raise LogDamaged("a segment does not tell a size that can be")
