"""Runs that are over, and what is made of them, for the tests of evidence."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.recovery.evidence import Evidence, Remark, remark_id
from holdfast.recovery.gathering import RECORDING, Terms, evidence_of
from holdfast.recovery.model import Approval, Did, Gate, Playbook, Record, Run, RunState, Step

BEGAN = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
ORIGIN = "ledger.example/evidence"
SIGNER = Ed25519Signer(ORIGIN, bytes(range(32)))
TERMS = Terms(
    rpo_target=timedelta(seconds=5),
    rto_target=timedelta(minutes=1),
    rpo_contract=timedelta(minutes=1),
    rto_contract=timedelta(minutes=30),
)
FOUND: Mapping[str, str] = {
    "what": "print: a copy out of region a",
    "data_bytes": "1048576",
    "rpo_s": "1.25",
    "rto_s": "12.5",
    "lost_transactions": "0",
    "lost_entries": "unknown",
    "loss": "nothing",
    "invariant.jobs have owners": "holds",
    "phase.fetch": "3.5",
    "odd": "7",
}


def a_run(
    id: str = "r1",  # noqa: A002
    *,
    name: str = "drill-restore",
    found: Mapping[str, str] = FOUND,
    state: RunState = RunState.DONE,
    given: Mapping[str, str] | None = None,
    subject: str = "print",
    at: datetime = BEGAN,
) -> Run:
    """A gate, a step that found something, and the step that records."""
    ended = at + timedelta(seconds=20)
    steps = [
        Gate(name="allow", title="Somebody allows it", roles=["operator"]),
        Step(name="restore", title="Restore a copy", action="drill.restore"),
        Step(name="record", title="Record it", action=RECORDING),
    ]
    records = {
        "allow": Record(did=Did.DONE, began=at, ended=at, approvals=[Approval("ada", at)]),
        "restore": Record(did=Did.DONE, began=at, ended=ended, attempts=2, found=found, told="well"),
        "record": Record(did=Did.RUNNING, began=ended),
    }
    return Run(
        id=id,
        playbook=Playbook(name=name, title="A drill", stages=steps, revision=3),
        subject=subject,
        given=given or {},
        started_by="ben",
        started_at=at,
        state=state,
        records=records,
        ended_at=ended if state.is_over else None,
    )


def an_evidence(id: str = "r1", **kwargs: object) -> Evidence:  # noqa: A002
    run = a_run(id, **kwargs)  # type: ignore[arg-type]
    return evidence_of(run, TERMS, run.started_at + timedelta(seconds=30), version="0.1.0")


def a_remark(about: str, text: str = "the disk was changed", who: str = "ada") -> Remark:
    return Remark(
        id=remark_id(about, who, text), about=about, who=who, at=BEGAN + timedelta(hours=1), text=text
    )
