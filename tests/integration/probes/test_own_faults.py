"""What is our own fault is marked as such: it says nothing about the target."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from probe_targets import name_server, resolve_secret, saying, serving
from pydantic import TypeAdapter

from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.errors import OwnFault, failure_of
from holdfast.estate.checks import Check, HttpCheck

CHECKS: TypeAdapter[Check] = TypeAdapter(Check)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """As if this process had opened all that it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_descriptors_are_left() -> None:
    async with name_server({"ok.example": ["127.0.0.1"]}) as server, serving(saying(OK)) as port:
        probes = Probes(resolve_secret, nameservers=[server])
        checks: list[dict[str, Any]] = [
            {"type": "http", "url": f"http://127.0.0.1:{port}/"},
            {"type": "tcp", "host": "127.0.0.1", "port": port},
            {"type": "dns", "name": "a.example", "server": "127.0.0.1", "port": port},
            {"type": "smtp", "host": "127.0.0.1", "port": port},
            {"type": "tcp", "host": "ok.example", "port": port},
            {"type": "tcp", "host": "nowhere.example", "port": port},
        ]
        assert (await probes.attempt(HttpCheck(url=f"http://ok.example:{port}/"))).error is None
        await asyncio.sleep(0.05)
        for check in checks:
            with no_descriptors_left():
                observation = await probes.attempt(CHECKS.validate_python(check))
            assert (observation.error, observation.ours) == ("no file descriptors are left", True), check
        assert (await probes.attempt(HttpCheck(url=f"http://ok.example:{port}/"))).error is None
        await probes.close()


@pytest.mark.parametrize(
    "check",
    [
        {"type": "amqp", "host": "127.0.0.1", "tls": False, "user": "u", "password": "env:NOWHERE"},
        {"type": "postgres", "host": "127.0.0.1", "database": "d", "user": "u", "password": "env:NOWHERE"},
        {"type": "grpc", "host": "127.0.0.1", "port": 9, "metadata": {"authorization": "env:NOWHERE"}},
        {"type": "websocket", "url": "ws://127.0.0.1:9/", "headers": {"Authorization": "env:NOWHERE"}},
        {
            "type": "prometheus",
            "url": "http://127.0.0.1:9",
            "query": "up",
            "headers": {"Authorization": "env:NOWHERE"},
            "conditions": ["value == 1"],
        },
        {"type": "http", "url": "http://127.0.0.1:9/", "headers": {"Authorization": "env:NOWHERE"}},
    ],
)
async def test_a_secret_that_is_missing(probes: Probes, check: dict[str, Any]) -> None:
    observation = await probes.attempt(CHECKS.validate_python(check))
    assert (observation.error, observation.ours) == ("a secret of the check cannot be read", True)


def test_which_errors_are_whose() -> None:
    ours = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
    theirs = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.EIO)
    assert all(isinstance(failure_of(OSError(code, "")), OwnFault) for code in ours)
    assert not any(isinstance(failure_of(OSError(code, "")), OwnFault) for code in theirs)
    assert not isinstance(failure_of(socket.gaierror(-2, "")), OwnFault)
