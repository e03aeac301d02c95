"""AMQP checks against RabbitMQ, plain and over TLS, and against servers that break the protocol."""

import asyncio
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from probe_targets import SECRETS, Authority, Conversation, serving
from real_servers import Broker

from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.estate.checks import AmqpCheck


@pytest.fixture(autouse=True)
def password() -> Iterator[None]:
    SECRETS["BROKER"] = "s3cret"
    yield
    del SECRETS["BROKER"]


def amqp(port: int, *conditions: str, **fields: Any) -> AmqpCheck:
    return AmqpCheck.model_validate(
        {
            "type": "amqp",
            "host": "localhost",
            "tls": False,
            "port": port,
            "user": "holdfast",
            "password": "env:BROKER",
            "conditions": conditions,
            **fields,
        }
    )


async def test_the_port_follows_tls() -> None:
    keys = {"type": "amqp", "host": "h", "user": "u", "password": "env:BROKER"}
    assert AmqpCheck.model_validate(keys).port == 5671
    assert AmqpCheck.model_validate({**keys, "tls": False}).port == 5672


async def test_a_login_and_the_depth_of_a_queue(probes: Probes, broker: Broker) -> None:
    plain = await probes.attempt(amqp(broker.port))
    assert (plain.error, plain.facts) == (None, {})
    check = amqp(broker.port, "messages == 3 and consumers == 0", queue="jobs")
    observation = await probes.attempt(check)
    assert judge(compile_check(check), observation) == (Outcome.GOOD, "")
    assert observation.timings.first_byte_us is not None
    full = amqp(broker.port, "messages < 3", queue="jobs")
    assert judge(compile_check(full), await probes.attempt(full)) == (
        Outcome.FAILED,
        "messages was 3, expected < 3",
    )


async def test_over_tls(probes: Probes, broker: Broker, authority: Authority) -> None:
    check = amqp(broker.tls_port, tls=True, ca_file=str(authority.ca_file), queue="jobs")
    observation = await probes.attempt(check)
    assert observation.error is None
    assert observation.facts["messages"] == 3
    assert observation.facts["certificate_subject"] == "localhost"
    unknown = await probes.attempt(amqp(broker.tls_port, tls=True))
    assert unknown.error == "certificate is not signed by a known authority"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"password": "env:TOKEN"}, "the broker refused the login"),
        ({"user": "nobody"}, "the broker refused the login"),
        ({"virtual_host": "nowhere"}, "the virtual host cannot be used"),
        ({"virtual_host": "closed"}, "the virtual host cannot be used"),
        ({"queue": "nothing"}, "the queue does not exist"),
    ],
)
async def test_refusals(probes: Probes, broker: Broker, fields: dict[str, Any], error: str) -> None:
    assert (await probes.attempt(amqp(broker.port, **fields))).error == error


def frame(kind: int, payload: bytes, end: bytes = b"\xce") -> bytes:
    return struct.pack(">BHI", kind, 0, len(payload)) + payload + end


def method(class_id: int, method_id: int, arguments: bytes = b"") -> bytes:
    return frame(1, struct.pack(">HH", class_id, method_id) + arguments)


def start(mechanisms: bytes) -> bytes:
    return method(10, 10, b"\0\x09" + bytes(4) + struct.pack(">I", len(mechanisms)) + mechanisms + bytes(4))


def saying(*answers: bytes) -> Conversation:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65_536)
            writer.write(answer)
        await reader.read(65_536)

    return conversation


CUT = "not AMQP 0-9-1: a method is cut short"


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([b"AMQP\0\1\0\0"], "the broker speaks another version of AMQP"),
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "not AMQP 0-9-1: unexpected frame"),
        ([b"\x01\0\0\x7f\xff\xff\xff"], "not AMQP 0-9-1: unexpected frame"),
        ([frame(1, b"\0\x0a\0\x0a", b"x")], "not AMQP 0-9-1: a frame without its end"),
        ([frame(8, b"") * 200], "not AMQP 0-9-1: nothing but heartbeats"),
        ([method(10, 10)], CUT),
        ([method(10, 10, b"\0\x09\x7f\xff\xff\xff")], CUT),
        ([frame(1, b"")], "not AMQP 0-9-1: unexpected method 0.0"),
        ([start(b"EXTERNAL")], "the broker accepts no login by password"),
        ([start(b"PLAIN"), method(10, 20)], "not AMQP 0-9-1: unexpected method 10.20"),
        ([start(b"PLAIN"), method(10, 30, b"\0")], CUT),
        ([start(b"PLAIN"), method(10, 50, b"\x01\x40")], "the broker is shutting down"),
        ([start(b"PLAIN"), method(10, 50, b"\x02\x1c")], "the broker closed with code 540"),
    ],
)
async def test_what_is_no_broker(probes: Probes, answers: list[bytes], error: str) -> None:
    async with serving(saying(*answers)) as port:
        assert (await probes.attempt(amqp(port))).error == error


async def test_a_farewell_that_nobody_answers_is_no_failure(probes: Probes) -> None:
    tune = method(10, 30, struct.pack(">HIH", 0, 131_072, 60))
    async with serving(saying(start(b"PLAIN"), tune, method(10, 41), method(20, 11))) as port:
        assert (await probes.attempt(amqp(port))).error is None
