"""What the API tells of evidence and of drills."""

from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, Field

from holdfast.interfaces.api.words import Told
from holdfast.interfaces.evidence_desk import DrillShown, Whole
from holdfast.interfaces.evidence_words import plain_grown, verdict
from holdfast.recovery.evidence import Evidence, Holds, Measure, Outcome, Where
from holdfast.recovery.evidence_ports import Grown, Why

Millis = Annotated[int | None, Field(description="milliseconds; null where nobody knows")]
Seconds = Annotated[float | None, Field(description="seconds")]


class MeasureTold(BaseModel):
    """Recovery point or recovery time: what is aimed at, what was agreed on, and what was measured."""

    target_ms: Millis
    contract_ms: Millis = Field(description="the strictest agreement's")
    measured_ms: Millis
    met: bool | None = Field(description="the contract; where there is none, the target. Null: nobody knows")

    @classmethod
    def of(cls, measure: Measure) -> "MeasureTold":
        return cls(**msgspec.to_builtins(measure), met=measure.is_met)


class EvidenceLine(BaseModel):
    """A drill, or a real recovery, in short."""

    id: str = Field(examples=["k3x9q2m7w1zd"])
    leaf: int = Field(description="its place in the log, from 0")
    cosigned: bool = Field(description="a witness has cosigned the log with this in it")
    scenario: str
    drill: bool
    where: Where
    subject: str = Field(description="a cluster or a database")
    run: str = Field(description="its run; it may be gone, the evidence stays")
    playbook: str
    revision: int
    started_by: str
    began_at: Told
    ended_at: Told | None
    recorded_at: Told
    outcome: Outcome
    passed: bool
    verdict: str = Field(examples=["passed", "failed", "cancelled"])
    data_bytes: int | None
    rpo: MeasureTold
    rto: MeasureTold
    lost_transactions: int | None = Field(description="null: nobody knows")
    lost_entries: int | None = Field(description="of the ledger; null: nobody knows")

    @classmethod
    def of(cls, leaf: int, it: Evidence, grown: Grown) -> "EvidenceLine":
        return cls.model_validate(_line(leaf, it, grown))


class PhaseTold(BaseModel):
    name: str
    title: str
    within: str = Field(description="the step that it was measured in, or empty")
    began_at: Told | None
    lasted_ms: Millis
    attempts: int
    ended: str
    told: str


class ApprovedTold(BaseModel):
    gate: str
    who: str
    at: Told


class InvariantTold(BaseModel):
    name: str
    holds: Holds
    detail: str


class RemarkTold(BaseModel):
    """What somebody added: what was done about it."""

    id: str
    leaf: int
    who: str
    at: Told
    text: str


class EvidenceTold(EvidenceLine):
    """One evidence, whole."""

    what: str
    why: str = Field(description="why it was cancelled")
    seed: int | None
    phases: list[PhaseTold]
    approvals: list[ApprovedTold]
    invariants: list[InvariantTold]
    loss: str = Field(description="the loss statement")
    corrective: str
    found: dict[str, str]
    holdfast: str = Field(description="the version that recorded it")
    remarks: list[RemarkTold]

    @classmethod
    def whole(cls, whole: Whole, grown: Grown) -> "EvidenceTold":
        it = whole.evidence
        told = msgspec.to_builtins(it)
        same = ("what", "why", "seed", "phases", "approvals", "invariants", "corrective", "found", "holdfast")
        remarks = [
            {"id": each.id, "leaf": leaf, "who": each.who, "at": each.at, "text": each.text}
            for leaf, each in whole.remarks
        ]
        return cls.model_validate(
            {
                **_line(whole.leaf, it, grown),
                **{name: told[name] for name in same},
                "loss": it.loss.statement,
                "remarks": remarks,
            }
        )


class WaitsTold(BaseModel):
    reason: Why
    text: str
    since: Told


class LogTold(BaseModel):
    """How far the log has come, and how far a witness vouches for it."""

    size: int
    cosigned: int = Field(description="so many of the first entries")
    cosigned_at: Told | None
    not_cosigned_since: Told | None = Field(description="when the oldest entry was kept that is not cosigned")
    waits: WaitsTold | None = Field(description="what keeps the newest from being cosigned, when it is known")


class EvidencePage(BaseModel):
    """Evidence, the newest first."""

    items: list[EvidenceLine]
    next: str | None = Field(description="the cursor of the next page; null on the last one")
    log: LogTold


def log_told(grown: Grown) -> LogTold:
    return LogTold.model_validate(plain_grown(grown))


class ForecastTold(BaseModel):
    """How long a restore will take, by what was measured."""

    samples: int
    now_s: Seconds
    then_s: Seconds = Field(description="in 90 days")
    growth_bytes_per_day: float | None
    limit_s: Seconds
    breaks_at: Told | None = Field(description="when it takes longer than was agreed on; null: not foreseen")


class DrillTold(BaseModel):
    """A declared drill, and how it stands."""

    key: str
    scenario: str
    subject: str
    where: str
    tried_at: Told | None
    passed_at: Told | None
    valid_until: Told | None
    expired: bool = Field(description="it proves nothing now: it never passed, or that is too long ago")
    due_at: Told | None = Field(description="when it begins by itself; null: when somebody starts it")
    forecast: ForecastTold | None = Field(description="of restores")

    @classmethod
    def of(cls, shown: DrillShown) -> "DrillTold":
        it, forecast = shown.standing, shown.forecast
        return cls(
            key=it.key,
            scenario=it.drill.scenario,
            subject=it.drill.subject,
            where=it.drill.where,
            tried_at=it.tried_at,
            passed_at=it.passed_at,
            valid_until=it.valid_until,
            expired=it.is_expired,
            due_at=it.due_at,
            forecast=None
            if forecast is None
            else ForecastTold(
                samples=forecast.samples,
                now_s=forecast.now_s,
                then_s=forecast.then_s,
                growth_bytes_per_day=forecast.growth_per_day,
                limit_s=None if forecast.limit is None else forecast.limit.total_seconds(),
                breaks_at=forecast.breaks_at,
            ),
        )


class DrillPage(BaseModel):
    """Drills, by key."""

    items: list[DrillTold]
    next: str | None = Field(description="the cursor of the next page; null on the last one")


def _line(leaf: int, it: Evidence, grown: Grown) -> dict[str, Any]:
    same = (
        *("id", "scenario", "drill", "where", "subject", "run", "playbook", "revision", "started_by"),
        *("began_at", "ended_at", "recorded_at", "outcome", "passed", "data_bytes"),
    )
    return {
        **{name: getattr(it, name) for name in same},
        "leaf": leaf,
        "cosigned": grown.cosigned is not None and leaf < grown.cosigned.size,
        "verdict": verdict(it),
        "rpo": MeasureTold.of(it.rpo),
        "rto": MeasureTold.of(it.rto),
        "lost_transactions": it.loss.transactions,
        "lost_entries": it.loss.entries,
    }
