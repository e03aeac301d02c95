"""SMTP checks against aiosmtpd, plain and with TLS, and against servers that break the protocol."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP
from probe_targets import Authority, Conversation, serving

from holdfast.adapters.probes import Probes
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Outcome
from holdfast.estate.checks import SmtpCheck


@contextlib.asynccontextmanager
async def mail_server(
    *, starttls: ssl.SSLContext | None = None, implicit: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(Sink(), tls_context=starttls, hostname="mail.example.com", loop=loop, ident="Real mail")

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=implicit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if "SMTP" in str(task.get_coro()):
                task.cancel()
        await asyncio.sleep(0.02)


def smtp(port: int, *conditions: str, tls: str = "none", **fields: Any) -> SmtpCheck:
    return SmtpCheck.model_validate(
        {"type": "smtp", "host": "localhost", "port": port, "tls": tls, "conditions": conditions, **fields}
    )


async def test_a_greeting_and_what_is_offered(probes: Probes) -> None:
    async with mail_server() as port:
        check = smtp(
            port,
            'banner contains "Real mail"',
            'capabilities contains "8BITMIME"',
            'capability("size") == "33554432"',
            'not capability("STARTTLS") exists',
        )
        observation = await probes.attempt(check)
    assert judge(compile_check(check), observation) == (Outcome.GOOD, "")
    assert observation.facts["banner"] == "mail.example.com Real mail"
    assert observation.timings.first_byte_us is not None


async def test_starttls(probes: Probes, authority: Authority) -> None:
    async with mail_server(starttls=authority.server("localhost")) as port:
        check = smtp(
            port,
            "certificate_expires_in > 14d",
            'not capability("STARTTLS") exists',  # what counts is what is offered behind TLS
            tls="starttls",
            ca_file=str(authority.ca_file),
        )
        observation = await probes.attempt(check)
        assert judge(compile_check(check), observation) == (Outcome.GOOD, "")
        assert observation.timings.tls_us is not None
        unknown = await probes.attempt(smtp(port, tls="starttls"))
        assert unknown.error == "certificate is not signed by a known authority"
    async with mail_server() as port:
        assert (await probes.attempt(smtp(port, tls="starttls"))).error == "STARTTLS is not offered"


async def test_tls_from_the_start(probes: Probes, authority: Authority) -> None:
    async with mail_server(implicit=authority.server("localhost")) as port:
        observation = await probes.attempt(smtp(port, tls="implicit", ca_file=str(authority.ca_file)))
    assert observation.error is None
    assert observation.facts["tls_version"] == "TLSv1.3"


def scripted(*replies: bytes) -> Conversation:
    """Says the first reply, and one more for each line that it hears."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            writer.write(reply)
            if not await reader.readline():
                return
        await asyncio.sleep(0.02)

    return conversation


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([b"554 go away\r\n"], "the greeting was answered with 554, expected 220"),
        ([b"HTTP/1.1 400 Bad Request\r\n"], "not SMTP: a reply without a code"),
        ([b"\xff\xfe\r\n"], "not SMTP: a reply without a code"),
        ([b"220-one\r\n" * 200], "a reply has too many lines"),
        ([b"220 " + b"x" * 5_000 + b"\r\n"], "a line of the answer is too long"),
        ([b"x" * 5_000], "a line of the answer is too long"),
        ([b"220 a\r\n", b"502 what\r\n"], "EHLO was answered with 502, expected 250"),
        (
            [b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"454 no\r\n"],
            "STARTTLS was answered with 454, expected 220",
        ),
        (
            [b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"],
            "the server went on in plain text after STARTTLS",
        ),
    ],
)
async def test_what_is_no_mail_server(probes: Probes, replies: list[bytes], error: str) -> None:
    async with serving(scripted(*replies)) as port:
        assert (await probes.attempt(smtp(port, tls="starttls"))).error == error


async def test_a_server_that_floods(probes: Probes) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"220-" + b"x" * 4_000 + b"\r\n")
            await writer.drain()

    async with serving(flood) as port:
        observation = await probes.attempt(smtp(port))
    assert observation.error in ("the answer is too long", "a reply has too many lines")
