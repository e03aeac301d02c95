"""What the ledger's address answers to claims and readings of counters."""

import json
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
from intake_served import Served, lines

from holdfast.adapters.memory.ledger.completeness import MemoryCompleteness, MemoryCompletenessFold
from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.interfaces.ledger.app import create_ledger_app
from holdfast.interfaces.ledger.callers import Callers
from holdfast.interfaces.ledger.claims import LARGEST_BODY
from holdfast.interfaces.ledger.completeness_figures import by_tenant, over_all
from holdfast.interfaces.ledger.services import Services
from holdfast.ledger.completeness.judging import Judge
from holdfast.ledger.following import Follower

SPOOLER, MFP, READER = ("acme", "spooler"), ("acme", "mfp"), ("acme", "")


@dataclass
class Told:
    """The address, with what is kept of claims and readings."""

    served: Served
    store: MemoryCompleteness
    follower: Follower

    async def tell(self, path: str, body: object, who: tuple[str, str] = SPOOLER) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.served.tokens.get(who, 'none')}"}
        return await self.served.call("POST", path, content=content, headers=headers)

    async def post(self, *seqs: int) -> None:
        assert (await self.served.post(lines(*seqs))).status_code == 200
        await self.follower.round()


@pytest.fixture
async def told() -> Told:
    served = await Served().begin()
    following = MemoryFollowing(served.store, received_at=served.clock.now())
    store = MemoryCompleteness(served.store, following, served.clock.now())
    served.app = create_ledger_app(
        Services(
            clock=served.clock,
            callers=Callers(served.sources, served.clock),
            intake=served.taking,
            logs=served.store,
            published=served.published,
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            key_of=lambda origin: Ed25519Signer(origin, bytes(32)).key,
            on_trouble=served.troubles.append,
            completeness=store,
        )
    )
    return Told(served, store, Follower(following, [MemoryCompletenessFold(store)]))


async def test_a_claim_is_answered_with_what_has_not_come_of_this_source(told: Told) -> None:
    await told.post(1, 2, 5)
    answer = await told.tell("/v1/claims", {"claims": [{"epoch": 1, "highest": 7}]})
    assert answer.status_code == 200
    found = answer.json()
    assert [(each["epoch"], each["first"], each["last"]) for each in found["missing"]] == [
        (1, 3, 4),
        (1, 6, 7),
    ]
    assert found["missing_numbers"] == 4
    # Another source of the tenant hears of its own alone.
    other = await told.tell("/v1/claims", {"claims": [{"epoch": 3, "highest": 0, "lowest": 0}]}, MFP)
    assert [(each["epoch"], each["first"], each["last"]) for each in other.json()["missing"]] == [(3, 0, 0)]

    await told.post(3, 4, 6, 7)
    again = await told.tell("/v1/claims", {"claims": [{"epoch": 1, "highest": 7}]})
    assert again.json() == {"missing": [], "missing_numbers": 0}


READING = {"device": "p-17", "read_at": "2026-11-23T00:00:00Z", "counters": {"sheets": 48211}}


async def test_readings_are_taken_repeated_or_in_conflict(told: Told) -> None:
    both = {**READING, "counters": {"sheets": 48211, "scan_pages": 7}}
    answer = await told.tell("/v1/meters", {"readings": [both]})
    assert answer.json() == {"taken": 2, "repeated": 0, "conflicts": []}
    other = {**READING, "counters": {"sheets": 48212, "scan_pages": 7, "fax_pages": 0}}
    answer = await told.tell("/v1/meters", {"readings": [other]})
    conflict = {"device": "p-17", "counter": "sheets", "read_at": "2026-11-23T00:00:00Z"}
    assert answer.json() == {"taken": 1, "repeated": 1, "conflicts": [conflict]}
    # A stolen token of another source takes nobody's place.
    answer = await told.tell("/v1/meters", {"readings": [other]}, MFP)
    assert answer.json()["taken"] == 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/claims", b"\xff\xfe"),
        ("/v1/claims", b"[" * 100_000),
        ("/v1/claims", {}),
        ("/v1/claims", {"claims": []}),
        ("/v1/claims", {"claims": [{"epoch": 1}]}),
        ("/v1/claims", {"claims": [{"epoch": 1, "highest": -1}]}),
        ("/v1/claims", {"claims": [{"epoch": 1, "highest": 2**53}]}),
        ("/v1/claims", {"claims": [{"epoch": 1, "highest": 2.5}]}),
        ("/v1/claims", {"claims": [{"epoch": 1, "highest": 2, "lowest": 3}]}),
        ("/v1/claims", {"claims": [{"epoch": 1, "highest": 2, "tenant": "other"}]}),
        ("/v1/claims", {"claims": [{"epoch": 1, "highest": 2}] * 1001}),
        ("/v1/meters", {"readings": [{**READING, "counters": {}}]}),
        ("/v1/meters", {"readings": [{**READING, "counters": {"pages": 1}}]}),
        ("/v1/meters", {"readings": [{**READING, "counters": {"sheets": -1}}]}),
        ("/v1/meters", {"readings": [{**READING, "read_at": "2026-11-23T00:00:00"}]}),
        ("/v1/meters", {"readings": [{**READING, "read_at": "2027-11-23T00:00:00Z"}]}),
        ("/v1/meters", {"readings": [READING, {**READING, "device": ""}]}),
    ],
)
async def test_what_cannot_be_read_is_refused_whole_and_says_why(told: Told, path: str, body: object) -> None:
    answer = await told.tell(path, body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert await told.store.tenants() == []


async def test_only_sources_tell(told: Told) -> None:
    claim = {"claims": [{"epoch": 1, "highest": 1}]}
    assert (await told.tell("/v1/claims", claim, READER)).status_code == 403
    assert (await told.tell("/v1/claims", claim, ("acme", "nobody"))).status_code == 401
    assert (await told.tell("/v1/claims", b" " * (LARGEST_BODY + 1))).status_code == 413
    assert await told.store.tenants() == []


async def test_figures_name_tenants_only_for_who_may_read_all(told: Told) -> None:
    await told.post(1, 5)
    now = told.served.clock.now() + timedelta(days=2)
    judge = Judge(told.store, told.served.clock, gap_after=timedelta(days=1))
    told.served.clock.jump_to(now)
    await judge.look()
    statuses = await judge.status()
    named = list(by_tenant(statuses, now))
    assert 'holdfast_ledger_missing_numbers{tenant="acme"} 3' in named
    assert 'holdfast_ledger_concerns{tenant="acme",kind="gap_overdue"} 1' in named
    assert 'holdfast_ledger_oldest_gap_seconds{tenant="acme"} 172800.0' in named
    plain = list(over_all([*statuses, *statuses], now))
    assert "holdfast_ledger_missing_numbers 6" in plain
    assert "holdfast_ledger_oldest_gap_seconds 172800.0" in plain
    assert not any("acme" in each for each in plain)
    assert list(over_all([], now)) == list(by_tenant([], now)) == []
