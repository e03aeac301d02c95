"""The words of the ledger, as frozen values.

A **source** (a device, a client, an importer) posts **records**, each under its own (epoch, seq): numbers
without gaps within an epoch, which the source begins anew when it has lost its count. A record that was taken
in is an **entry**: a leaf of its tenant's log, for ever. What a log holds is never changed; a **correction**
is a new entry that names the corrected leaf.

Sheets and impressions are different quantities: a duplex page is two impressions on one sheet, and a device
may report the one, the other or both. What was not reported is absent, never 0.

An entry's canonical form (canonical.py) is its leaf. So a record is the same record exactly when its
canonical form is: that decides whether a repeated (source, epoch, seq) is absorbed or a conflict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

MOST = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8785 rests on RFC 7493)."""

Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Number = Annotated[int, Meta(ge=0, le=MOST)]
Amount = Annotated[int, Meta(ge=-MOST, le=MOST)]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Line = Annotated[str, Meta(max_length=1000)]
PaperFormat = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}$")]
Moment = Annotated[datetime, Meta(tz=True)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Kind(StrEnum):
    """What the job was."""

    PRINT = "print"
    SCAN = "scan"
    COPY = "copy"
    FAX = "fax"


class Status(StrEnum):
    """How the job ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    PARTIAL = "partial"


class Quality(StrEnum):
    """Whether the quantities were counted, or reckoned from what was sent."""

    EXACT = "exact"
    ESTIMATED = "estimated"


class Document(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Properties of what was processed, never its name or content."""

    bytes: Number | UnsetType = UNSET
    format: Word | UnsetType = UNSET
    pages: Count | UnsetType = UNSET


class Price(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """An amount in the currency's minor units: 1250 EUR is 12.50."""

    amount: Amount
    currency: Currency


class Correction(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Which leaf of the same log is meant, by whom and why. The entry's quantities replace that leaf's."""

    actor: Word
    leaf: Number
    reason: Annotated[str, Meta(min_length=1, max_length=1000)]


class Record(Struct, frozen=True, forbid_unknown_fields=True, gc=False, kw_only=True):
    """One finished job. The fields stand in the order of their names: that is the canonical one.

    `user` is a pseudonym. `person` is the SHA-256 of what is kept of the person beside the log, sealed
    under a key of its own: with the key destroyed proofs still hold, and nobody can read whom they are about.
    Times are aware; the canonical form has them in UTC.
    """

    colour_impressions: Count | UnsetType = UNSET
    corrects: Correction | UnsetType = UNSET
    cost_centre: Word | UnsetType = UNSET
    device: Word | UnsetType = UNSET
    document: Document | UnsetType = UNSET
    duplex: bool | UnsetType = UNSET
    epoch: Number
    fax_pages: Count | UnsetType = UNSET
    job: Word
    kind: Kind
    mono_impressions: Count | UnsetType = UNSET
    occurred_at: Moment
    person: Digest | UnsetType = UNSET
    prices: dict[Word, Price] | UnsetType = UNSET
    quality: Quality = Quality.EXACT
    reported_at: Moment | UnsetType = UNSET
    reporter: Word | UnsetType = UNSET
    scan_pages: Count | UnsetType = UNSET
    seq: Number
    sheets: dict[PaperFormat, Count] | UnsetType = UNSET
    source: Word
    status: Status
    tenant: Word
    user: Word | UnsetType = UNSET


class Conflict(Struct, frozen=True, forbid_unknown_fields=True, gc=False, tag="conflict", tag_field="what"):
    """An entry of our own: a key came again with other bytes. What came is kept whole, and counts nothing."""

    came: str
    """The record that came second, in its canonical form."""
    epoch: Number
    leaf: Number
    """The entry that stands under the key."""
    seq: Number
    source: Word
    tenant: Word


class Piece(NamedTuple):
    """So many leaves as an entry bundle (log/tiles.py), compressed."""

    leaves: int
    packed: bytes


class Numbered(NamedTuple):
    """So many records side by side, of one source and epoch, numbered from `first` on without a gap."""

    source: str
    epoch: int
    first: int
    length: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """Records of one tenant, canonical and hashed, ready to be appended.

    Their numbers are told by stretches, in the order of the leaves: what a source posts is one as a rule, and
    costs the process that appends no more than one.
    """

    tenant: str
    leaves: list[bytes]
    hashes: bytes
    """32 bytes each."""
    stretches: Sequence[Numbered]
    pieces: tuple[Piece, ...] = ()
    """The leaves, where whoever prepared them has packed them; `leaves` is empty then."""

    @property
    def count(self) -> int:
        """Records."""
        return sum([each.length for each in self.stretches])


class Span(NamedTuple):
    """Records [begin, end) of a request are the leaves from `leaf` on."""

    begin: int
    end: int
    leaf: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that did not go in: the line of the request (or the item, from 1), and why."""

    line: int
    reason: str


class Reach(StrEnum):
    """Where an acknowledged entry is durable."""

    TWO_REGIONS = "two regions"
    ONE_REGION = "one region"


class Stretch(NamedTuple):
    """Lines [first, last] of a request are the leaves from `leaf` on."""

    first: int
    last: int
    leaf: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What became of a request: each line that held a record is in one of the first four."""

    taken: tuple[Stretch, ...]
    repeated: tuple[Stretch, ...]
    conflicts: tuple[Stretch, ...]
    """`leaf` is the conflict entry's."""
    refused: tuple[Refusal, ...]
    reach: Reach
    size: int
    """Of the log, with all of it in it; 0 when nothing was."""
    checkpoint: str
    """The log's newest checkpoint, when it holds all of it. Empty while none does: soon one will."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers [first, last] of a source that have not come, while later ones have, since `since` (UTC)."""

    source: str
    epoch: int
    first: int
    last: int
    since: datetime
    """When the first later one came in."""
