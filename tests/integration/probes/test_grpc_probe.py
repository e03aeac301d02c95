"""gRPC checks against the health service of grpcio, and against servers that break the protocol."""

import asyncio
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from probe_targets import Authority, Conversation, saying, serving
from real_servers import HealthServer

from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.estate.checks import GrpcCheck


def grpc(port: int, *conditions: str, **fields: Any) -> GrpcCheck:
    return GrpcCheck.model_validate(
        {"type": "grpc", "host": "localhost", "tls": False, "port": port, "conditions": conditions, **fields}
    )


async def test_serving_and_not(probes: Probes, health_server: HealthServer) -> None:
    for service, conditions, reason in (
        ("", [], ""),
        ("printing", [], 'serving_status was "NOT_SERVING", expected "SERVING"'),
        ("printing", ['serving_status == "NOT_SERVING"'], ""),
        ("nothing", [], "the server does not know the service"),
    ):
        check = grpc(health_server.port, *conditions, service=service)
        outcome, found = judge(compile_check(check), await probes.attempt(check))
        assert found == reason
        assert (outcome is Outcome.GOOD) == (not reason)


async def test_over_tls(probes: Probes, health_server: HealthServer, authority: Authority) -> None:
    check = grpc(health_server.tls_port, tls=True, ca_file=str(authority.ca_file))
    observation = await probes.attempt(check)
    assert observation.error is None
    assert observation.facts["serving_status"] == "SERVING"
    assert observation.facts["certificate_subject"] == "localhost"
    timings = observation.timings
    assert None not in (timings.connect_us, timings.tls_us, timings.first_byte_us)
    unknown = await probes.attempt(grpc(health_server.tls_port, tls=True))
    assert unknown.error == "certificate is not signed by a known authority"


async def test_a_server_without_http2(probes: Probes, authority: Authority) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with serving(saying(ok), tls=authority.server("localhost")) as port:
        check = grpc(port, tls=True, ca_file=str(authority.ca_file))
        assert (await probes.attempt(check)).error == "the server does not offer HTTP/2"
    async with serving(saying(ok)) as port:
        assert (await probes.attempt(grpc(port))).error == "not HTTP/2"


async def test_metadata_with_secrets(probes: Probes) -> None:
    heard: list[tuple[bytes, bytes]] = []
    answer = reply(b"\0\0\0\0\x02\x08\x01", heard=heard)
    async with serving(answer) as port:
        fields = {"metadata": {"authorization": "env:TOKEN", "x-tenant": "acme"}}
        observation = await probes.attempt(grpc(port, **fields))
        broken = await probes.attempt(grpc(port, metadata={"authorization": "env:BROKEN"}))
    assert observation.facts == {"serving_status": "SERVING"}
    assert {(b"authorization", b"s3cret-token"), (b"x-tenant", b"acme"), (b"te", b"trailers")} <= set(heard)
    assert (broken.error, broken.ours) == ("the check has metadata that cannot be sent", True)


def reply(
    message: bytes,
    *,
    head: tuple[tuple[str, str], ...] = ((":status", "200"), ("content-type", "application/grpc")),
    trailers: tuple[tuple[str, str], ...] = (("grpc-status", "0"),),
    instead: Callable[[h2.connection.H2Connection, int], None] | None = None,
    heard: list[tuple[bytes, bytes]] | None = None,
) -> Conversation:
    """A server of one call."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while received := await reader.read(65_536):
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.RequestReceived) and heard is not None:
                    heard.extend((bytes(name), bytes(value)) for name, value in event.headers or [])
                if isinstance(event, h2.events.StreamEnded):
                    stream = event.stream_id or 0
                    if instead is not None:
                        instead(connection, stream)
                    else:
                        connection.send_headers(stream, head)
                        for at in range(0, len(message), 10_000):
                            connection.send_data(stream, message[at : at + 10_000])
                        connection.send_headers(stream, trailers, end_stream=True)
            writer.write(connection.data_to_send())

    return conversation


NO_MESSAGE = "not gRPC: the answer is no message"


@pytest.mark.parametrize(
    ("conversation", "error"),
    [
        (reply(b"\0\0\0\0\0"), None),
        (reply(b"\0\0\0\0\x0b\x08\x01\x12\x02hi\x19" + bytes(4)), NO_MESSAGE),
        (reply(b"\0\0\0\0\x0f\x08\x01\x12\x02hi\x19" + bytes(8)), None),
        (reply(b"\x01\0\0\0\x02\x08\x01"), NO_MESSAGE),
        (reply(b"\0\0\0\0\x09\x08\x01"), NO_MESSAGE),
        (reply(b"\0\0\0\0\x02\x08\x81"), NO_MESSAGE),
        (reply(b""), NO_MESSAGE),
        (reply(b"x" * 17_000), "the answer is too long"),
        (reply(b"", trailers=(("grpc-status", "14"),)), "the call ended with UNAVAILABLE"),
        (reply(b"", trailers=(("grpc-status", "12"),)), "the server has no health service"),
        (reply(b"", trailers=(("grpc-status", "99"),)), "the call ended with status 99"),
        (reply(b"", trailers=(("grpc-status", "x"),)), "not gRPC: an answer without a status"),
        (reply(b"", head=((":status", "503"),)), "not gRPC: HTTP answered with 503"),
        (
            reply(b"", head=((":status", "200"), ("content-type", "text/html"))),
            "not gRPC: another content type",
        ),
        (
            reply(b"", instead=lambda connection, stream: connection.reset_stream(stream, 7)),
            "the call was reset with code 7",
        ),
        (
            reply(b"", instead=lambda connection, _: connection.close_connection(11)),
            "the server ended the connection with code 11",
        ),
    ],
)
async def test_answers(probes: Probes, conversation: Conversation, error: str | None) -> None:
    async with serving(conversation) as port:
        assert (await probes.attempt(grpc(port))).error == error


async def test_a_flood_of_settings_is_bounded(probes: Probes) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\x04\0\0\0\0\0")
        while True:
            writer.write(b"\0\0\x08\x06\x01\0\0\0\0" + bytes(8))
            await writer.drain()

    async with serving(flood) as port:
        assert (await probes.attempt(grpc(port))).error == "the answer is too long"
