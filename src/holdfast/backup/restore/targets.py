"""The moment to restore to, as a person writes it. Pure."""

from datetime import UTC, datetime

from holdfast.backup.errors import NotRecoverable
from holdfast.backup.lsn import Lsn, Timeline, parse_lsn
from holdfast.backup.model import Target, TargetKind

LATEST = "latest"
FORMS = (
    "latest, a time (2026-11-22T20:15:00Z), an LSN (0/16B3748), a transaction (xid:1234), a backup's label"
)


def target_named(text: str, *, timeline: int | None = None, inclusive: bool = True) -> Target:
    """The target that `text` names. Raises NotRecoverable, also for a time without its offset from UTC.

    `latest`; `xid:1234`; `lsn:0/16B3748`, or without `lsn:`; `time:...`, or as ISO 8601 is written;
    `label:...`, or anything else: a backup's label or id.
    """
    on = None if timeline is None else Timeline(timeline)
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("xid", "lsn", "time", "label"):
        kind, rest = _kind_of(text), text
    try:
        match kind:
            case "latest":
                return Target(timeline=on)
            case "xid":
                return Target(TargetKind.XID, xid=_xid(rest), timeline=on, inclusive=inclusive)
            case "lsn":
                return Target(TargetKind.LSN, lsn=Lsn(parse_lsn(rest)), timeline=on, inclusive=inclusive)
            case "time":
                return Target(TargetKind.TIME, time=_time(rest), timeline=on, inclusive=inclusive)
    except ValueError as error:
        raise NotRecoverable(f"{text!r} names no moment: {error}", hint=f"write {FORMS}") from error
    return Target(TargetKind.LABEL, label=rest, timeline=on)


def _kind_of(text: str) -> str:
    if text == LATEST:
        return LATEST
    for kind, read in (("lsn", parse_lsn), ("time", datetime.fromisoformat)):
        try:
            read(text)
        except ValueError:
            continue
        return kind
    return "label"


def _xid(text: str) -> int:
    xid = int(text)
    if not 0 < xid < 2**32:
        raise ValueError("a transaction's number is above 0 and below 2^32")
    return xid


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it needs its offset from UTC, such as +01:00 or Z")
    return moment.astimezone(UTC)
