"""`/ledger`: entries by page and as a file, traces, and who read them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from rest_served import NOW, Served

from holdfast.adapters.memory.ledger.finding import MemoryAccessTrail, MemoryFindings
from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.adapters.memory.ledger.logs import MemoryLogs, MemoryPublished
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.identity.model import Right
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.find.jobs import JobsDesk, Room
from holdfast.ledger.find.tracing import Tracer
from holdfast.ledger.log.proof import Proof
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Correction, Kind, Prepared, Record, Status

SIGNER = Ed25519Signer("ledger.example/acme", bytes(32))


def record(seq: int, **told: object) -> Record:
    usual: dict[str, object] = {
        "epoch": 1,
        "job": f"job-{seq}",
        "kind": Kind.PRINT,
        "occurred_at": NOW + timedelta(seconds=seq),
        "seq": seq,
        "source": "prints",
        "status": Status.COMPLETED,
        "tenant": "acme",
    }
    return Record(**{**usual, **told})  # type: ignore[arg-type]


RECORDS = [
    *(record(n, user=f"user-{n % 3}", kind=Kind.SCAN if n == 50 else Kind.PRINT) for n in range(120)),
    record(120, user="user-9", corrects=Correction(actor="ops", leaf=3, reason="counted twice")),
]


@pytest.fixture
async def ledgered(served: Served) -> Served:
    """The API over a ledger in memory with RECORDS."""
    store = MemoryLogs(ZstdSegments())
    trail = MemoryAccessTrail(served.clock)
    room = Room(store, MemoryFindings(store, MemoryFollowing(store)), trail, MemoryPublished())
    line = Sequencer(
        store,
        ZstdSegments(),
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda _: SIGNER,
    )
    leaves = [leaf_of(each) for each in RECORDS]
    columns = zip(*((each.source, each.epoch, each.seq) for each in RECORDS), strict=True)
    await line.append([Prepared("acme", leaves, leaf_hashes(leaves), numbered(*map(list, columns)))])
    served.app.state.services = replace(
        served.app.state.services,
        jobs=JobsDesk(lambda _: room),
        tracer=Tracer(lambda _: room, verifies, lambda _: SIGNER.key),
    )
    return served


async def listed(client: Any, **query: object) -> list[int]:
    found, cursor = list[int](), None
    while True:
        asked = {"tenant": "acme", **query, **({"cursor": cursor} if cursor else {})}
        answer = await client.get("/ledger/jobs", params=asked)
        assert answer.status_code == 200, answer.text
        found += [each["leaf"] for each in answer.json()["items"]]
        cursor = answer.json()["next"]
        if cursor is None:
            return found


async def test_jobs_in_pages_by_every_filter(ledgered: Served) -> None:
    async with await ledgered.client(Right.LEDGER) as client:
        assert await listed(client, limit=7) == list(range(121))[::-1]
        assert await listed(client, user=["user-1", "user-9"], limit=50) == [120, *range(118, 0, -3)]
        assert await listed(client, kind="scan") == [50]
        since = (NOW + timedelta(seconds=118)).isoformat().replace("+00:00", "Z")
        assert await listed(client, since=since) == [120, 119, 118]
        assert await listed(client, what="correction") == [120]
        assert await listed(client, cost_centre="", limit=100, status="failed") == []


async def test_a_correction_comes_with_what_it_corrects(ledgered: Served) -> None:
    async with await ledgered.client(Right.LEDGER) as client:
        items = (
            await client.get("/ledger/jobs", params={"tenant": "acme", "job": ["job-3", "job-120"]})
        ).json()["items"]
    new, old = items
    assert (new["standing"], new["original"]["job"], new["entry"]["corrects"]["leaf"]) == (
        "counts",
        "job-3",
        3,
    )
    assert (old["standing"], old["corrected_by"], old["original"]) == ("corrected", 120, None)


async def test_a_file_has_all_of_it(ledgered: Served) -> None:
    async with await ledgered.client(Right.LEDGER) as client:
        asked = {"tenant": "acme", "format": "ndjson"}
        answer = await client.get("/ledger/jobs/export", params=asked)
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["content-disposition"] == 'attachment; filename="jobs-acme.ndjson"'
        lines = answer.content.splitlines()
        assert len(lines) == 121
        assert leaf_of(RECORDS[119]) in lines[1]
        as_csv = await client.get("/ledger/jobs/export", params={"tenant": "acme", "columns": "leaf,job"})
        assert as_csv.text.splitlines()[:2] == ["leaf,job", "120,job-120"]
        assert (
            await client.get("/ledger/jobs/export", params={"tenant": "acme", "columns": "x"})
        ).status_code == 422
        assert (await client.get("/ledger/jobs/export", params={"tenant": "none"})).status_code == 404


async def test_a_trace_has_a_proof_that_anybody_can_check(ledgered: Served) -> None:
    async with await ledgered.client(Right.LEDGER) as client:
        trace = (await client.get("/ledger/trace", params={"tenant": "acme", "job": "job-3"})).json()
        assert [each["job"]["leaf"] for each in trace["entries"]] == [3, 120]
        for each in trace["entries"]:
            proof = Proof.parsed(each["proof"]["proof"])
            proof.verify(leaf_of(RECORDS[each["job"]["leaf"]]), SIGNER.key, verifies)
        for wrong in ({}, {"leaf": 1, "job": "x"}):
            assert (await client.get("/ledger/trace", params={"tenant": "acme", **wrong})).status_code == 422
        assert (await client.get("/ledger/trace", params={"tenant": "acme", "leaf": 121})).status_code == 404


async def test_who_read_is_told_to_auditors(ledgered: Served) -> None:
    async with await ledgered.client(Right.LEDGER) as client:
        await client.get("/ledger/jobs", params={"tenant": "acme", "user": "user-2", "limit": 3})
        assert (await client.get("/ledger/accesses", params={"tenant": "acme"})).status_code == 403
        trace = (await client.get("/ledger/trace", params={"tenant": "acme", "leaf": 116})).json()
    assert [(each["access"]["act"], each["leaves"]) for each in trace["seen_by"]] == [("read", [116])]
    async with await ledgered.client(Right.AUDIT) as auditor:
        items = (await auditor.get("/ledger/accesses", params={"tenant": "acme", "limit": 1})).json()
        assert items["items"][0]["act"] == "trace"
        older = await auditor.get("/ledger/accesses", params={"tenant": "acme", "cursor": items["next"]})
        [line] = older.json()["items"]
    assert (line["act"], line["way"], line["entries"]) == ("read", "api", 3)
    assert line["asked"] == {"user": ["user-2"], "what": ["correction", "record"]}


@pytest.mark.parametrize("path", ["jobs", "jobs/export", "trace"])
async def test_reading_entries_needs_a_scope_of_its_own(ledgered: Served, path: str) -> None:
    async with await ledgered.client(Right.READ, Right.OPERATE, Right.AUDIT) as client:
        assert (await client.get(f"/ledger/{path}", params={"tenant": "acme", "leaf": 0})).status_code == 403


async def test_an_estate_without_a_ledger_says_so(served: Served) -> None:
    async with await served.client() as client:
        answer = await client.get("/ledger/jobs", params={"tenant": "acme"})
    assert answer.status_code == 404
    assert "no ledger" in answer.json()["detail"]
