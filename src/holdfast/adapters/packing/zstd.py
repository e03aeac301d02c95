"""A packer: a zstandard frame (RFC 8878) with its size and checksum, as `zstd -d` opens it; then sealed."""

import threading
from collections.abc import Mapping

import zstandard

from holdfast.adapters.packing.sealed import MAGIC, Seal
from holdfast.backup.errors import Damaged, KeyMissing

LONGEST_RAW = 1 << 30
"""Bytes. Nothing that is packed is larger, so nothing unpacks to more."""


_AT_ONCE = 1 << 20
_RLE_BLOCK = 1


class _Threads(threading.local):
    """A compressor and a decompressor for each thread: neither may be used by two at once."""

    def __init__(self, level: int) -> None:
        self.compressor = zstandard.ZstdCompressor(
            level=level, write_content_size=True, write_checksum=True, write_dict_id=False
        )
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=LONGEST_RAW)


class ZstdPacker:
    """A `Packer`. `keys` are 32 bytes each by their names; `key` names the one that seals what is new."""

    def __init__(self, level: int = 1, keys: Mapping[str, bytes] | None = None, key: str = "") -> None:
        self._threads = _Threads(level)
        self._seals = {name: Seal(name, each) for name, each in (keys or {}).items()}
        if key and key not in self._seals:
            raise KeyMissing(f"there is no key `{key}`", hint="name it in backup.encryption.keys")
        self._key = key

    @property
    def sealed_with(self) -> str:
        return self._key

    def pack(self, raw: bytes | bytearray | memoryview) -> bytes:
        if len(raw) > LONGEST_RAW:
            raise ValueError(f"{len(raw)} bytes are too many for one object")
        packed = self._threads.compressor.compress(raw)
        return self._seals[self._key].close(packed) if self._key else packed

    def unpack(self, stored: bytes, sealed_with: str, raw_bytes: int | None = None) -> bytes:
        opened = self._opened(stored, sealed_with)
        return self._decompressed(opened, LONGEST_RAW if raw_bytes is None else min(raw_bytes, LONGEST_RAW))

    def unpack_into(self, stored: bytes, sealed_with: str, room: memoryview) -> int:
        opened = self._opened(stored, sealed_with)
        try:
            declared = zstandard.get_frame_parameters(opened).content_size
            if declared == zstandard.CONTENTSIZE_UNKNOWN:
                content = self._bounded(opened, len(room))
                room[: len(content)] = content
                return len(content)
            if declared > len(room):
                raise Damaged(f"it would unpack to {declared} bytes, and has {len(room)} at most")
            return self._read_into(opened, room[:declared])
        except (zstandard.ZstdError, MemoryError) as error:
            raise Damaged(f"it does not unpack: {error}") from error

    def _read_into(self, packed: bytes, room: memoryview) -> int:
        """A frame whose content has just that room."""
        # The reader takes a frame that was cut off for a whole one, and ignores what follows it.
        if _frame_bytes(packed) != len(packed):
            raise Damaged("it does not unpack: it was cut off, or something follows it")
        done = 0
        with self._threads.decompressor.stream_reader(packed, read_across_frames=False) as reader:
            while done < len(room) and (read := reader.readinto(room[done:])):
                done += read
            # Once more behind the last byte: only then is the checksum looked at for certain.
            if done != len(room) or reader.read(1):
                raise Damaged("it does not unpack to as much as it says")
        return done

    def _opened(self, stored: bytes, sealed_with: str) -> bytes:
        if sealed_with:
            seal = self._seals.get(sealed_with)
            if seal is None:
                hint = f"declare it again: backup.encryption.keys.{sealed_with}"
                raise KeyMissing(
                    f"it was sealed with the key `{sealed_with}`, which is not declared", hint=hint
                )
            return seal.open(stored)
        if stored.startswith(MAGIC):
            raise Damaged("it is sealed, and its name tells no key")
        return stored

    def _decompressed(self, packed: bytes, most: int) -> bytes:
        try:
            declared = zstandard.get_frame_parameters(packed).content_size
            if declared != zstandard.CONTENTSIZE_UNKNOWN:
                # One that only claims to be large is turned away before anything is set aside for it.
                if declared > most:
                    raise Damaged(f"it would unpack to {declared} bytes, and has {most} at most")
                return self._threads.decompressor.decompress(packed, allow_extra_data=False)
            return self._bounded(packed, most)
        except (zstandard.ZstdError, MemoryError) as error:
            raise Damaged(f"it does not unpack: {error}") from error

    def _bounded(self, packed: bytes, most: int) -> bytes:
        """Of a frame that does not tell its size: another program made it, such as `zstd` from a pipe."""
        total = 0
        with self._threads.decompressor.stream_reader(packed, read_across_frames=False) as reader:
            while part := reader.read(_AT_ONCE):
                total += len(part)
                if total > most:
                    raise Damaged(f"it unpacks to more than {most} bytes")
        # The reader takes a frame that was cut off for a whole one. Now that its size is known, once more.
        frame = self._threads.decompressor.decompressobj()
        content = frame.decompress(packed)
        if not frame.eof or frame.unused_data:
            raise Damaged("it does not unpack: it was cut off, or something follows it")
        return content


def _frame_bytes(packed: bytes) -> int:
    """Where the frame that begins there ends, by its blocks' headers (RFC 8878, section 3.1.1).

    More than there is when it was cut off.
    """
    at, last = zstandard.frame_header_size(packed), False
    while not last and at < len(packed):
        header = int.from_bytes(packed[at : at + 3], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == _RLE_BLOCK else size)
    checksum = 4 if zstandard.get_frame_parameters(packed).has_checksum else 0
    return at + checksum if last else len(packed) + 1
