"""Records as JSON: what is stored of a backup besides PostgreSQL's own bytes. Read strictly, and bounded."""

from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from holdfast.backup.errors import Damaged
from holdfast.backup.model import Backup, Suspicion

LONGEST_RECORD = 64 * 1024 * 1024
"""Bytes. A backup of 100 TB in chunks of 64 MiB has a record of some 40 MB."""

T = TypeVar("T")


def encoded(record: Backup | Suspicion) -> bytes:
    """The record as JSON, in one form only: the same record is always the same bytes."""
    return msgspec.json.encode(record, order="deterministic")


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
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise Damaged(f"{key}: {error}") from error


def utc(moment: datetime) -> datetime:
    """The same moment, in UTC. What a source sends may carry its own offset."""
    return moment.astimezone(UTC)
