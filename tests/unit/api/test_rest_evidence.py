"""Evidence and drills over the API: in pages, whole, and as files that prove themselves."""

from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest
from rest_served import Served
from tests.recorded import BEGAN, ORIGIN, SIGNER, a_remark, an_evidence

from holdfast.adapters.memory.evidence import MemoryEvidence
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.recovery.evidence_console import LogDesk
from holdfast.bootstrap.recovery.sealing import seal_with, shown_by
from holdfast.estate.drills import Drill, EvidenceKeeping
from holdfast.estate.model import Estate
from holdfast.estate.recovery import Recovery
from holdfast.identity.model import Right
from holdfast.kernel.clock import ManualClock
from holdfast.recovery.evidence_ports import Why
from holdfast.recovery.model import RunState

SEAL = seal_with(SIGNER)


@dataclass
class Told:
    """The log that the API tells of, and its clock."""

    log: MemoryEvidence
    clock: ManualClock


@pytest.fixture
def told(served: Served) -> Told:
    clock = ManualClock(BEGAN)
    log = MemoryEvidence(clock.now)
    drills = {
        "weekly": Drill(scenario="restore", subject="print", every=timedelta(days=7)),
        "by-hand": Drill(scenario="corruption", subject="print"),
        "away": Drill(scenario="region-outage", subject="eu", where="lab"),
    }
    estate = Estate.model_construct(
        recovery=Recovery(evidence=EvidenceKeeping(name=ORIGIN), drills=drills),
        ledger=None,
        agreements={},
        databases={},
        clusters={},
    )
    desk = LogDesk(log, clock, lambda: estate)
    served.app.state.services = replace(served.app.state.services, evidence=desk)
    return Told(log, clock)


async def test_evidence_comes_in_pages_the_newest_first(api: httpx.AsyncClient, told: Told) -> None:
    for number in range(5):
        kept = await told.log.append(
            an_evidence(f"r{number}", subject="scan" if number == 3 else "print"), SEAL
        )
        await told.log.append(a_remark(kept.id), SEAL)

    leaves, cursor = [], None
    for _ in range(3):
        asked = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await api.get("/evidence", params=asked)).json()
        leaves += [each["leaf"] for each in page["items"]]
        cursor = page["next"]
    assert (leaves, cursor) == ([8, 6, 4, 2, 0], None)

    some = (await api.get("/evidence", params={"subject": "scan", "scenario": "restore"})).json()
    assert [each["leaf"] for each in some["items"]] == [6]
    [it] = some["items"]
    assert (it["subject"], it["passed"], it["verdict"], it["cosigned"]) == ("scan", True, "passed", False)
    assert it["rto"] == {"target_ms": 60_000, "contract_ms": 1_800_000, "measured_ms": 12_500, "met": True}
    assert (it["lost_transactions"], it["lost_entries"]) == (0, None)
    assert it["began_at"] == "2026-11-23T04:00:00Z"
    assert (await api.get("/evidence", params={"scenario": "corruption"})).json()["items"] == []
    for wrong in ({"cursor": "bm90aGluZw"}, {"limit": "0"}, {"subject": "../x"}, {"colour": "red"}):
        assert (await api.get("/evidence", params=wrong)).status_code == 422, wrong


async def test_how_far_a_witness_vouches_is_told_with_each_page(api: httpx.AsyncClient, told: Told) -> None:
    assert (await api.get("/evidence")).json()["log"] == {
        "size": 0,
        "cosigned": 0,
        "cosigned_at": None,
        "not_cosigned_since": None,
        "waits": None,
    }
    await told.log.append(an_evidence("r1"), SEAL)
    await told.log.keep_cosigned(1, "a note")
    told.clock.advance(60)
    await told.log.append(an_evidence("r2"), SEAL)
    await told.log.keep_waiting(Why.AWAY, "no answer")

    page = (await api.get("/evidence")).json()

    assert page["log"] == {
        "size": 2,
        "cosigned": 1,
        "cosigned_at": "2026-11-23T04:00:00Z",
        "not_cosigned_since": "2026-11-23T04:01:00Z",
        "waits": {"reason": "witness_away", "text": "no answer", "since": "2026-11-23T04:01:00Z"},
    }
    assert [each["cosigned"] for each in page["items"]] == [False, True]


async def test_one_whole_with_its_remarks_and_its_file(api: httpx.AsyncClient, told: Told) -> None:
    await told.log.append(an_evidence("r0"), SEAL)
    kept = await told.log.append(an_evidence("r1", state=RunState.CANCELLED), SEAL)
    await told.log.append(a_remark(kept.id), SEAL)

    it = (await api.get(f"/evidence/{kept.id}")).json()

    assert (it["id"], it["outcome"], it["passed"], it["loss"]) == (kept.id, "cancelled", False, "nothing")
    assert [(each["who"], each["text"], each["leaf"]) for each in it["remarks"]] == [
        ("ada", "the disk was changed", 2)
    ]
    assert it["approvals"] == [{"gate": "allow", "who": "ada", "at": "2026-11-23T04:00:00Z"}]
    assert {"name": "jobs have owners", "holds": "holds", "detail": ""} in it["invariants"]
    assert any(each["name"] == "fetch" and each["within"] == "restore" for each in it["phases"])

    file = await api.get(f"/evidence/{kept.id}/bundle")
    assert file.headers["content-disposition"] == f'attachment; filename="evidence-{kept.id}.json"'
    assert [leaf for leaf, _ in shown_by(file.content, [SIGNER.key], verifies).entries] == [1, 2]
    whole = await api.get("/evidence/bundle")
    assert [leaf for leaf, _ in shown_by(whole.content, [SIGNER.key], verifies).entries] == [0, 1, 2]


async def test_evidence_and_drills_that_are_not_there_are_404(api: httpx.AsyncClient, told: Told) -> None:
    assert (await api.get("/evidence/bundle")).status_code == 404
    kept = await told.log.append(an_evidence("r1"), SEAL)
    remark = await told.log.append(a_remark(kept.id), SEAL)
    for path in ("/evidence/nothing00000", f"/evidence/{remark.id}", f"/evidence/{remark.id}/bundle"):
        assert (await api.get(path)).status_code == 404, path
    assert (await api.get("/drills/nothing")).status_code == 404
    assert (await api.get("/evidence/UPPER")).status_code == 404


async def test_drills_tell_what_they_prove(api: httpx.AsyncClient, told: Told) -> None:
    await told.log.append(an_evidence("r1"), SEAL)
    told.clock.advance(timedelta(days=8).total_seconds())

    first = (await api.get("/drills", params={"limit": "2"})).json()
    rest = (await api.get("/drills", params={"limit": "2", "cursor": first["next"]})).json()

    assert [each["key"] for each in first["items"] + rest["items"]] == ["away", "by-hand", "weekly"]
    assert rest["next"] is None
    weekly = (await api.get("/drills/weekly")).json()
    assert weekly == rest["items"][0]
    assert (weekly["expired"], weekly["passed_at"]) == (False, "2026-11-23T04:00:20Z")
    assert weekly["due_at"] == "2026-11-30T04:00:00Z"
    assert weekly["forecast"]["samples"] == 1
    by_hand = first["items"][1]
    assert (by_hand["expired"], by_hand["due_at"], by_hand["forecast"]) == (True, None, None)


async def test_it_takes_the_scope_read(served: Served, told: Told) -> None:
    kept = await told.log.append(an_evidence("r1"), SEAL)
    paths = [
        "/evidence",
        f"/evidence/{kept.id}",
        f"/evidence/{kept.id}/bundle",
        "/evidence/bundle",
        "/drills",
    ]
    async with await served.client(Right.READ) as reader:
        assert [(await reader.get(path)).status_code for path in paths] == [200] * len(paths)
    async with await served.client(Right.LEDGER) as other:
        assert [(await other.get(path)).status_code for path in paths] == [403] * len(paths)
    async with served.stranger() as nobody:
        assert [(await nobody.get(path)).status_code for path in paths] == [401] * len(paths)


async def test_where_there_is_no_recovery_there_is_no_evidence(api: httpx.AsyncClient) -> None:
    for path in ("/evidence", "/drills", "/evidence/bundle"):
        assert (await api.get(path)).status_code == 404
