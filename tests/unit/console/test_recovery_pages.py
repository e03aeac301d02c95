"""The console's pages of recovery: what is shown, to whom, and what each may do."""

import re

import httpx
import pytest
from desks import ADMIN, NOW, PASSWORD, PlainHashing

from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.vault.aes import AesVault
from holdfast.estate.communication import Console
from holdfast.estate.model import Site
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Role, Terms
from holdfast.identity.sessions import csrf_of
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.guard import POLICY
from holdfast.interfaces.console.recovery_pages import RecoveryPages
from holdfast.kernel.clock import ManualClock
from holdfast.recovery.model import RunState
from rehearsed import Rehearsed

ADDRESS = "http://127.0.0.1:8082"


class Somebody:
    """At a browser of their own."""

    def __init__(self, name: str, browser: httpx.AsyncClient) -> None:
        self.name = name
        self.browser = browser

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self.browser.get(path, params=query)

    async def post(self, path: str, **fields: str) -> httpx.Response:
        csrf = csrf_of(self.browser.cookies["hf_session"])
        fields = {name.replace("_", "-"): text for name, text in fields.items()}
        return await self.browser.post(path, data={"csrf": csrf, **fields})

    async def step(self, run_id: str, do: str, **fields: str) -> httpx.Response:
        return await self.post(f"/recovery/runs/{run_id}/step", do=do, **fields)


class RecoveryConsole:
    def __init__(self) -> None:
        self.rehearsed = Rehearsed()
        self._identity = IdentityDesk(
            MemoryIdentity(),
            AesVault(bytes(32)),
            PlainHashing(),
            ManualClock(NOW),
            lambda: Terms(second_factor_required=False),
        )
        self.app = create_console(
            self._identity,
            MemoryIdentity(),
            AesVault(bytes(32)),
            ManualClock(NOW),
            settings=lambda: Console(listen="127.0.0.1:8082"),
            site=lambda: Site(url="https://status.example.com"),
            pages=RecoveryPages(self.rehearsed.desk).pages(),
        )

    async def login(self, name: str, role: Role) -> Somebody:
        await self._identity.accounts.add(name, role, ADMIN)
        await self._identity.accounts.set_password(name, PASSWORD, ADMIN)
        browser = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=ADDRESS)
        browser.cookies.set("hf_session", (await self._identity.login(name, PASSWORD, "127.0.0.1")).cookie)
        browser.headers["origin"] = ADDRESS
        return Somebody(name, browser)


@pytest.fixture
def console() -> RecoveryConsole:
    return RecoveryConsole()


async def test_runs_and_playbooks_are_listed(console: RecoveryConsole) -> None:
    viewer = await console.login("vic", Role.VIEWER)
    empty = (await viewer.get("/recovery")).text
    assert "No run is under way." in empty
    assert "Rehearse a run" in empty
    assert "cannot be run" in empty
    run = await console.rehearsed.start()
    await console.rehearsed.drive(run.id)

    shown = (await viewer.get("/recovery")).text
    assert f"/recovery/runs/{run.id}" in shown
    assert "Move &lt;eu&gt;: eu" in shown
    assert "waits for people" in shown
    assert "Move <eu>" not in shown


async def test_a_run_is_shown_and_what_steps_said_is_text(console: RecoveryConsole) -> None:
    viewer = await console.login("vic", Role.VIEWER)
    run = await console.rehearsed.start()
    await console.rehearsed.through(run.id, fails={"left"})
    shown = await viewer.get(f"/recovery/runs/{run.id}")
    assert shown.status_code == 200
    assert "It &lt;i&gt;broke" in shown.text
    assert "&lt;look&gt;" in shown.text
    assert "<i>broke" not in shown.text
    assert not re.search(r"\son\w+=|style=", shown.text)
    assert 'value="cancel"' not in shown.text
    for nobody in ("nobodyknows1", "%00", "x%0ay", "%22%3E"):
        assert (await viewer.get(f"/recovery/runs/{nobody}")).status_code == 404, nobody


async def test_only_pages_that_change_have_the_script_and_only_that_one(console: RecoveryConsole) -> None:
    viewer = await console.login("vic", Role.VIEWER)
    run = await console.rehearsed.start("harmless")
    live = await viewer.get(f"/recovery/runs/{run.id}")
    (script,) = re.findall(r'<script src="([^"]+)" defer></script>', live.text)
    assert live.headers["content-security-policy"] == f"{POLICY}; script-src 'self'; connect-src 'self'"
    answer = await viewer.get(script)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    await console.rehearsed.drive(run.id)
    over = await viewer.get(f"/recovery/runs/{run.id}")
    assert "<script" not in over.text
    assert over.headers["content-security-policy"] == POLICY
    book = await viewer.get("/recovery/playbooks/moving")
    assert "<script" not in book.text


async def test_a_commander_starts_what_moves_traffic_once_and_writes_down_what(
    console: RecoveryConsole,
) -> None:
    cora = await console.login("cora", Role.COMMANDER)
    book = await cora.get("/recovery/playbooks/moving")
    (key,) = re.findall(r'name="key" value="([0-9a-f]{32})"', book.text)
    fields = {"key": key, "subject": "eu", "given_why": "smoke & fire"}

    unsure = await cora.post("/recovery/playbooks/moving", **fields, sure="usa")
    assert unsure.status_code == 422
    assert "Nothing was started" in unsure.text
    assert 'value="smoke &amp; fire"' in unsure.text
    assert f'value="{key}"' in unsure.text
    elsewhere = await cora.post("/recovery/playbooks/moving", **{**fields, "subject": "ue"}, sure="ue")
    assert "has no cluster" in elsewhere.text
    assert await console.rehearsed.runs.newest(9) == []

    started = await cora.post("/recovery/playbooks/moving", **fields, sure="eu")
    again = await cora.post("/recovery/playbooks/moving", **fields, sure="eu")
    assert started.status_code == again.status_code == 303
    (run,) = await console.rehearsed.runs.newest(9)
    assert started.headers["location"] == again.headers["location"] == f"/recovery/runs/{run.id}"
    assert (run.started_by, run.subject, dict(run.given)) == (
        "cora",
        "eu",
        {"to": "there", "why": "smoke & fire"},
    )
    other = await cora.post("/recovery/playbooks/moving", **{**fields, "key": "x"}, sure="eu")
    assert "moves the traffic" in other.text


@pytest.mark.parametrize(
    ("role", "moving", "harmless"),
    [
        (Role.VIEWER, 403, 403),
        (Role.COMMUNICATOR, 403, 403),
        (Role.OPERATOR, 403, 303),
        (Role.COMMANDER, 303, 303),
        (Role.ADMIN, 303, 303),
    ],
)
async def test_roles_say_who_starts_what(
    console: RecoveryConsole, role: Role, moving: int, harmless: int
) -> None:
    somebody = await console.login("sam", role)
    fields = {"subject": "eu", "sure": "eu", "given_why": "x"}
    for name, status in (("moving", moving), ("harmless", harmless)):
        assert (await somebody.post(f"/recovery/playbooks/{name}", **fields)).status_code == status
        offered = 'name="subject"' in (await somebody.get(f"/recovery/playbooks/{name}")).text
        assert offered == (status == 303)
    assert len(await console.rehearsed.runs.newest(9)) == (moving == 303) + (harmless == 303)


async def test_a_gate_takes_other_people_each_once(console: RecoveryConsole) -> None:
    cora, ops = await console.login("cora", Role.COMMANDER), await console.login("ops", Role.OPERATOR)
    viewer = await console.login("vic", Role.VIEWER)
    run = await console.rehearsed.start(by="cora")
    await console.rehearsed.drive(run.id)

    assert "whoever started the run cannot approve it" in (await cora.get(f"/recovery/runs/{run.id}")).text
    own = await cora.step(run.id, "approve", gate="agree")
    assert own.status_code == 409
    assert (await viewer.step(run.id, "approve", gate="agree")).status_code == 409
    assert 'value="approve"' in (await ops.get(f"/recovery/runs/{run.id}")).text
    assert (await ops.step(run.id, "approve", gate="agree")).status_code == 303
    after = (await ops.get(f"/recovery/runs/{run.id}")).text
    assert "you have approved it" in after
    assert (await ops.step(run.id, "approve", gate="agree")).status_code == 303
    held = await console.rehearsed.runs.get(run.id)
    assert [each.who for each in held.run.records["agree"].approvals] == ["ops"]
    assert (await ops.step(run.id, "approve", gate="nothing")).status_code == 409
    assert [(note.actor, note.event) for _, note in console.rehearsed.runs.notes if note.actor != "test"] == [
        ("cora", "run.started"),
        ("ops", "run.approved"),
    ]


async def test_a_run_is_cancelled_and_resumed_by_who_may(console: RecoveryConsole) -> None:
    cora, ops = await console.login("cora", Role.COMMANDER), await console.login("ops", Role.OPERATOR)
    run = await console.rehearsed.start(by="ada")
    await console.rehearsed.drive(run.id)
    assert (await ops.step(run.id, "cancel")).status_code == 403
    assert 'value="cancel"' not in (await ops.get(f"/recovery/runs/{run.id}")).text
    assert (await cora.step(run.id, "cancel")).status_code == 303
    view = await console.rehearsed.drive(run.id)
    assert view.run.state is RunState.CANCELLED
    assert (await cora.step(run.id, "cancel")).status_code == 409

    harmless = await console.rehearsed.start("harmless")
    view = await console.rehearsed.drive(harmless.id, fails={"two", "undo one"})
    for _ in range(3):
        console.rehearsed.clock.advance(60)
        view = await console.rehearsed.drive(harmless.id, fails={"undo one"})
    assert view.run.state is RunState.NEEDS_OPERATOR
    page = (await ops.get(f"/recovery/runs/{harmless.id}")).text
    assert 'value="retry"' in page
    assert (await ops.step(harmless.id, "by-hand")).status_code == 303
    assert (await console.rehearsed.drive(harmless.id)).run.state is RunState.CANCELLED


async def test_past_its_point_of_no_return_a_cancel_is_noted(console: RecoveryConsole) -> None:
    cora = await console.login("cora", Role.COMMANDER)
    run = await console.rehearsed.start()
    await console.rehearsed.through(run.id, up_to="promote")
    assert (await cora.step(run.id, "cancel")).status_code == 303
    shown = (await cora.get(f"/recovery/runs/{run.id}")).text
    assert "cora asked for a cancel. It is past its point of no return" in shown
    assert 'value="cancel"' not in shown


async def test_what_no_button_says_and_what_comes_from_elsewhere_is_refused(console: RecoveryConsole) -> None:
    cora = await console.login("cora", Role.COMMANDER)
    run = await console.rehearsed.start()
    assert (await cora.step(run.id, "explode")).status_code == 409
    forged = await cora.browser.post(f"/recovery/runs/{run.id}/step", data={"do": "cancel"})
    assert forged.status_code == 403
    cora.browser.headers["origin"] = "https://evil.example.com"
    assert (await cora.step(run.id, "cancel")).status_code == 403
    assert (await console.rehearsed.runs.get(run.id)).run.state is RunState.RUNNING


async def test_a_runbook_is_plain_text_for_a_printer(console: RecoveryConsole) -> None:
    viewer = await console.login("vic", Role.VIEWER)
    answer = await viewer.get("/recovery/playbooks/moving/runbook", **{"for": "eu"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == "# moving for eu\n"
    assert (await viewer.get("/recovery/playbooks/wrong")).status_code == 400
    assert (await viewer.get("/recovery/playbooks/nothing")).status_code == 404
