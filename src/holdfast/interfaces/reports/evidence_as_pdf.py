"""An evidence as PDF, for an auditor: who, when, what, the figures side by side, and where its proof is."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from holdfast.interfaces.evidence_words import counted, kind, lasted, measure_words, size_words, verdict
from holdfast.interfaces.reports.as_pdf import plain, typeset
from holdfast.interfaces.reports.document import Cell, Document, Section, Table, Tile
from holdfast.interfaces.reports.i18n import ReportTranslator
from holdfast.recovery.evidence import Evidence, Holds, Remark

_LOOKS = {"met": "ok", "missed": "mj", Holds.HOLDS: "ok", Holds.FAILS: "mj", Holds.UNKNOWN: "un"}


async def evidence_as_pdf(
    evidence: Evidence, leaf: int, remarks: Sequence[tuple[int, Remark]], checkpoint: str, at: datetime
) -> bytes:
    """The file. `checkpoint` is the log's newest. Raises TypesettingFailed."""
    document = evidence_document(evidence, leaf, remarks, checkpoint, at)
    told = await asyncio.to_thread(plain, document, "en", ReportTranslator("en", ZoneInfo("UTC")))
    return await typeset(json.dumps({"made_at": int(at.timestamp()), "report": told}).encode())


def evidence_document(
    evidence: Evidence, leaf: int, remarks: Sequence[tuple[int, Remark]], checkpoint: str, at: datetime
) -> Document:
    """Laid out, in English; times in UTC."""
    how = verdict(evidence)
    rpo, rto = measure_words(evidence.rpo), measure_words(evidence.rto)
    return Document(
        title=f"Evidence: {evidence.subject}",
        kind=kind(evidence),
        subtitle=f"{evidence.began_at:%F %H:%M} UTC",
        made=f"Made {at:%F %T} UTC by Holdfast. All times in UTC.",
        verdict={"passed": "good", "failed": "bad"}.get(how, "empty"),
        verdict_text=how,
        warning="",
        tiles=[
            Tile("RPO measured", rpo[2]),
            Tile("RTO measured", rto[2]),
            Tile("Data", size_words(evidence.data_bytes)),
            Tile("Verdict", how),
        ],
        sections=list(_sections(evidence, leaf, remarks, checkpoint)),
    )


def _sections(
    evidence: Evidence, leaf: int, remarks: Sequence[tuple[int, Remark]], checkpoint: str
) -> Iterator[Section]:
    yield Section("what", "What was done", facts=list(_facts(evidence)))
    rows = [
        [Cell(name), *(Cell(text) for text in words[:3]), Cell(words[3], _LOOKS.get(words[3], "un"))]
        for name, words in (("RPO", measure_words(evidence.rpo)), ("RTO", measure_words(evidence.rto)))
    ]
    table = Table(["", "Target", "Contract", "Measured", "Contract, else target"], frozenset({1, 2, 3}), rows)
    yield Section("figures", "Promised and measured", table=table)
    yield Section(
        "loss",
        "What was lost",
        notes=evidence.loss.statement.splitlines()[:200],
        facts=[
            ("Transactions", counted(evidence.loss.transactions)),
            ("Ledger entries", counted(evidence.loss.entries)),
        ],
    )
    phases = [
        [
            Cell(("· " if each.within else "") + (each.title or each.name), note=each.told),
            Cell(f"{each.began_at:%F %T}" if each.began_at else ""),
            Cell(lasted(each.lasted_ms)),
            Cell(each.ended, "" if each.ended == "done" else "mj"),
        ]
        for each in evidence.phases
    ]
    yield Section(
        "phases", "Phases", table=Table(["Phase", "Began", "Lasted", "Ended"], frozenset({1, 2}), phases)
    )
    if evidence.invariants:
        held = [
            [Cell(each.name, note=each.detail), Cell(each.holds.value, _LOOKS[each.holds])]
            for each in evidence.invariants
        ]
        yield Section("invariants", "What must be true", table=Table(["", "Found"], frozenset({1}), held))
    if evidence.approvals:
        allowed = [[Cell(each.gate), Cell(each.who), Cell(f"{each.at:%F %T}")] for each in evidence.approvals]
        yield Section("approvals", "Approvals", table=Table(["Gate", "Who", "When"], frozenset(), allowed))
    if evidence.corrective or remarks:
        yield Section(
            "corrective",
            "What is to be done, and what was",
            notes=[
                *([evidence.corrective] if evidence.corrective else []),
                *(f"{each.at:%F %T}, {each.who}: {each.text} (leaf {at})" for at, each in remarks),
            ],
        )
    if evidence.found:
        found = [[Cell(name), Cell(text[:2000])] for name, text in evidence.found.items()]
        yield Section("found", "What steps found besides", table=Table(["Step", "Found"], frozenset(), found))
    lines = [[Cell(line, "hash")] for line in checkpoint.splitlines()]
    yield Section(
        "proof",
        "Where its proof is",
        notes=[
            (
                f"This is leaf {leaf} of the append-only log below. This paper proves nothing by itself: "
                "the JSON export does, for whoever has the log's verifier key."
            ),
        ],
        table=Table(["Newest checkpoint of the log"], frozenset(), lines),
    )


def _facts(evidence: Evidence) -> Iterator[tuple[str, str]]:
    yield "Evidence", evidence.id
    if evidence.what:
        yield "What", evidence.what
    yield "Started by", evidence.started_by
    yield "Began", f"{evidence.began_at:%F %T} UTC"
    yield "Ended", f"{evidence.ended_at:%F %T} UTC" if evidence.ended_at else "was recorded before its end"
    yield "Run", f"{evidence.run}, playbook {evidence.playbook}, revision {evidence.revision}"
    yield "Outcome", evidence.outcome.value + (f": {evidence.why}" if evidence.why else "")
    if evidence.seed is not None:
        yield "Picked at random", f"with the seed {evidence.seed}"
    yield "Recorded by", f"Holdfast {evidence.holdfast}".strip()
