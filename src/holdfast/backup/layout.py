"""Where a region keeps what. Keys are unique and never written twice, so that locked buckets work.

    DB/backups/ID/a0/000003-SHA.zst                a chunk of the first archive's tar stream
    DB/backups/ID/backup_manifest-SHA.zst          PostgreSQL's own
    DB/backups/ID/index-SHA.zst                    which file lies where
    DB/backups/ID/backup.json                      the record, written last: now there is a backup
    DB/wal/TTTTTTTT/SEGMENT/START-END-COMMIT-COVERED-SHA.zst   a piece of a segment: offsets in hexadecimal
    DB/timelines/TTTTTTTT-SHA.history              PostgreSQL's own, as it is
    DB/marks/ID.json                               a suspicion, or that it was lifted
    DB/verifications/TIME-ID.json                  what a verification found
    DB/logical/ID/...                              a logical backup, laid out as those in backups/

DB is the database's key. Of a sealed object the ending is `.zst.KEY.aes`, where KEY names the key. SHA
is the SHA-256 of the stored bytes, so that a listing is enough to know what must be there, and reading an
object to prove it. COMMIT and COVERED are microseconds since 1970, or `x`. A segment's size
stands in its pieces' folder when it is not 16 MiB: `SEGMENT.67108864`.

Where the estate has keys a store shows more, and nobody here sees it: a tag in the names of sealed pieces,
and a last line of records and histories, that vouch for them.
"""

import re
import secrets
from datetime import UTC, datetime, timedelta

from holdfast.backup.lsn import DEFAULT_SEGMENT_BYTES, Segment, Timeline
from holdfast.backup.model import StoredObject, WalPiece

RECORD = "backup.json"
KEY_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""What a key for encryption may be called: as every key in the estate."""

LONGEST_KEY = 900
"""Bytes of UTF-8. The smallest limit of any store is 1024, and a store's own prefix comes before it."""
LONGEST_NAME = 240
"""Bytes of a key's part between slashes: in a folder it is a file's name."""

FORGED = ".forged"
"""What a listing adds to the name of a piece of WAL that nobody with the estate's keys has stored."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""No moment that is stored is later, so that what is counted from one is still a moment."""

_DIGEST = re.compile(r"-([0-9a-f]{64})(?:\.zst(?:\.[a-z0-9-]{1,63}\.aes)?|\.history)")
_PLAIN_KEY = re.compile(r"[\w-][\w.-]{0,200}(?:/[\w-][\w.-]{0,200}){0,4}", re.ASCII)
"""Every store keeps such a key."""
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_BACKUP_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9]{6}")
_ENDING = r"\.zst(?:\.(?P<seal>[a-z0-9-]{1,63})\.aes)?"
_PIECE = re.compile(
    r"(?P<db>[a-z0-9-]+)/wal/(?P<tli>[0-9A-F]{8})/(?P<segment>[0-9A-F]{24})(?:\.(?P<size>\d{7,10}))?/"
    r"(?P<start>[0-9a-f]{8})-(?P<end>[0-9a-f]{8})-(?P<commit>\d+|x)-(?P<covered>\d+|x)-(?P<sha>[0-9a-f]{64})"
    + _ENDING
)
_HISTORY = re.compile(r"[a-z0-9-]+/timelines/(?P<tli>[0-9A-F]{8})-(?P<sha>[0-9a-f]{64})\.history")


def backup_id(started_at: datetime, letters: str = "") -> str:
    """A new backup's id. It sorts by time, to the microsecond, and ends with two random letters.

    Two at the same moment do not meet by them, and two of one server within a second are still told apart:
    whoever lists a folder takes the last one for the newest. `letters`: all six, for an id that is to repeat.
    """
    if not letters:
        letters = _letters_of(started_at.microsecond) + "".join(secrets.choice(_LETTERS) for _ in range(2))
    return f"{started_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{letters}"


def _letters_of(microsecond: int) -> str:
    """Four letters that sort as the numbers below a million do."""
    text = ""
    for _ in range(4):
        microsecond, digit = divmod(microsecond, len(_LETTERS))
        text = _LETTERS[digit] + text
    return text


def is_backup_id(text: str) -> bool:
    return bool(_BACKUP_ID.fullmatch(text))


def ending(sealed_with: str) -> str:
    return f".zst.{sealed_with}.aes" if sealed_with else ".zst"


def backups_prefix(database: str) -> str:
    return f"{database}/backups/"


def backup_prefix(database: str, backup: str) -> str:
    return f"{database}/backups/{backup}/"


def record_key(database: str, backup: str) -> str:
    return f"{database}/backups/{backup}/{RECORD}"


def chunk_key(
    database: str, backup: str, archive: int, number: int, sha256: str, sealed_with: str = ""
) -> str:
    return f"{database}/backups/{backup}/a{archive}/{number:06d}-{sha256}{ending(sealed_with)}"


def part_key(database: str, backup: str, name: str, sha256: str, sealed_with: str = "") -> str:
    """Of the manifest (`backup_manifest`) and the index (`index`)."""
    return f"{database}/backups/{backup}/{name}-{sha256}{ending(sealed_with)}"


def logical_prefix(database: str) -> str:
    return f"{database}/logical/"


def logical_key(database: str, backup: str, name: str = "") -> str:
    """Of an object of a logical backup, or of all of them. Its record is RECORD."""
    return f"{database}/logical/{backup}/{name}"


def wal_prefix(database: str, timeline: Timeline | None = None) -> str:
    return f"{database}/wal/" if timeline is None else f"{database}/wal/{timeline:08X}/"


def segment_prefix(database: str, segment: Segment) -> str:
    size = "" if segment.size == DEFAULT_SEGMENT_BYTES else f".{segment.size}"
    return f"{database}/wal/{segment.timeline:08X}/{segment.name}{size}/"


def piece_key(
    database: str,
    segment: Segment,
    start: int,
    end: int,
    stored: StoredObject,
    commit_at: datetime | None,
    covered_at: datetime | None,
) -> str:
    """The key of a piece; `stored` tells its digest and its seal, and its own key is not looked at."""
    times = f"{_micros(commit_at)}-{_micros(covered_at)}"
    name = f"{start:08x}-{end:08x}-{times}-{stored.sha256}{ending(stored.sealed_with)}"
    return segment_prefix(database, segment) + name


def piece_of(key: str, stored_bytes: int) -> WalPiece | None:
    """The piece that a key names, or None when it names none."""
    match = _PIECE.fullmatch(key)
    if not match:
        return None
    size = int(match["size"] or DEFAULT_SEGMENT_BYTES)
    start, end = int(match["start"], 16), int(match["end"], 16)
    # Another size would divide by nothing.
    if not is_segment_size(size) or not start < end <= size:
        return None
    segment = Segment.named(match["segment"], size)
    if segment.timeline != int(match["tli"], 16):
        return None
    return WalPiece(
        segment,
        start,
        end,
        key,
        stored_bytes,
        match["sha"],
        match["seal"] or "",
        _moment(match["commit"]),
        _moment(match["covered"]),
    )


def is_segment_size(size: int) -> bool:
    """Whether PostgreSQL knows segments of this size: a power of two from 1 MiB to 1 GiB."""
    return size & (size - 1) == 0 and 2**20 <= size <= 2**30


def timelines_prefix(database: str) -> str:
    return f"{database}/timelines/"


def history_key(database: str, timeline: Timeline, sha256: str) -> str:
    return f"{database}/timelines/{timeline:08X}-{sha256}.history"


def history_of(key: str) -> tuple[Timeline, str] | None:
    """The timeline and the digest that a history's key names, or None when it names none."""
    match = _HISTORY.fullmatch(key)
    return (Timeline(int(match["tli"], 16)), match["sha"]) if match else None


def digest_of(key: str) -> str | None:
    """The SHA-256 of the stored bytes, where the key tells it: everything but records and marks."""
    match = _DIGEST.search(key)
    return match[1] if match and match.end() == len(key) else None


def wrong_key(key: str) -> str:
    """Why no store may keep an object under this key, whichever it is; empty when each of them can."""
    if _PLAIN_KEY.fullmatch(key):
        return ""
    names = key.split("/")
    if len(key.encode(errors="replace")) > LONGEST_KEY:
        return f"a key has {LONGEST_KEY} bytes at most"
    if any(len(name.encode(errors="replace")) > LONGEST_NAME for name in names):
        return f"a part of a key has {LONGEST_NAME} bytes at most"
    if any(not name or name.startswith(".") for name in names):
        return "no part of a key is empty or begins with a dot"
    if not key.isprintable() or "\\" in key:
        return "a key has no control characters and no backslashes"
    return ""


def marks_prefix(database: str) -> str:
    return f"{database}/marks/"


def verifications_prefix(database: str) -> str:
    return f"{database}/verifications/"


def _micros(moment: datetime | None) -> str:
    return "x" if moment is None else str((moment - EPOCH) // timedelta(microseconds=1))


def _moment(text: str) -> datetime | None:
    if text == "x":
        return None
    try:
        moment = EPOCH + timedelta(microseconds=int(text))
    except OverflowError:
        return None
    return moment if moment < LATEST else None
