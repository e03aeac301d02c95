"""What `lab break` and `lab heal` do, seen from outside through real sockets."""

import asyncio
import os
import signal

import pytest
from conversation import ask, eventually, say
from running_lab import RunningLab

from holdfast.lab import Damage, LabEvent, PartState, PartStatus, Stage
from holdfast.lab.errors import NotRunningError, UnknownPartError, WrongDamageError
from holdfast.lab.model import WAYS
from holdfast.lab.topology import CLUSTERS


async def status_of(running: RunningLab, name: str) -> PartStatus:
    return next(status for status in await running.again().status() if status.name == name)


async def health(running: RunningLab, cluster: str) -> int:
    return (await ask(running.port(cluster, "api"), "/health")).status


async def test_all_nine_answer(running: RunningLab) -> None:
    for cluster in CLUSTERS:
        website = await ask(running.port(cluster, "website"), "/")
        assert (website.status, "Print queue" in website.text) == (200, True)
        api = await ask(running.port(cluster, "api"), "/health")
        depth = api.json["queue"]["depth"]
        assert api.json == {"ok": True, "cluster": cluster, "database": "ok", "queue": {"depth": depth}}
        assert isinstance(depth, int)
        assert await say(running.port(cluster, "messaging"), b"PING", answers=1) == [
            "PRINTCLOUD/1 ready",
            "PONG",
        ]


async def test_every_part_is_running_once_up(running: RunningLab) -> None:
    statuses = await running.lab.status()
    assert [status.name for status in statuses] == [
        "database",
        *(f"{cluster}-{role}" for cluster in CLUSTERS for role in ("website", "api", "messaging")),
    ]
    assert {status.state for status in statuses} == {PartState.RUNNING}
    assert all(status.pid and status.since for status in statuses)


async def test_up_again_touches_nothing_that_runs(running: RunningLab) -> None:
    before = await running.lab.status()
    assert await running.again().up() == before


@pytest.mark.parametrize("how", [Damage.KILL, Damage.STOP])
async def test_a_broken_api_refuses_connections_until_it_is_healed(running: RunningLab, how: Damage) -> None:
    before = await status_of(running, "eu-api")
    (broken,) = await running.lab.break_("eu-api", how)
    assert (broken.state, broken.pid) == (PartState.BROKEN, None)
    with pytest.raises(ConnectionRefusedError):
        await ask(running.port("eu", "api"), "/health")
    assert await health(running, "eu2") == 200
    assert await running.lab.break_("eu-api", how) == (broken,), "breaking it again changes nothing"

    (healed,) = await running.again().heal("eu-api")
    assert healed.state is PartState.RUNNING
    assert healed.pid != before.pid
    assert await health(running, "eu") == 200


async def test_the_website_shows_its_page_without_the_queue_while_the_api_is_away(
    running: RunningLab,
) -> None:
    await running.lab.break_("usa-api")
    page = await ask(running.port("usa", "website"), "/")
    assert page.status == 200
    assert "Printcloud USA" in page.text
    assert "Print queue" not in page.text
    form = b"owner=ada&title=Invoice&pages=1"
    assert (await ask(running.port("usa", "website"), "/jobs", "POST", form)).status == 503
    await running.lab.heal("usa-api")
    assert "Print queue" in (await ask(running.port("usa", "website"), "/")).text


async def test_a_hanging_api_accepts_connections_and_answers_nobody(running: RunningLab) -> None:
    before = await status_of(running, "eu2-api")
    (hanging,) = await running.lab.break_("eu2-api", Damage.HANG)
    assert (hanging.state, hanging.pid) == (PartState.HANGING, before.pid)
    with pytest.raises(TimeoutError):
        await ask(running.port("eu2", "api"), "/health", timeout_s=0.5)
    (healed,) = await running.again().heal("eu2-api")
    assert (healed.state, healed.pid) == (PartState.RUNNING, before.pid)
    assert await health(running, "eu2") == 200


async def test_a_hanging_part_can_be_killed_and_then_healed(running: RunningLab) -> None:
    await running.lab.break_("eu2-messaging", Damage.HANG)
    (killed,) = await running.lab.break_("eu2-messaging", Damage.KILL)
    assert killed.state is PartState.BROKEN
    await running.lab.heal("eu2-messaging")
    assert (await say(running.port("eu2", "messaging"), answers=0)) == ["PRINTCLOUD/1 ready"]


async def test_a_whole_cluster_breaks_and_heals_by_its_name(running: RunningLab) -> None:
    events: list[LabEvent] = []
    broken = await running.lab.break_("eu", progress=events.append)
    assert [(status.name, status.state) for status in broken] == [
        (f"eu-{role}", PartState.BROKEN) for role in ("website", "api", "messaging")
    ]
    assert [event.done for event in events if event.stage is Stage.BROKEN] == [1, 2, 3]
    for role in ("website", "api", "messaging"):
        with pytest.raises(ConnectionRefusedError):
            await ask(running.port("eu", role), "/")
    assert await health(running, "usa") == 200
    await running.lab.heal("eu")
    assert await health(running, "eu") == 200


@pytest.mark.parametrize("how", WAYS)
async def test_without_its_database_the_api_says_so_and_comes_back_with_it(
    running: RunningLab, how: Damage
) -> None:
    (broken,) = await running.lab.break_("database", how)
    assert broken.state is (PartState.HANGING if how is Damage.HANG else PartState.BROKEN)
    answers = await asyncio.gather(*(ask(running.port(c, "api"), "/health") for c in CLUSTERS))
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert answers[0].json["ok"] is False
    assert answers[0].json["database"] == "away"
    job = b'PUBLISH {"owner": "ada", "title": "Invoice"}'
    assert (await say(running.port("eu", "messaging"), job, answers=1))[1].startswith("ERR ")

    (healed,) = await running.again().heal("database")
    assert healed.state is PartState.RUNNING

    async def everyone_is_back() -> bool:
        return {await health(running, cluster) for cluster in CLUSTERS} == {200}

    await eventually(everyone_is_back)


async def test_no_acknowledged_job_is_lost_when_the_database_is_killed(running: RunningLab) -> None:
    job = b'PUBLISH {"owner": "ada", "title": "Will"}'
    said = await say(running.port("eu2", "messaging"), *[job] * 20, answers=20)
    assert all(line.startswith("OK ") for line in said[1:])
    await running.lab.break_("database", Damage.KILL)
    await running.lab.heal("database")
    for line in said[1:]:
        assert (await ask(running.port("eu2", "api"), f"/jobs/{line[3:]}")).status == 200


async def test_up_makes_a_broken_lab_whole(running: RunningLab) -> None:
    await running.lab.break_("eu-website", Damage.STOP)
    await running.lab.break_("usa-website", Damage.HANG)
    await running.lab.break_("database", Damage.KILL)
    assert {status.state for status in await running.again().up()} == {PartState.RUNNING}
    for cluster in ("eu", "usa"):
        assert (await ask(running.port(cluster, "website"), "/")).status == 200


async def test_an_unknown_name_is_answered_with_a_suggestion_and_the_list(running: RunningLab) -> None:
    with pytest.raises(UnknownPartError, match="'eu-apy'") as caught:
        await running.lab.break_("eu-apy")
    assert caught.value.hint.startswith("did you mean eu-api?")
    assert all(name in caught.value.hint for name in ("database", "usa-messaging", "eu2"))


async def test_what_died_by_itself_is_missing_and_cannot_be_broken(running: RunningLab) -> None:
    pid = (await status_of(running, "usa-messaging")).pid
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    async def is_missing() -> bool:
        return (await status_of(running, "usa-messaging")).state is PartState.MISSING

    await eventually(is_missing)
    with pytest.raises(NotRunningError):
        await running.lab.break_("usa-messaging")
    await running.lab.heal("usa-messaging")
    assert (await status_of(running, "usa-messaging")).state is PartState.RUNNING


@pytest.mark.parametrize("part", ["database", "eu-api"])
async def test_processes_are_not_broken_as_links_or_data_are(running: RunningLab, part: str) -> None:
    for how in set(Damage) - set(WAYS):
        with pytest.raises(WrongDamageError, match=how.value):
            await running.lab.break_(part, how)
    assert {status.state for status in await running.lab.status()} == {PartState.RUNNING}
