"""HTTP checks against servers that keep to the standard, and against those that do not."""

import asyncio
import gzip
import tracemalloc
import zlib
from typing import Any

import pytest
from probe_targets import read_request, saying, serving

from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.http_request import Request, target_of
from holdfast.availability.model import Observation
from holdfast.estate.checks import HttpCheck

MEBIBYTE = 1_048_576


def http(port: int, path: str = "/", **fields: Any) -> HttpCheck:
    return HttpCheck.model_validate({"url": f"http://127.0.0.1:{port}{path}", **fields})


async def asked(probes: Probes, answer: bytes, *, reset: bool = False, **fields: Any) -> Observation:
    async with serving(saying(answer, reset=reset)) as port:
        return await probes.attempt(http(port, **fields))


def answer_of(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# The request


async def test_the_request_is_what_the_check_says(probes: Probes) -> None:
    heard: list[bytes] = []
    async with serving(saying(answer_of(b"ok"), heard=heard)) as port:
        check = http(
            port,
            "/a b/ü?q=1&x=%20#fragment".replace(" ", "%20"),
            method="POST",
            body="grüße",
            headers={"X-One": "1", "Accept": "text/plain", "Authorization": "env:TOKEN"},
        )
        observation = await probes.attempt(check)
    assert observation.error is None
    head, _, body = heard[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a%20b/%C3%BC?q=1&x=%20 HTTP/1.1"
    assert body == "grüße".encode()
    assert {
        f"Host: 127.0.0.1:{port}",
        "X-One: 1",
        "Accept: text/plain",
        "Authorization: s3cret-token",
        "Accept-Encoding: gzip",
        "Connection: close",
        f"Content-Length: {len(body)}",
    } <= set(lines)
    assert sum(line.startswith("User-Agent: Holdfast/") for line in lines) == 1
    assert sum(line.startswith("Accept:") for line in lines) == 1


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"X-One": "a\r\nX-Two: b"}, "the check has a header with control characters"),
        ({"X-One": "env:BROKEN"}, "the check has a header with control characters"),
        ({"X One": "a"}, "the check has a header that cannot be sent"),
        ({"Transfer-Encoding": "chunked"}, "the check has a header that cannot be sent"),
        ({"X-One": "env:NOWHERE"}, "a secret of the check cannot be read"),
    ],
)
async def test_no_header_can_become_two(probes: Probes, headers: dict[str, str], error: str) -> None:
    heard: list[bytes] = []
    async with serving(saying(answer_of(b"ok"), heard=heard)) as port:
        observation = await probes.attempt(http(port, headers=headers))
    assert (observation.error, observation.ours) == (error, True)
    assert heard == []


async def test_a_url_with_a_password_is_refused_without_repeating_it(probes: Probes) -> None:
    observation = await probes.attempt(HttpCheck(url="http://user:hunter2@127.0.0.1/"))
    assert observation.error == "the URL carries a user name"


# Answers that keep to the standard


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok and more than was announced", 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok and more", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n1\r\n!\r\n0\r\nX: t\r\n\r\n",
            200,
            b"ok!",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n", 304, b""),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500, b""),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + answer_of(b"ok"),
            200,
            b"ok",
        ),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x00\x01", 101, b""),
        (
            b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok",
            200,
            b"ok",
        ),
    ],
)
async def test_answers(probes: Probes, raw: bytes, status: int, body: bytes) -> None:
    observation = await asked(probes, raw)
    assert observation.error is None
    assert observation.facts["status"] == status
    assert observation.facts["body"] == body
    assert observation.facts["body_truncated"] is False


async def test_an_answer_that_comes_byte_by_byte_is_the_same(probes: Probes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nX-Long: value\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for byte in raw:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with serving(drip) as port:
        observation = await probes.attempt(http(port))
    assert observation.facts["body"] == b"ok"
    assert observation.facts["headers"] == {"x-long": "value", "transfer-encoding": "chunked"}


async def test_a_head_request_has_no_body_to_wait_for(probes: Probes) -> None:
    observation = await asked(probes, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", method="HEAD")
    assert observation.error is None
    assert observation.facts["body"] == b""


async def test_headers_are_found_by_any_case_and_joined(probes: Probes) -> None:
    observation = await asked(probes, answer_of(b"", "X-A: 1", "x-a:  2 ", "X-B: \xfc"))
    assert observation.facts["headers"] == {"x-a": "1, 2", "x-b": "\xc3\xbc", "content-length": "0"}


async def test_a_declared_charset_is_decoded(probes: Probes) -> None:
    observation = await asked(
        probes, answer_of(b"gr\xfc\xdfe", "Content-Type: text/plain; charset=ISO-8859-1")
    )
    assert observation.facts["body"] == "grüße"
    observation = await asked(probes, answer_of(b"ok", "Content-Type: text/plain; charset=punycode"))
    assert observation.facts["body"] == b"ok"


async def test_every_phase_is_timed(probes: Probes) -> None:
    async with serving(saying(answer_of(b"ok"))) as port:
        timings = (await probes.attempt(http(port))).timings
        assert timings.resolve_us is None
        assert timings.tls_us is None
        assert timings.connect_us is not None
        assert timings.first_byte_us is not None
        assert timings.connect_us + timings.first_byte_us <= timings.total_us
        named = HttpCheck(url=f"http://localhost:{port}/")
        assert (await probes.attempt(named)).timings.resolve_us is not None


# Content codings


@pytest.mark.parametrize(
    ("coding", "coded"),
    [
        ("gzip", gzip.compress(b"hello")),
        ("x-gzip", gzip.compress(b"hel") + gzip.compress(b"lo") + b"\0\0\0"),
        ("deflate", zlib.compress(b"hello")),
        ("deflate", zlib.compress(b"hello")[2:-4]),
        ("identity", b"hello"),
    ],
    ids=["gzip", "gzip in parts", "deflate", "deflate without its frame", "identity"],
)
async def test_content_codings(probes: Probes, coding: str, coded: bytes) -> None:
    observation = await asked(probes, answer_of(coded, f"Content-Encoding: {coding}"))
    assert observation.facts["body"] == b"hello"


async def test_a_gzip_bomb_is_cut_at_a_mebibyte(probes: Probes) -> None:
    bomb = gzip.compress(bytes(200 * MEBIBYTE), 9)
    tracemalloc.start()
    observation = await asked(probes, answer_of(bomb, "Content-Encoding: gzip"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * MEBIBYTE
    assert observation.facts["body"] == bytes(MEBIBYTE)
    assert observation.facts["body_truncated"] is True


async def test_an_unknown_coding_leaves_the_body_unknown(probes: Probes) -> None:
    observation = await asked(probes, answer_of(b"\x0b\x02", "Content-Encoding: br"))
    assert observation.error is None
    assert "body" not in observation.facts


@pytest.mark.parametrize(
    "coded",
    [gzip.compress(b"hello" * 100)[:-9], b"no gzip at all", gzip.compress(b"x")[:12]],
    ids=["cut off", "none", "cut off early"],
)
async def test_a_broken_coding_is_an_error(probes: Probes, coded: bytes) -> None:
    observation = await asked(probes, answer_of(coded, "Content-Encoding: gzip"))
    assert observation.error == "the answer's gzip coding is broken"


# Answers that do not keep to it


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "connection closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "connection closed before the answer was complete"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
            "connection closed before the answer was complete",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
            "connection closed before the answer was complete",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "connection closed before the answer was complete"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, "too many interim answers"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP: expected http/"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "not HTTP: expected http/"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 099 OK\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "not HTTP: duplicate"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "not HTTP: invalid character in chunk size",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not HTTP: invalid character in content-length"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "the answer has too many headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, "the answer's headers are too long"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "the answer's headers are too long"),
    ],
)
async def test_wrong_answers_are_errors_in_words(probes: Probes, raw: bytes, error: str) -> None:
    observation = await asked(probes, raw)
    assert observation.error is not None
    assert observation.error.startswith(error)


async def test_a_reset_is_named(probes: Probes) -> None:
    observation = await asked(probes, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", reset=True)
    assert observation.error == "connection reset"


async def test_a_refused_connection_is_named(probes: Probes) -> None:
    async with serving(saying(b"")) as port:
        pass
    assert (await probes.attempt(http(port))).error == "connection refused"
    assert (await probes.attempt(HttpCheck(url=f"http://localhost:{port}/"))).error == "connection refused"


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_endless_answers_end(probes: Probes, start: bytes) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(start)
        while True:
            writer.write(b"x" * 999 + b":" + b"y" * 60_000)
            await writer.drain()

    async with serving(endless) as port:
        observation = await probes.attempt(http(port))
    if observation.error is None:
        assert len(observation.facts["body"]) == MEBIBYTE  # type: ignore[arg-type]
        assert observation.facts["body_truncated"] is True
    else:
        assert "headers are too long" in observation.error


# Redirects


async def redirecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """`/CODE/next/...` redirects with CODE to `/next/...`; anything else says what it was asked."""
    request = await read_request(reader)
    path = request.split()[1].decode()
    code, _, onward = path.lstrip("/").partition("/")
    if code.isdecimal():
        writer.write(f"HTTP/1.1 {code} Go\r\nLocation: /{onward}\r\nContent-Length: 2\r\n\r\ngo".encode())
    else:
        writer.write(answer_of(request))
    await writer.drain()


async def test_redirects_are_followed_and_counted(probes: Probes) -> None:
    async with serving(redirecting) as port:
        observation = await probes.attempt(http(port, "/301/302/307/308/303/end"))
        assert observation.facts["redirects"] == 5
        assert observation.facts["status"] == 200
        assert (await probes.attempt(http(port, "/301" * 6 + "/end"))).error == "more than 5 redirects"
        unfollowed = await probes.attempt(http(port, "/302/end", follow_redirects=0))
        assert (unfollowed.facts["status"], unfollowed.facts["redirects"]) == (302, 0)


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/301/end", "POST", b"GET /end"),
        ("/302/end", "PUT", b"PUT /end"),
        ("/303/end", "PUT", b"GET /end"),
        ("/307/end", "POST", b"POST /end"),
        ("/308/end", "DELETE", b"DELETE /end"),
    ],
)
async def test_methods_over_redirects(probes: Probes, path: str, method: str, expected: bytes) -> None:
    async with serving(redirecting) as port:
        observation = await probes.attempt(http(port, path, method=method, body="payload"))
    request = observation.facts["body"]
    assert isinstance(request, bytes)
    assert request.startswith(expected)
    assert (b"payload" in request) == (not expected.startswith(b"GET"))


async def test_secrets_do_not_follow_a_redirect_to_another_host(probes: Probes) -> None:
    headers = {"Authorization": "Bearer x", "X-Key": "env:TOKEN", "X-Plain": "kept"}
    async with serving(redirecting) as port:
        stayed = await probes.attempt(http(port, "/302/end", headers=headers))
        assert b"s3cret-token" in stayed.facts["body"]  # type: ignore[operator]
        async with serving(
            saying(b"HTTP/1.1 302 Go\r\nLocation: http://localhost:%d/end\r\n\r\n" % port)
        ) as other:
            left = await probes.attempt(http(other, headers=headers))
    body = left.facts["body"]
    assert isinstance(body, bytes)
    assert b"X-Plain: kept" in body
    assert b"s3cret-token" not in body
    assert b"Bearer" not in body
    assert f"Host: localhost:{port}".encode() in body


@pytest.mark.parametrize(
    "location",
    [
        "ftp://example.com/",
        "https://:443/",
        "http://[::",
        "http://a:99999/",
        "//user:pw@h/",
        "javascript:1",
        "http://a b/",
    ],
)
async def test_redirects_that_lead_nowhere(probes: Probes, location: str) -> None:
    observation = await asked(probes, answer_of(b"", f"Location: {location}").replace(b"200", b"302", 1))
    assert observation.error == "redirected to an address that cannot be followed"


async def test_a_redirect_without_location_is_the_answer(probes: Probes) -> None:
    assert (await asked(probes, b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\n\r\n")).facts["status"] == 302


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("http://a/x", "http://a/y", True),
        ("http://a/", "https://a/", True),
        ("https://a:8443/", "http://a:8443/", False),
        ("https://a/", "http://a/", False),
        ("http://a/", "http://a:8080/", False),
        ("https://a/", "https://b/", False),
    ],
)
def test_who_may_see_private_headers(source: str, target: str, kept: bool) -> None:
    request = Request("GET", (), (("Authorization", "x"),), b"")
    assert bool(request.redirected(302, target_of(source), target_of(target)).private) == kept
