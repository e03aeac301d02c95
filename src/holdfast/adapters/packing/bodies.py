"""Bodies of requests, unpacked within bounds: whoever packs zeros packs a thousand to one."""

import zlib

import zstandard

from holdfast.ledger.errors import BatchRefused, TooLarge

CODINGS = ("identity", "gzip", "zstd")
_WINDOW = 8 * 1024 * 1024
"""What RFC 8878 asks every reader to take, and no more: it is memory."""
_STEP = 1024
"""So many bytes of zstd unpack to 32 MiB at most: each block is 4 of them at least, and 128 KiB at most."""


def unpacked(body: bytes, coding: str, most: int) -> bytes:
    """Never more than `most` bytes: raises TooLarge. BatchRefused for what is not whole, or no such."""
    match coding:
        case "identity":
            found = body
        case "gzip":
            found = _gunzipped(body, most)
        case "zstd":
            found = _unzstd(body, most)
        case _:
            raise BatchRefused(f"{coding!r} is not unpacked here", hint=f"there are: {', '.join(CODINGS)}")
    if len(found) > most:
        raise _too_large(most)
    return found


def _gunzipped(body: bytes, most: int) -> bytes:
    found, rest = bytearray(), body
    while rest:
        unpacking = zlib.decompressobj(wbits=31)
        try:
            found += unpacking.decompress(rest, most + 1 - len(found))
        except zlib.error as error:
            raise BatchRefused("the body is not gzip") from error
        if len(found) > most:
            raise _too_large(most)
        if not unpacking.eof:
            raise BatchRefused("the body ends within its gzip file", hint="post it again, whole")
        rest = unpacking.unused_data
    return bytes(found)


def _unzstd(body: bytes, most: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    found, at = bytearray(), 0
    unpacking = decompressor.decompressobj()
    try:
        while at < len(body):
            if unpacking.eof:
                unpacking = decompressor.decompressobj()
            found += unpacking.decompress(body[at : at + _STEP])
            at = min(at + _STEP, len(body)) - len(unpacking.unused_data)
            if len(found) > most:
                raise _too_large(most)
    except zstandard.ZstdError as error:
        raise BatchRefused("the body is not zstd", hint="of a window of at most 8 MiB") from error
    if body and not unpacking.eof:
        raise BatchRefused("the body ends within its zstd frame", hint="post it again, whole")
    return bytes(found)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"a request has at most {most // 1024 // 1024} MiB, unpacked", hint="post it in parts")
