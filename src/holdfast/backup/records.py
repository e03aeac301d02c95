"""Records as JSON: what is stored of a backup besides PostgreSQL's own bytes. Read strictly, and bounded.

A record is one line of JSON, and a second one with the SHA-256 of the first: `"sha256:..."`. The key of a
record tells no digest as others do, and a flipped bit may leave JSON that reads well, with another LSN in it.
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from holdfast.backup import layout
from holdfast.backup.errors import Damaged
from holdfast.backup.model import Backup, Suspicion

LONGEST_RECORD = 256 * 1024 * 1024
"""Bytes. A backup of 34 TiB in chunks of 64 MiB has a record of at most so many."""
BYTES_PER_CHUNK = 480
"""What a chunk adds to a record at the most: its key, in which every name is as long as it may be."""

_LARGEST = 1 << 64
_LONGEST_S = 1e12
"""More seconds than these are no duration."""

T = TypeVar("T")
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}
_MAKING = threading.Lock()


def encoded(record: object) -> bytes:
    """The record as JSON, in one form only: the same record is always the same bytes."""
    line = msgspec.json.encode(record, order="deterministic")
    return line + b"\n" + _digest_line(line)


def decoded_backup(content: bytes, key: str) -> Backup:
    """The backup of a record. Raises Damaged for what is no record of this version, or another's."""
    backup = decoded(content, Backup, key)
    if backup.format != 1:
        raise Damaged(
            f"{key}: a backup of format {backup.format}", hint="a newer Holdfast wrote it: use that one"
        )
    if key != layout.record_key(backup.database, backup.id):
        raise Damaged(f"{key}: the record is that of {backup.database}/{backup.id}")
    return backup


def decoded(content: bytes, kind: type[T], key: str) -> T:
    """A record of that kind; raises Damaged."""
    if len(content) > LONGEST_RECORD:
        raise Damaged(f"{key}: a record of {len(content)} bytes is none")
    line, newline, digest = content.partition(b"\n")
    # What others keep beside backups, such as how a verification ended, does without a digest.
    if (newline or kind in (Backup, Suspicion)) and digest != _digest_line(line):
        raise Damaged(f"{key}: its digest does not fit", hint="another region may heal it")
    try:
        record = _decoder_of(kind).decode(line)
    except msgspec.MsgspecError as error:
        raise Damaged(f"{key}: {error}") from error
    odd = _odd_of_backup(record, key) if isinstance(record, Backup) else _odd(record)
    for each in odd:
        raise Damaged(f"{key}: {each}", hint="Holdfast never wrote that: who else may write there?")
    return record


def _decoder_of(kind: type[T]) -> msgspec.json.Decoder[T]:
    """Made once, by one thread at a time.

    What msgspec knows of a type it finds out when that is first used, and a second thread that uses it
    meanwhile takes the process down with it. Everywhere else decoders are made when a module is imported.
    """
    with _MAKING:
        found = _DECODERS.get(kind)
        if found is None:
            found = _DECODERS[kind] = msgspec.json.Decoder(kind)
    return found


def _odd_of_backup(backup: Backup, key: str) -> Iterator[str]:
    """What no backup says of itself. It is found here, and not by whatever would trip over it later."""
    yield from _odd((backup.started_at, backup.finished_at, backup.start_lsn, backup.stop_lsn))
    if min(backup.start_lsn, backup.stop_lsn, backup.timeline) < 0:
        yield "a place before the beginning"
    if backup.chunk_bytes < 1 or not layout.is_segment_size(backup.segment_bytes):
        yield "chunks or segments of no possible size"
    folder = key[: key.rfind("/") + 1]
    for each in backup.objects:
        if min(each.raw_bytes, each.stored_bytes) < 0:
            yield "an object of less than nothing"
        if not each.key.startswith(folder):
            yield f"it names {each.key[:100]!r}, which is not its own"


def _odd(value: object) -> Iterator[str]:
    """Moments without a time zone or beyond all use, and numbers that nothing can be counted with."""
    if isinstance(value, datetime):
        if value.tzinfo is None or not layout.EPOCH <= value < layout.LATEST:
            yield f"the moment {value.isoformat()}"
    elif isinstance(value, int | float):
        if abs(value) >= (_LARGEST if isinstance(value, int) else _LONGEST_S):
            yield "a number beyond all use"
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _odd(each)
    elif isinstance(value, Mapping):
        yield from _odd(tuple(value.values()))
    elif is_dataclass(value):
        for field in fields(value):
            yield from _odd(getattr(value, field.name))


def _digest_line(line: bytes) -> bytes:
    return b'"sha256:%s"\n' % hashlib.sha256(line).hexdigest().encode()


def utc(moment: datetime) -> datetime:
    """The same moment, in UTC. What a source sends may carry its own offset."""
    return moment.astimezone(UTC)
