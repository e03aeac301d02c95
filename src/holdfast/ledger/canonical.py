"""The canonical form of a record (RFC 8785), which is the log's leaf, and its reading back.

`msgspec` writes it: fields stand in the order of their names (model.py), dictionaries are sorted, no blank
is written, strings are escaped as RFC 8785 section 3.2.2.2 asks, and there are only integers. Its names and
keys are ASCII, so that the order of UTF-16 code units, which RFC 8785 means, is the order of bytes.
"""

from collections.abc import Sequence
from datetime import UTC

import msgspec

from holdfast.ledger.errors import LogDamaged, RecordRefused
from holdfast.ledger.model import Conflict, Record

MOST_LEAF_BYTES = 8 * 1024
"""Of a record. A C2SP entry bundle holds entries below 64 KiB, and a conflict entry holds a whole record in a
text, where escaping makes at most two bytes of one."""

_ENCODER = msgspec.json.Encoder(order="deterministic")
_RECORD = msgspec.json.Decoder(Record)
_CONFLICT = msgspec.json.Decoder(Conflict)


def leaf_of(entry: Record | Conflict) -> bytes:
    """The canonical bytes. Raises RecordRefused for what could not be read back everywhere."""
    if isinstance(entry, Record):
        entry = _in_utc(entry)
    leaf = _ENCODER.encode(entry)
    if isinstance(entry, Record) and len(leaf) > MOST_LEAF_BYTES:
        raise RecordRefused(f"{len(leaf):,} bytes are more than the {MOST_LEAF_BYTES:,} of a record")
    if b"\\u0000" in leaf and b"\\u0000" in leaf.replace(b"\\\\", b""):  # an escaped backslash is none of it
        raise RecordRefused("a text holds the character U+0000, which no database stores")
    return leaf


def leaves_of(records: Sequence[Record]) -> list[bytes] | None:
    """`leaf_of` each, at once; None when one of them must be refused."""
    zones = {record.occurred_at.tzinfo for record in records}
    zones |= {record.reported_at.tzinfo for record in records if record.reported_at}
    if zones - {UTC}:
        try:
            records = [_in_utc(record) for record in records]
        except RecordRefused:
            return None
    lines = _ENCODER.encode_lines(records)  # no line break stands within one: it is escaped
    leaves = lines.split(b"\n")[:-1]
    if (b"\\" in lines and b"\\u0000" in lines) or max(map(len, leaves), default=0) > MOST_LEAF_BYTES:
        return None
    return leaves


def entry_of(leaf: bytes) -> Record | Conflict:
    """What a leaf holds. Raises LogDamaged when it is neither."""
    try:
        return _CONFLICT.decode(leaf) if b'"what":"conflict"' in leaf else _RECORD.decode(leaf)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LogDamaged(f"a leaf cannot be read: {error}") from error


def _in_utc(record: Record) -> Record:
    reported = record.reported_at
    if record.occurred_at.tzinfo is not UTC or (reported and reported.tzinfo is not UTC):
        try:
            record = msgspec.structs.replace(
                record,
                occurred_at=record.occurred_at.astimezone(UTC),
                reported_at=reported.astimezone(UTC) if reported else reported,
            )
        except OverflowError as error:
            raise RecordRefused("a time is outside of the years 1 to 9999 in UTC") from error
    return record
