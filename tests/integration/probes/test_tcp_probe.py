"""TCP checks: a connection, bytes to send, and the first answer when somebody asks for it."""

import asyncio
from typing import Any

from probe_targets import Conversation, serving, silent

from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.tcp import Greeting
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Observation, Outcome
from holdfast.estate.checks import TcpCheck


def tcp(port: int, *conditions: str, **fields: Any) -> TcpCheck:
    return TcpCheck.model_validate(
        {"type": "tcp", "host": "127.0.0.1", "port": port, "conditions": conditions, **fields}
    )


def writing(*parts: bytes, close: bool = False) -> Conversation:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        if not close:
            await silent(reader, writer)

    return conversation


async def attempted(
    probes: Probes, conversation: Conversation, *conditions: str, **fields: Any
) -> Observation:
    async with serving(conversation) as port:
        return await probes.attempt(tcp(port, *conditions, **fields))


async def test_a_connection_is_enough_when_nothing_is_asked(probes: Probes) -> None:
    observation = await attempted(probes, silent)
    assert (observation.error, observation.facts) == (None, {})
    assert observation.timings.first_byte_us is None


async def test_a_greeting_in_pieces_is_read_until_it_satisfies(probes: Probes) -> None:
    observation = await attempted(
        probes, writing(b"220 mail.exa", b"mple.com ES", b"MTP\r\n"), 'answer contains "ESMTP"'
    )
    assert observation.facts == {"answer": b"220 mail.example.com ESMTP\r\n"}
    assert observation.timings.first_byte_us is not None


async def test_what_is_sent_is_answered(probes: Probes) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await silent(reader, writer)

    observation = await attempted(probes, echo, 'answer == "PING\\n"', send="ping\n")
    assert observation.facts == {"answer": b"PING\n"}


async def test_a_wrong_greeting_is_judged_after_a_line_and_silence(probes: Probes) -> None:
    check = tcp(1, 'answer starts_with "220"')
    observation = await attempted(
        probes, writing(b"554 no service\r\n"), 'answer starts_with "220"', timeout="60s"
    )
    assert observation.error is None
    assert judge(compile_check(check), observation) == (Outcome.FAILED, 'expected answer to start with "220"')


async def test_an_absence_is_not_judged_on_half_an_answer(probes: Probes) -> None:
    condition = 'not answer contains "ERR"'
    observation = await attempted(probes, writing(b"E", b"RR full\r\n"), condition)
    assert judge(compile_check(tcp(1, condition)), observation)[0] is Outcome.FAILED


async def test_half_a_line_is_the_answer_when_no_more_comes(probes: Probes) -> None:
    observation = await attempted(
        probes, writing(b"22"), 'answer contains "220"', timeouts={"first_byte": "200ms"}
    )
    assert observation.facts == {"answer": b"22"}
    observation = await attempted(probes, writing(b"22", close=True), 'answer contains "220"')
    assert observation.facts == {"answer": b"22"}


async def test_no_answer(probes: Probes) -> None:
    condition = 'answer contains "x"'
    observation = await attempted(probes, silent, condition, timeouts={"first_byte": "200ms"})
    assert observation.error == "first byte timed out after 200ms"
    observation = await attempted(probes, writing(close=True), condition)
    assert observation.error == "connection closed without an answer"


async def test_an_endless_answer_is_cut(probes: Probes) -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    observation = await attempted(probes, endless, 'answer contains "y"')
    assert observation.facts == {"answer": b"x" * 65_536}


def test_the_silence_after_a_line_begins_anew_with_each_piece() -> None:
    waiting: list[asyncio.TimerHandle] = []

    class Loop(asyncio.SelectorEventLoop):
        def call_later(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
            waiting.append(super().call_later(*args, **kwargs))
            return waiting[-1]

    loop = Loop()
    greeting = Greeting(loop, lambda text: b"220 " in text)
    greeting.feed(b"220-one\r\n")
    greeting.feed(b"220-two")
    greeting.feed(b" and three\r\n")
    assert [handle.cancelled() for handle in waiting] == [True, False]
    greeting.feed(b"220 four\r\n")
    assert waiting[-1].cancelled()
    assert greeting.finished.done()
    loop.close()
