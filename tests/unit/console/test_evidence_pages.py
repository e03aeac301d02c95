"""Evidence in the console: listed, whole, and as files that prove themselves."""

from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
from desks import ADMIN, PASSWORD, PlainHashing
from tests.recorded import BEGAN, SIGNER, a_remark, an_evidence

from holdfast.adapters.memory.evidence import MemoryEvidence
from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.adapters.vault.aes import AesVault
from holdfast.bootstrap.recovery.evidence_console import pages_over
from holdfast.bootstrap.recovery.sealing import seal_with, shown_by
from holdfast.estate.drills import Drill, EvidenceKeeping
from holdfast.estate.model import Estate, Site
from holdfast.estate.recovery import Recovery
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Role, Terms
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.evidence_pages import SHOWN
from holdfast.kernel.clock import ManualClock
from holdfast.recovery.evidence_ports import Why
from holdfast.recovery.model import RunState

ADDRESS = "http://127.0.0.1:8082"
SEAL = seal_with(SIGNER)


@dataclass
class Shown:
    """A console over a log, with somebody logged in."""

    log: MemoryEvidence
    browser: httpx.AsyncClient


@pytest.fixture
async def shown() -> Shown:
    clock = ManualClock(BEGAN)
    log = MemoryEvidence(clock.now)
    estate = Estate.model_construct(
        recovery=Recovery(
            evidence=EvidenceKeeping(name=SIGNER.key.name),
            drills={"weekly": Drill(scenario="corruption", subject="print", every=timedelta(days=7))},
        ),
        ledger=None,
        agreements={},
        databases={},
        clusters={},
    )
    identity = IdentityDesk(
        MemoryIdentity(),
        AesVault(bytes(32)),
        PlainHashing(),
        clock,
        lambda: Terms(second_factor_required=False),
    )
    app = create_console(
        identity,
        None,  # type: ignore[arg-type]
        AesVault(bytes(32)),
        clock,
        site=Site,
        pages=pages_over(log, clock, lambda: estate).pages(),
    )
    await identity.accounts.add("vera", Role.VIEWER, ADMIN)
    await identity.accounts.set_password("vera", PASSWORD, ADMIN)
    browser = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ADDRESS)  # type: ignore[arg-type]
    opened = await identity.login("vera", PASSWORD, "127.0.0.1")
    browser.cookies.set("hf_session", opened.cookie)
    return Shown(log, browser)


async def test_the_newest_come_first_and_say_how_they_ended(shown: Shown) -> None:
    assert "There is no evidence yet" in (await shown.browser.get("/evidence")).text
    await shown.log.append(an_evidence("r1"), SEAL)
    await shown.log.append(an_evidence("r2", state=RunState.CANCELLED, subject="<i>scan"), SEAL)

    listed = (await shown.browser.get("/evidence")).text

    assert listed.index("<strong>&lt;i&gt;scan") < listed.index("<strong>print</strong>: drill")
    assert "RTO 12.5 s" in listed
    assert listed.count('class="tag bad">cancelled') == 1
    assert "<i>scan" not in listed


async def test_pages_go_back_to_the_first_and_drills_stand_above(shown: Shown) -> None:
    for number in range(SHOWN + 3):
        await shown.log.append(an_evidence(f"r{number}"), SEAL)

    first = (await shown.browser.get("/evidence")).text
    assert 'id="drill-weekly"' in first
    assert "never passed" in first
    assert 'href="/evidence?before=3"' in first
    assert first.count('id="evidence-') == SHOWN
    rest = (await shown.browser.get("/evidence", params={"before": "3"})).text
    assert rest.count('id="evidence-') == 3
    assert 'id="older"' not in rest
    assert 'id="drill-weekly"' not in rest
    assert "There is none before that" in (await shown.browser.get("/evidence?before=0")).text
    for odd in ("x", "-1", "9" * 30, "\u0663"):
        answer = await shown.browser.get("/evidence", params={"before": odd})
        assert (answer.status_code, answer.text.count('id="evidence-')) == (200, SHOWN)


async def test_what_no_witness_vouches_for_is_said(shown: Shown) -> None:
    one = await shown.log.append(an_evidence("r1"), SEAL)
    assert "No witness has cosigned the log" in (await shown.browser.get("/evidence")).text
    await shown.log.keep_cosigned(1, one.note)
    two = await shown.log.append(an_evidence("r2"), SEAL)
    await shown.log.keep_waiting(Why.AWAY, "the witness <is> away")

    listed = (await shown.browser.get("/evidence")).text

    assert 'id="cosigned" class="banner loud"' in listed
    assert "Cosigned up to entry 1; 1 not cosigned since" in listed
    assert "the witness &lt;is&gt; away" in listed
    seen, unseen = [(await shown.browser.get(f"/evidence/{each.id}")).text for each in (one, two)]
    assert "A witness has cosigned the log with this entry in it" in seen
    assert "No witness has cosigned the log with this entry in it" in unseen


async def test_one_whole_with_its_remarks(shown: Shown) -> None:
    kept = await shown.log.append(
        an_evidence(
            "r1", found={"invariant.orders": "fails: <b>none", "loss": "nothing\nat all", "rto_s": "5"}
        ),
        SEAL,
    )
    await shown.log.append(a_remark(kept.id, "the disk was <changed>"), SEAL)

    text = (await shown.browser.get(f"/evidence/{kept.id}")).text

    for told in (
        "30 min",
        "unknown",
        "&lt;b&gt;none",
        "the disk was &lt;changed&gt;",
        "Leaf 0",
        "by ben",
        "ada",
    ):
        assert told in text, told
    assert "<b>none" not in text


async def test_the_files_are_for_people_and_for_proof(shown: Shown) -> None:
    kept = await shown.log.append(an_evidence("r1"), SEAL)
    await shown.log.append(a_remark(kept.id), SEAL)

    json, pdf = [await shown.browser.get(f"/evidence/{kept.id}/file.{each}") for each in ("json", "pdf")]

    told = shown_by(json.content, [SIGNER.key], verifies)
    assert [leaf for leaf, _ in told.entries] == [0, 1]
    assert json.headers["content-disposition"] == f'attachment; filename="evidence-{kept.id}.json"'
    assert pdf.content.startswith(b"%PDF-")
    assert pdf.headers["content-type"] == "application/pdf"


@pytest.mark.parametrize(
    "path", ["/evidence/nothing", "/evidence/nothing/file.pdf", "/evidence/nothing/file.exe"]
)
async def test_what_is_not_there_is_404(shown: Shown, path: str) -> None:
    assert (await shown.browser.get(path)).status_code == 404


async def test_a_remark_is_no_evidence_and_strangers_see_nothing(shown: Shown) -> None:
    kept = await shown.log.append(an_evidence("r1"), SEAL)
    remark = await shown.log.append(a_remark(kept.id), SEAL)
    assert (await shown.browser.get(f"/evidence/{remark.id}")).status_code == 404

    shown.browser.cookies.clear()
    for path in ("/evidence", f"/evidence/{kept.id}", f"/evidence/{kept.id}/file.json"):
        answer = await shown.browser.get(path)
        assert answer.status_code != 200
        assert "print" not in answer.text
