"""Runs over the API: started once, followed, cancelled; and no token approves a gate."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from rest_served import Served

from holdfast.identity.model import Right
from holdfast.recovery.model import RunState
from rehearsed import Rehearsed

MOVE = {"playbook": "moving", "subject": "eu", "given": {"why": "smoke"}}
COMMANDS = (Right.READ, Right.OPERATE, Right.COMMAND)


@pytest.fixture
def rehearsed(served: Served) -> Rehearsed:
    rehearsed = Rehearsed()
    served.app.state.services = replace(served.app.state.services, runs=rehearsed.desk)
    return rehearsed


@pytest.fixture
async def commander(served: Served, rehearsed: Rehearsed) -> AsyncIterator[httpx.AsyncClient]:
    async with await served.client(*COMMANDS) as client:
        yield client


async def test_a_run_is_started_and_followed(commander: httpx.AsyncClient, rehearsed: Rehearsed) -> None:
    answer = await commander.post("/runs", json=MOVE)
    assert answer.status_code == 201, answer.text
    started = answer.json()
    assert answer.headers["location"] == f"/api/v1/runs/{started['id']}"
    assert (started["state"], started["given"]) == ("running", {"to": "there", "why": "smoke"})

    await rehearsed.drive(started["id"])
    run = (await commander.get(f"/runs/{started['id']}")).json()
    assert run["waits_at"] == "agree"
    assert [each["state"] for each in run["stages"]][:2] == ["done", "waits for people"]
    assert run["started_at"] == "2026-11-23T03:00:00Z"
    listed = (await commander.get("/runs", params={"state": "active"})).json()["items"]
    assert [each["id"] for each in listed] == [started["id"]]
    assert (await commander.get("/runs", params={"state": "over"})).json() == {"items": [], "next": None}


async def test_runs_come_in_pages_however_many_there_are(
    commander: httpx.AsyncClient, rehearsed: Rehearsed
) -> None:
    started = [(await rehearsed.start("harmless")).id for _ in range(205)]

    found, cursor = list[str](), None
    while True:
        asked = {"limit": "100", **({"cursor": cursor} if cursor else {})}
        page = (await commander.get("/runs", params=asked)).json()
        found += [each["id"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == started[::-1]
    over = (await commander.get("/runs", params={"state": "over", "limit": "1"})).json()
    assert over == {"items": [], "next": None}
    assert (await commander.get("/runs", params={"cursor": "x"})).status_code == 422


async def test_the_same_request_with_its_key_starts_one_run(
    commander: httpx.AsyncClient, rehearsed: Rehearsed
) -> None:
    headers = {"idempotency-key": "0b1f9c2e-6a57"}
    first, second = [await commander.post("/runs", json=MOVE, headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    other = await commander.post("/runs", json={**MOVE, "given": {"why": "x"}}, headers=headers)
    assert other.status_code == 409
    assert len(await rehearsed.runs.newest(9)) == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"playbook": "nothing", "subject": "eu"}, 404, "there is no playbook"),
        ({"playbook": "wrong", "subject": "eu"}, 422, "is wrong"),
        ({"playbook": "moving", "subject": "usa", "given": {"why": "x"}}, 404, "no cluster"),
        ({"playbook": "moving", "subject": "eu"}, 422, "must be given why"),
        (
            {"playbook": "moving", "subject": "eu", "given": {"why": "x", "zzz": "y"}},
            422,
            "does not take zzz",
        ),
        ({"playbook": "moving", "subject": "eu", "given": {"why": "x\ny"}}, 422, "control character"),
        ({"playbook": "../moving", "subject": "eu"}, 422, ""),
        ({"playbook": "moving", "subject": "eu", "who": "me"}, 422, ""),
    ],
)
async def test_what_cannot_be_started_is_said(
    commander: httpx.AsyncClient, rehearsed: Rehearsed, body: dict[str, object], status: int, said: str
) -> None:
    answer = await commander.post("/runs", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.text
    assert await rehearsed.runs.newest(9) == []


async def test_two_failovers_of_one_cluster_are_a_conflict(
    commander: httpx.AsyncClient, rehearsed: Rehearsed
) -> None:
    await commander.post("/runs", json=MOVE)
    answer = await commander.post("/runs", json=MOVE)
    assert answer.status_code == 409
    assert "moves the traffic" in answer.json()["detail"]


async def test_what_moves_traffic_takes_the_scope_command(served: Served, rehearsed: Rehearsed) -> None:
    run = await rehearsed.start()
    async with await served.client(Right.READ, Right.OPERATE) as operator:
        assert (await operator.post("/runs", json=MOVE)).status_code == 403
        assert (await operator.post(f"/runs/{run.id}/cancel")).status_code == 403
        harmless = await operator.post("/runs", json={"playbook": "harmless", "subject": "anything"})
        assert harmless.status_code == 201
        assert (await operator.post(f"/runs/{harmless.json()['id']}/cancel")).status_code == 200
    async with await served.client(Right.READ) as reader:
        assert (await reader.get(f"/runs/{run.id}")).status_code == 200
        assert (await reader.post("/runs", json=MOVE)).status_code == 403


async def test_no_token_approves_a_gate(commander: httpx.AsyncClient, rehearsed: Rehearsed) -> None:
    run = await rehearsed.start()
    await rehearsed.drive(run.id)
    assert (await commander.post(f"/runs/{run.id}/approve", json={"gate": "agree"})).status_code == 404
    assert not any("approve" in path for path in (await commander.get("/openapi.json")).json()["paths"])


async def test_a_run_is_resumed_and_says_when_it_cannot(
    commander: httpx.AsyncClient, rehearsed: Rehearsed
) -> None:
    run = await rehearsed.start("harmless")
    assert (await commander.post(f"/runs/{run.id}/resume", json={"how": "retry"})).status_code == 409
    view = await rehearsed.drive(run.id, fails={"two", "undo one"})
    for _ in range(3):
        rehearsed.clock.advance(60)
        view = await rehearsed.drive(run.id, fails={"undo one"})
    assert view.run.state is RunState.NEEDS_OPERATOR
    assert (await commander.post(f"/runs/{run.id}/resume", json={"how": "somehow"})).status_code == 422
    answer = await commander.post(f"/runs/{run.id}/resume", json={"how": "by hand"})
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelling")
    assert (await commander.post("/runs/nobodyknows1/cancel")).status_code == 404


async def test_playbooks_are_listed_with_what_is_wrong(
    commander: httpx.AsyncClient, rehearsed: Rehearsed
) -> None:
    items = {each["name"]: each for each in (await commander.get("/playbooks")).json()["items"]}
    assert items["moving"]["takes"] == {"to": "there", "why": None}
    assert items["wrong"]["problems"]
    assert items["rehearsal"]["origin"] == "built in"


async def test_where_there_is_no_recovery_there_are_no_runs(api: httpx.AsyncClient) -> None:
    assert (await api.get("/runs")).status_code == 404
