"""The sample service does its work, and bounds what it is sent."""

import asyncio
import json
import uuid
from urllib.parse import quote

import pytest
from conversation import Answer, ask, eventually, say
from running_lab import RunningLab

LIMIT = 64 * 1024


async def submit(running: RunningLab, body: object) -> Answer:
    return await ask(running.port("eu", "api"), "/jobs", "POST", json.dumps(body).encode())


async def test_a_job_submitted_as_a_message_appears_in_the_api_and_is_printed(running: RunningLab) -> None:
    said = await say(
        running.port("eu", "messaging"),
        b'PUBLISH {"owner": "ada", "title": "Notes on the engine", "pages": 7}',
        b"QUIT",
        answers=2,
    )
    assert said[0] == "PRINTCLOUD/1 ready"
    assert said[2] == "BYE"
    path = f"/jobs/{said[1].removeprefix('OK ')}"
    job = (await ask(running.port("eu", "api"), path)).json
    assert (job["owner"], job["title"], job["pages"], job["via"]) == (
        "ada",
        "Notes on the engine",
        7,
        "messaging",
    )

    async def is_printed() -> bool:
        return bool((await ask(running.port("eu", "api"), path)).json["status"] == "printed")

    await eventually(is_printed)
    printed = (await ask(running.port("eu", "api"), path)).json
    assert printed["printed_at"] > printed["submitted_at"]


async def test_a_job_belongs_to_its_cluster(running: RunningLab) -> None:
    created = await submit(running, {"owner": "ada", "title": "Local"})
    path = created.headers["location"]
    assert (await ask(running.port("eu", "api"), path)).status == 200
    assert (await ask(running.port("eu2", "api"), path)).status == 404


async def test_the_form_submits_a_job_and_shows_it_escaped(running: RunningLab) -> None:
    form = b"owner=%3Cb%3Eada%3C%2Fb%3E&title=%3Cscript%3Ealert(1)%3C%2Fscript%3E&pages=3"
    sent = await ask(running.port("eu", "website"), "/jobs", "POST", form)
    assert (sent.status, sent.headers["location"]) == (303, "/")
    page = await ask(running.port("eu", "website"), "/")
    assert "<td>&lt;script&gt;alert(1)&lt;/script&gt;</td>" in page.text
    assert "<script" not in page.text
    assert "<b>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (b"", "owner is missing"),
        (b"owner=ada&title=t&pages=0", "pages is a whole number"),
        (b"owner=ada&title=t&pages=%3Cb%3E", "pages is a whole number"),
        (b"owner=a%00b&title=t", "cannot be printed"),
        (b"owner=ada&title=" + b"x" * 300, "200 is the most"),
    ],
)
async def test_a_wrong_form_is_answered_in_words(running: RunningLab, form: bytes, words: str) -> None:
    page = await ask(running.port("eu", "website"), "/jobs", "POST", form)
    assert page.status == 400
    assert words in page.text


async def test_another_site_cannot_submit_a_job(running: RunningLab) -> None:
    form, headers = b"owner=ada&title=t", {"sec-fetch-site": "cross-site"}
    assert (await ask(running.port("eu", "website"), "/jobs", "POST", form, headers)).status == 403


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[]", "JSON object"),
        (b'{"owner": "ada", "title": "t", "colour": true}', "unknown field 'colour'"),
        (b'{"owner": "", "title": "t"}', "owner is missing"),
        (b'{"owner": "ada", "title": "t", "pages": true}', "pages"),
        (b'{"owner": "ada", "title": "t", "pages": 10001}', "pages"),
        (b'{"owner": "ada", "title": "\\ud800"}', "cannot be printed"),
    ],
)
async def test_what_is_no_job_is_refused_with_a_reason(running: RunningLab, body: bytes, words: str) -> None:
    answer = await ask(running.port("eu", "api"), "/jobs", "POST", body)
    assert answer.status == 400
    assert words in answer.json["error"]


@pytest.mark.parametrize("role", ["api", "website"])
async def test_a_body_above_the_limit_is_refused(running: RunningLab, role: str) -> None:
    answer = await ask(running.port("eu", role), "/jobs", "POST", b" " * (LIMIT + 1))
    assert answer.status == 413


@pytest.mark.parametrize("path", ["/jobs/nonsense", f"/jobs/{uuid.UUID(int=1)}", "/elsewhere"])
async def test_what_is_not_there_is_404(running: RunningLab, path: str) -> None:
    answer = await ask(running.port("eu", "api"), path)
    assert answer.status == 404
    assert "error" in answer.json


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "²", "9" * 5000])
async def test_the_listing_is_bounded(running: RunningLab, limit: str) -> None:
    assert (await ask(running.port("eu", "api"), f"/jobs?limit={quote(limit)}")).status == 400


async def test_the_listing_shows_the_newest_first(running: RunningLab) -> None:
    for title in ("first", "second", "third"):
        assert (await submit(running, {"owner": "ada", "title": title})).status == 201
    jobs = (await ask(running.port("eu", "api"), "/jobs?limit=2")).json["jobs"]
    assert [job["title"] for job in jobs] == ["third", "second"]


async def test_wrong_messages_are_answered_and_the_conversation_goes_on(running: RunningLab) -> None:
    said = await say(
        running.port("eu", "messaging"),
        b"HELLO",
        b"PUBLISH {",
        b"PUBLISH {}",
        b"\xff\xfe",
        b"PING",
        answers=5,
    )
    assert [line.split()[0] for line in said[1:]] == ["ERR", "ERR", "ERR", "ERR", "PONG"]


async def test_a_message_above_the_limit_ends_the_conversation(running: RunningLab) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port("eu", "messaging"))
    async with asyncio.timeout(60):
        await reader.readline()
        writer.write(b"PUBLISH " + b"x" * LIMIT + b"\n")
        await writer.drain()
        assert (await reader.readline()).startswith(b"ERR ")
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_many_clients_at_once_are_all_served(running: RunningLab) -> None:
    answers = await asyncio.gather(
        *(submit(running, {"owner": "ada", "title": f"job {number}"}) for number in range(20))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["id"] for answer in answers}) == 20
