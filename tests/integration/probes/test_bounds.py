"""Every attempt ends in time, leaves nothing behind, and makes nobody else wait."""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import structlog.testing
from probe_targets import (
    Authority,
    name_server,
    open_descriptors,
    read_request,
    resolve_secret,
    saying,
    serving,
    settled,
    silent,
)

from holdfast.adapters.probes import Probes
from holdfast.estate.checks import Check, HttpCheck, TcpCheck, TlsCheck

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def http(port: int, host: str = "127.0.0.1", scheme: str = "http", **fields: Any) -> HttpCheck:
    return HttpCheck.model_validate({"url": f"{scheme}://{host}:{port}/", **fields})


# Time


async def test_a_timeout_names_its_phase(authority: Authority) -> None:
    limits = {"resolve": "200ms", "connect": "200ms", "tls": "200ms", "first_byte": "200ms"}
    async with name_server({}) as server, serving(silent) as port:
        probes = Probes(resolve_secret, nameservers=[server])
        for check, error in (
            (http(port, "hang.example", timeouts=limits), "resolve timed out after 200ms"),
            (http(port, scheme="https", timeouts=limits), "tls timed out after 200ms"),
            (http(port, timeouts=limits), "first byte timed out after 200ms"),
            (http(port, timeout="300ms"), "first byte timed out after 300ms in total"),
        ):
            observation = await probes.attempt(check)
            assert observation.error == error
            assert observation.timings.total_us >= 190_000
        await probes.close()


@contextmanager
def full_backlog(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that no longer completes a connection."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(64):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((host, port))
        yield port


async def test_a_connection_that_nobody_accepts_times_out(probes: Probes) -> None:
    with full_backlog() as port:
        observation = await probes.attempt(
            TcpCheck(type="tcp", host="127.0.0.1", port=port, timeouts={"connect": "300ms"})
        )  # type: ignore[arg-type]
        assert observation.error == "connect timed out after 300ms"


async def test_a_drip_is_bounded_by_the_whole(probes: Probes) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(drip) as port:
        observation = await probes.attempt(http(port, timeout="400ms"))
    assert observation.error == "answer timed out after 400ms in total"


async def test_a_thousand_hanging_targets_delay_no_healthy_one(probes: Probes) -> None:
    async with serving(silent) as dead, serving(saying(OK)) as alive:
        hanging = [asyncio.create_task(probes.attempt(http(dead, timeout="60s"))) for _ in range(1_000)]
        await asyncio.sleep(0.5)
        observation = await probes.attempt(http(alive, timeout="60s"))
        assert observation.facts["status"] == 200
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_thousand_hanging_lookups_delay_no_other_one() -> None:
    async with name_server({"ok.example": ["127.0.0.1"]}) as server, serving(saying(OK)) as port:
        probes = Probes(resolve_secret, nameservers=[server])
        hanging = [
            asyncio.create_task(
                probes.attempt(
                    http(port, f"hang{number}.example", timeout="60s", timeouts={"resolve": "60s"})
                )
            )
            for number in range(1_000)
        ]
        await asyncio.sleep(0.1)
        observation = await probes.attempt(http(port, "ok.example", timeout="60s"))
        assert observation.facts["status"] == 200
        assert not any(task.done() for task in hanging)
        await probes.close()
        ended = await asyncio.gather(*hanging)
        assert {each.error for each in ended} == {"name lookup failed"}


# Names


async def test_names(probes: Probes) -> None:
    names = {"ok.example": ["127.0.0.1"], "empty.example": [], "two.example": ["127.0.0.2", "127.0.0.1"]}
    async with name_server(names) as server, serving(saying(OK)) as port:
        named = Probes(resolve_secret, nameservers=[server])
        for host, error in (
            ("ok.example", None),
            ("two.example", None),  # nobody listens at the first address
            ("localhost", None),  # nor at ::1
            ("empty.example", "name not found"),
            ("nowhere.example", "name not found"),
        ):
            observation = await named.attempt(http(port, host))
            assert observation.error == error, host
        await named.close()
    for host in ("a" * 70 + ".example", "a..b"):
        observation = await probes.attempt(TcpCheck(type="tcp", host=host, port=1))
        assert observation.error in ("the host is not a name", "name not found")


async def test_an_ipv6_target(probes: Probes) -> None:
    try:
        async with serving(saying(OK), host="::1") as port:
            assert (await probes.attempt(http(port, "[::1]"))).facts["status"] == 200
            assert (await probes.attempt(http(port, "localhost"))).facts["status"] == 200
    except OSError as error:
        assert not socket.has_ipv6 or "assign" in str(error)  # noqa: PT017  a machine without IPv6


# What is left behind


async def test_cancelled_at_any_moment_nothing_stays_open(probes: Probes, authority: Authority) -> None:
    chance = random.Random(4)
    async with (
        serving(saying(OK)) as plain,
        serving(saying(OK), tls=authority.server("localhost")) as secure,
        serving(silent) as dead,
    ):
        checks: list[Check] = [
            http(plain),
            http(plain, "localhost"),
            http(secure, "localhost", "https", verify_tls=False),
            http(dead),
            TlsCheck(type="tls", host="localhost", port=dead),
        ]
        await asyncio.gather(*(probes.attempt(check) for check in checks[:3]))
        for _ in range(60):
            tasks = [asyncio.create_task(probes.attempt(check)) for check in checks]
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.005]))
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert not isinstance(ended, BaseException) or isinstance(ended, asyncio.CancelledError)


FRAGMENTS = [
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 302 Go\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Location: /again\r\n",
    b"Connection: close\r\n",
    b"Upgrade: x\r\nConnection: upgrade\r\n",
    b"X: " + b"y" * 3_000 + b"\r\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"\0\xff",
    b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    b"\x16\x03\x03\0\x05",
]


async def test_two_thousand_random_conversations_leave_nothing(probes: Probes) -> None:
    chance = random.Random(20_261_122)

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        for _ in range(chance.randrange(8)):
            writer.write(chance.choice([*FRAGMENTS, chance.randbytes(chance.randrange(1, 200))]))
            if chance.random() < 0.3:
                await writer.drain()
                await asyncio.sleep(0)

    errors: set[str | None] = set()
    ours: set[str | None] = set()
    async with serving(babble) as port:
        checks: list[Check] = [
            http(port, timeout="5s"),
            http(port, timeout="5s", method="HEAD"),
            http(port, scheme="https", timeout="5s"),
            TcpCheck.model_validate(
                {
                    "type": "tcp",
                    "host": "127.0.0.1",
                    "port": port,
                    "conditions": ['answer contains "hello"'],
                    "send": "x",
                }
            ),
        ]
        await probes.attempt(checks[0])
        tasks, descriptors = len(asyncio.all_tasks()), open_descriptors()
        for _ in range(50):
            for observation in await asyncio.gather(
                *(probes.attempt(check) for check in checks for _ in range(10))
            ):
                errors.add(observation.error)
                ours |= {observation.error} if observation.ours else set()
        await settled(lambda: open_descriptors() <= descriptors and len(asyncio.all_tasks()) <= tasks)
        assert open_descriptors() <= descriptors
        assert len(asyncio.all_tasks()) <= tasks
    assert None in errors
    assert len(errors) > 5
    assert not ours
    assert all(error.isprintable() for error in errors if error)


async def test_a_bug_becomes_an_error_and_is_logged(probes: Probes) -> None:
    class Unknown(TcpCheck):
        pass

    check = Unknown.model_construct(type="gopher", host=None, port=1)
    with structlog.testing.capture_logs() as logged:
        observation = await probes.attempt(check)
    assert (observation.error, observation.ours) == ("a bug: TypeError", True)
    assert [entry["event"] for entry in logged] == ["attempt_crashed"]
    async with serving(saying(OK)) as port:
        assert (await probes.attempt(http(port))).error is None


async def test_a_plan_is_forgotten_with_its_check(probes: Probes) -> None:
    async with serving(saying(OK)) as port:
        for _ in range(20):
            await probes.attempt(http(port))
    assert len(probes._plans) <= 1


@pytest.mark.parametrize("alive", ["127.0.0.1", "127.0.0.2"])
async def test_a_silent_address_is_passed_by(alive: str) -> None:
    names = {"two.example": ["127.0.0.1", "127.0.0.2"]}
    dead = "127.0.0.2" if alive == "127.0.0.1" else "127.0.0.1"
    async with name_server(names) as server, serving(saying(OK), host=alive) as port:
        with full_backlog(dead, port):
            probes = Probes(resolve_secret, nameservers=[server])
            limits = {"connect": "60s"}
            observation = await probes.attempt(http(port, "two.example", timeout="60s", timeouts=limits))
            assert observation.error is None
            assert len(asyncio.all_tasks()) <= 2  # this test, and perhaps the conversation's end
            await probes.close()
