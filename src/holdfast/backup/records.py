"""Records as JSON: what is stored of a backup besides PostgreSQL's own bytes. Read strictly, and bounded.

A record is one line of JSON, and a second one with the SHA-256 of the first: `"sha256:..."`. The key of a
record tells no digest as others do, and a flipped bit may leave JSON that reads well, with another LSN in it.
"""

import hashlib
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from holdfast.backup.errors import Damaged
from holdfast.backup.model import Backup, Suspicion

LONGEST_RECORD = 256 * 1024 * 1024
"""Bytes. A backup of 17 TiB in chunks of 32 MiB has a record of at most so many."""
BYTES_PER_CHUNK = 480
"""What a chunk adds to a record at the most: its key, in which every name is as long as it may be."""

T = TypeVar("T")


def encoded(record: Backup | Suspicion) -> bytes:
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
    if f"/backups/{backup.id}/" not in key or not key.startswith(f"{backup.database}/"):
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
        return msgspec.json.decode(line, type=kind)
    except msgspec.MsgspecError as error:
        raise Damaged(f"{key}: {error}") from error


def _digest_line(line: bytes) -> bytes:
    return b'"sha256:%s"\n' % hashlib.sha256(line).hexdigest().encode()


def utc(moment: datetime) -> datetime:
    """The same moment, in UTC. What a source sends may carry its own offset."""
    return moment.astimezone(UTC)
