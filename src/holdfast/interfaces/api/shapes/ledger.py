"""What the API tells of the ledger's entries, and of who read them."""

from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field

from holdfast.interfaces.api.words import Told
from holdfast.ledger.find.access import Access, Act, Way
from holdfast.ledger.find.columns import standing_of
from holdfast.ledger.find.finding import What
from holdfast.ledger.find.jobs import Job
from holdfast.ledger.find.tracing import Proven, Trace, Traced

Standing = Literal["counts", "corrected", "void", "conflict"]


class JobTold(BaseModel):
    """An entry of the log, and what later entries say of it."""

    leaf: int = Field(ge=0, description="its place in the tenant's log, for ever", examples=[4711])
    what: What
    standing: Standing = Field(description="whether reports count it")
    entry: dict[str, Any] = Field(
        description="as it stands in the log; its canonical form (RFC 8785) is the leaf"
    )
    corrected_by: int | None = Field(description="the leaf of the correction that replaces its quantities")
    conflicts: list[int] = Field(description="leaves of records that came under its key with other content")
    original: dict[str, Any] | None = Field(
        description="of a correction in a list: the entry that it corrects, unless retention took it"
    )

    @classmethod
    def of(cls, job: Job) -> "JobTold":
        return cls.model_validate(
            {
                "leaf": job.leaf,
                "what": job.what,
                "standing": standing_of(job),
                "entry": msgspec.to_builtins(job.entry),
                "corrected_by": job.corrected_by,
                "conflicts": list(job.conflicts),
                "original": None if job.original is None else msgspec.to_builtins(job.original),
            }
        )


class JobPage(BaseModel):
    """Entries, the newest first: in the order of the log, which is the order in which they came in."""

    items: list[JobTold]
    next: str | None = Field(
        description="a page may have fewer than `limit` and yet a next one: it ends after so much was read"
    )
    size: int = Field(description="of the log when it was read")
    pruned_below: int | None = Field(description="leaves below it are not kept any more")
    complete: bool = Field(description="false while the index is far behind, and corrections may be missing")


class ProofTold(BaseModel):
    """Whether the log holds the entry at its leaf: recomputed for this answer."""

    holds: bool
    reason: str = Field(description="why not, or what was not checked; else empty")
    size: int = Field(description="of the checkpoint that it was proved against")
    published: bool = Field(description="whether that checkpoint was cosigned and handed out")
    proof: str = Field(description="C2SP tlog-proof, for who checks it with a tool of their own")

    @classmethod
    def of(cls, proven: Proven) -> "ProofTold":
        return cls(
            holds=proven.holds,
            reason=proven.reason,
            size=proven.size,
            published=proven.published,
            proof=proven.proof,
        )


class TracedTold(BaseModel):
    """An entry of a trace."""

    job: JobTold
    received_at: Told = Field(description="when the ledger took it in")
    proof: ProofTold | None = Field(description="null when no proofs were asked for")

    @classmethod
    def of(cls, traced: Traced) -> "TracedTold":
        return cls(
            job=JobTold.of(traced.job),
            received_at=traced.received_at,
            proof=None if traced.proven is None else ProofTold.of(traced.proven),
        )


class AccessTold(BaseModel):
    """Somebody read or exported entries."""

    id: int
    at: Told
    who: str
    way: Way
    act: Act
    asked: dict[str, Any] = Field(description="the filter")
    first_leaf: int
    end_leaf: int = Field(description="what matched of the leaves from first_leaf up to this one, without it")
    also: list[int] = Field(description="leaves that were shown beside them")
    entries: int | None = Field(description="null for an export that was broken off")

    @classmethod
    def of(cls, access: Access) -> "AccessTold":
        reading = access.reading
        return cls(
            id=access.id,
            at=access.at,
            who=reading.caller.who,
            way=reading.caller.way,
            act=reading.act,
            asked=reading.wanted.facts(),
            first_leaf=reading.start,
            end_leaf=reading.end,
            also=list(reading.also),
            entries=reading.rows,
        )


class AccessPage(BaseModel):
    """Who read or exported, newest first."""

    items: list[AccessTold]
    next: str | None


class SawTold(BaseModel):
    """Somebody who was handed entries of a trace."""

    access: AccessTold
    leaves: list[int] = Field(description="which of the trace's entries")


class TraceTold(BaseModel):
    """Everything about a job, a user, a device or an entry, in the order of the log."""

    tenant: str
    origin: str = Field(description="the log's name", examples=["ledger.example.com/acme"])
    size: int
    entries: list[TracedTold]
    seen_by: list[SawTold]
    seen_by_complete: bool
    complete: bool = Field(description="false when there are older entries than these")
    pruned_below: int | None = Field(description="leaves below it are not kept any more")

    @classmethod
    def of(cls, trace: Trace) -> "TraceTold":
        return cls(
            tenant=trace.tenant,
            origin=trace.origin,
            size=trace.size,
            entries=[TracedTold.of(each) for each in trace.entries],
            seen_by=[
                SawTold(access=AccessTold.of(access), leaves=list(leaves))
                for access, leaves in trace.seen.accesses
            ],
            seen_by_complete=trace.seen.complete,
            complete=trace.complete,
            pruned_below=trace.pruned_below,
        )
