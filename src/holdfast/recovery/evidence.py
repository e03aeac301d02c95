"""Evidence: what a drill, or a real recovery, was and what it came to. Frozen, canonical, for ever.

An **evidence** is made of a run that is over. A **remark** is added to one later, by somebody: what was done
about what it showed. Both are entries of one append-only log, in the canonical form of RFC 8785: names are
ASCII and sorted, no blank is written, and numbers are integers, so that whoever has the text of an entry can
write the very bytes again that were hashed.

Times are aware, in UTC; durations are milliseconds. What nobody knows is null, and is shown as unknown.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from holdfast.kernel.ids import id_from
from holdfast.recovery.errors import EvidenceRefused

FORMAT = 1
MOST_BYTES = 1 << 20
"""Of an entry."""
MOST_TEXT = 20_000
"""Characters of one text in it."""
UNKNOWN = "unknown"

Millis = Annotated[int, Meta(ge=0, le=2**53 - 1)]

_ENCODER = msgspec.json.Encoder(order="sorted")


class Where(StrEnum):
    """On what it was done."""

    PRODUCTION = "production"
    ISOLATED = "isolated"
    """A copy of the real thing, apart from it."""
    LAB = "lab"


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    """Undone, as far as it could be."""


class Holds(StrEnum):
    """Whether something that must be true is."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"


class Measure(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Three figures that are never mixed up: what we aim at, what was agreed on, and what was measured."""

    target_ms: Millis | None = None
    contract_ms: Millis | None = None
    """The strictest agreement's."""
    measured_ms: Millis | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the contract was; where there is none, the target. None where nobody knows."""
        limit = self.contract_ms if self.contract_ms is not None else self.target_ms
        if limit is None or self.measured_ms is None:
            return None
        return self.measured_ms <= limit


class Phase(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of it, in the order in which they began. `within`: the step that it was measured in, or none."""

    name: str
    title: str = ""
    within: str = ""
    began_at: datetime | None = None
    lasted_ms: Millis | None = None
    attempts: int = 1
    ended: str = "done"
    """As its record says: done, failed, undone, not undone, running."""
    told: str = ""


class Approved(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Somebody let it through a gate."""

    gate: str
    who: str
    at: datetime


class Invariant(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that must be true afterwards, and whether it was."""

    name: str
    holds: Holds
    detail: str = ""


class Loss(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was lost: nothing is 0, and null is that nobody knows."""

    transactions: Millis | None = None
    entries: Millis | None = None
    """Of the ledger."""
    statement: str = ""


class Evidence(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="evidence", tag_field="kind"
):
    """One drill or one real recovery."""

    id: str
    format: int = FORMAT
    scenario: str
    drill: bool
    where: Where
    subject: str
    """A cluster or a database, by its key."""
    what: str = ""
    """What was restored or moved, in words."""
    run: str
    playbook: str
    revision: int
    seed: int | None = None
    """What was picked at random can be picked again."""
    started_by: str
    began_at: datetime
    ended_at: datetime | None
    recorded_at: datetime
    outcome: Outcome
    why: str = ""
    """Why it was cancelled."""
    data_bytes: Millis | None = None
    phases: Sequence[Phase] = ()
    approvals: Sequence[Approved] = ()
    rpo: Measure = Measure()
    rto: Measure = Measure()
    invariants: Sequence[Invariant] = ()
    loss: Loss = Loss()
    corrective: str = ""
    """What should be done about it."""
    found: Mapping[str, str] = {}
    """What steps found besides, as `step.key`."""
    holdfast: str = ""
    """The version that recorded it."""

    @property
    def passed(self) -> bool:
        """It came to its end, everything that was looked at held, and no figure missed what was agreed on.

        What was not measured is no failure of the drill; it is shown as unknown.
        """
        return (
            self.outcome is Outcome.DONE
            and all(each.holds is not Holds.FAILS for each in self.invariants)
            and self.rpo.is_met is not False
            and self.rto.is_met is not False
        )


class Remark(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="remark", tag_field="kind"):
    """Somebody adds to an evidence: what was done about it."""

    id: str
    format: int = FORMAT
    about: str
    """The evidence's id."""
    who: str
    at: datetime
    text: str


Entry = Evidence | Remark
_DECODER = msgspec.json.Decoder(Entry)


def evidence_id(run_id: str) -> str:
    """A run has one evidence, however often it is recorded."""
    return id_from("evidence", run_id)


def remark_id(about: str, who: str, text: str) -> str:
    """The same remark twice is one."""
    return id_from("remark", about, who, text)


def canonical(entry: Entry) -> bytes:
    """The bytes that are hashed and kept. Raises EvidenceRefused for more than MOST_BYTES of them."""
    content = _ENCODER.encode(entry)
    if len(content) > MOST_BYTES:
        raise EvidenceRefused(f"{len(content):,} bytes are more than the {MOST_BYTES:,} of an entry")
    return content


def entry_of(content: bytes) -> Entry:
    """What an entry's bytes say. Raises EvidenceRefused where it is not in its one canonical form."""
    if len(content) > MOST_BYTES:
        raise EvidenceRefused(f"{len(content):,} bytes are more than the {MOST_BYTES:,} of an entry")
    try:
        entry: Entry = _DECODER.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EvidenceRefused(
            f"that is no entry of evidence: {error}", hint="a newer Holdfast may have written it"
        ) from error
    if canonical(entry) != content:
        raise EvidenceRefused("an entry of evidence is not in its canonical form")
    return entry


def millis(duration: timedelta) -> int:
    """Rounded to the nearest, and never less than nothing."""
    return max(round(duration / timedelta(milliseconds=1)), 0)


def clipped(text: str) -> str:
    """The text as an entry holds it: without the character that no database stores, and not endlessly."""
    text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]} ... ({len(text) - MOST_TEXT:,} more characters)"
