"""DNS checks against nsd, which owns the zones, and unbound, which validates them; and against liars."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st
from probe_targets import resolve_secret, serving
from real_servers import NameServers

from holdfast.adapters.probes import Probes
from holdfast.adapters.probes.dns import SystemServer
from holdfast.adapters.probes.dns_message import Answer, question, read_answer
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.availability.judging import compile_check, judge
from holdfast.availability.model import Observation, Outcome
from holdfast.estate.checks import DnsCheck


def dns_check(port: int, name: str, record: str = "A", *conditions: str, **fields: Any) -> DnsCheck:
    return DnsCheck.model_validate(
        {
            "type": "dns",
            "name": name,
            "record": record,
            "server": "127.0.0.1",
            "port": port,
            "conditions": conditions,
            **fields,
        }
    )


async def judged(probes: Probes, check: DnsCheck) -> tuple[Outcome, str]:
    return judge(compile_check(check), await probes.attempt(check))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_answer_of_a_zones_owner(probes: Probes, name_servers: NameServers, transport: str) -> None:
    check = dns_check(name_servers.owner, "www.plain.example", transport=transport)
    observation = await probes.attempt(check)
    assert observation.error is None
    assert observation.facts == {
        "rcode": "NOERROR",
        "answers": ["192.0.2.1", "192.0.2.2"],
        "answer_count": 2,
        "authenticated": False,
        "authoritative": True,
        "ttl": timedelta(minutes=5),
    }
    timings = observation.timings
    assert timings.first_byte_us is not None
    assert (timings.connect_us is not None) == (transport == "tcp")


@pytest.mark.parametrize(
    ("name", "record", "answers"),
    [
        ("www.plain.example.", "AAAA", ["2001:db8::1"]),
        ("plain.example", "MX", ["10 mail.plain.example."]),
        ("plain.example", "TXT", ["v=spf1 -all"]),
        ("plain.example", "NS", ["ns.plain.example."]),
        ("alias.plain.example", "CNAME", ["www.plain.example."]),
        ("alias.plain.example", "A", ["192.0.2.1", "192.0.2.2"]),
        ("www.plain.example", "CAA", []),
    ],
)
async def test_record_types(
    probes: Probes, name_servers: NameServers, name: str, record: str, answers: list[str]
) -> None:
    observation = await probes.attempt(dns_check(name_servers.owner, name, record))
    assert observation.facts["answers"] == answers


async def test_what_is_expected(probes: Probes, name_servers: NameServers) -> None:
    for name, record, conditions, reason in (
        ("www.plain.example", "A", [], ""),
        ("nowhere.plain.example", "A", [], 'rcode was "NXDOMAIN", expected "NOERROR"'),
        ("www.plain.example", "CAA", [], "answer_count was 0, expected > 0"),
        ("www.plain.example", "CAA", ["answer_count == 0"], ""),
        ("nowhere.plain.example", "A", ['rcode == "NXDOMAIN"'], ""),
        ("www.plain.example", "A", ['answers contains "192.0.2.1"', "ttl > 1m"], ""),
        (
            "www.plain.example",
            "A",
            ['answers contains "192.0.2.9"'],
            'expected answers to contain "192.0.2.9"',
        ),
        ("www.plain.example", "A", ['every_answer in ("192.0.2.1", "192.0.2.2")'], ""),
        (
            "www.plain.example",
            "A",
            ['every_answer == "192.0.2.1"'],
            'expected every_answer to be "192.0.2.1"',
        ),
        ("www.plain.example", "CAA", ['every_answer == "x"'], "every_answer is missing"),
        ("www.plain.example", "A", ["authenticated"], "authenticated was false, expected true"),
    ):
        check = dns_check(name_servers.owner, name, record, *conditions)
        outcome, found = await judged(probes, check)
        assert found == reason, (name, record, conditions)
        assert (outcome is Outcome.GOOD) == (not reason)


async def test_a_validating_server_says_what_is_authentic(probes: Probes, name_servers: NameServers) -> None:
    authentic = dns_check(name_servers.validating, "www.signed.example", "A", "authenticated")
    assert await judged(probes, authentic) == (Outcome.GOOD, "")
    plain = dns_check(name_servers.validating, "www.plain.example", "A", "authenticated")
    assert await judged(probes, plain) == (Outcome.FAILED, "authenticated was false, expected true")
    forged = dns_check(name_servers.validating, "www.bogus.example")
    assert await judged(probes, forged) == (Outcome.FAILED, 'rcode was "SERVFAIL", expected "NOERROR"')
    unasked = await probes.attempt(dns_check(name_servers.owner, "www.bogus.example"))
    assert unasked.facts["answers"] == ["192.0.2.2", "192.0.2.66"]


async def test_an_answer_too_long_for_a_datagram_comes_by_tcp(
    probes: Probes, name_servers: NameServers
) -> None:
    observation = await probes.attempt(dns_check(name_servers.owner, "many.plain.example", "TXT"))
    assert observation.error is None
    assert observation.facts["answer_count"] == 11
    assert observation.timings.connect_us is not None


async def test_a_server_by_name_and_a_refusing_one(name_servers: NameServers) -> None:
    probes = Probes(resolve_secret)
    check = dns_check(name_servers.owner, "www.plain.example", server="localhost")
    assert (await probes.attempt(check)).error is None
    elsewhere = dns_check(name_servers.owner, "www.example.org")
    assert await judged(probes, elsewhere) == (Outcome.FAILED, 'rcode was "REFUSED", expected "NOERROR"')
    await probes.close()


# Servers that lie, or say nothing

Reply = Callable[[bytes], list[bytes]]


class Liar(asyncio.DatagramProtocol):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for answer in self.reply(data):
            self.transport.sendto(answer, addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def lying(reply: Reply) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Liar(reply), local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await asyncio.sleep(0.01)


async def asked(probes: Probes, reply: Reply, **fields: Any) -> Observation:
    async with lying(reply) as port:
        limits = {"timeouts": {"first_byte": "300ms"}, **fields}
        return await probes.attempt(dns_check(port, "www.plain.example", **limits))


def truthful(question: bytes) -> bytes:
    return dns.message.make_response(dns.message.from_wire(question)).to_wire()


QUESTION = b"\x03www\x05plain\x07example\0\0\x01\0\x01"


def record(name: bytes, kind: int, content: bytes, *, ttl: int = 60) -> bytes:
    return name + struct.pack(">HHIH", kind, 1, ttl, len(content)) + content


async def test_silence_and_refusal(probes: Probes) -> None:
    observation = await asked(probes, lambda _: [])
    assert observation.error == "first byte timed out after 300ms"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        free = taken.getsockname()[1]
    assert (await probes.attempt(dns_check(free, "a.example"))).error == "connection refused"
    assert (await probes.attempt(dns_check(free, "a.example", transport="tcp"))).error == "connection refused"


async def test_a_lost_datagram_is_sent_again(probes: Probes) -> None:
    heard: list[bytes] = []

    def second_time(question: bytes) -> list[bytes]:
        heard.append(question)
        return [truthful(question)] if len(heard) > 1 else []

    observation = await asked(probes, second_time, timeouts={"first_byte": "60s"}, every="2m", timeout="1m")
    assert observation.error is None
    assert heard[0] == heard[1]


async def test_answers_to_other_questions_are_passed_by(probes: Probes) -> None:
    def beside(question: bytes) -> list[bytes]:
        other = bytes([question[0] ^ 1]) + question[1:]
        return [b"", b"x", truthful(other), truthful(question)]

    assert (await asked(probes, beside)).error is None

    def only_others(question: bytes) -> list[bytes]:
        return [bytes([question[0] ^ 1]) + question[1:]] * 150

    assert (await asked(probes, only_others)).error == "not DNS: answers to another question"


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda answer: answer[:2], "not DNS: the answer cannot be read"),
        (lambda answer: answer[:11], "not DNS: the answer cannot be read"),
        (lambda answer: answer[:2] + b"\0\0" + answer[4:], "not DNS: the answer to another question"),
        (lambda answer: answer.replace(b"plain", b"other"), "not DNS: the answer to another question"),
        (lambda answer: answer[:6] + b"\0\x09" + answer[8:], "not DNS: the answer cannot be read"),
        (
            lambda answer: answer[:4] + struct.pack(">HHHH", 0, 0, 0, 0),
            "not DNS: the answer to another question",
        ),
        (
            lambda answer: answer[:6] + b"\0\x01\0\0\0\0" + QUESTION + b"\x40a",
            "not DNS: the answer cannot be read",
        ),
        (
            lambda answer: answer[:6] + b"\0\x01\0\0\0\0" + QUESTION + record(b"\xc0\x0c", 1, b"\0" * 5),
            "not DNS: the answer cannot be read",
        ),
        (
            lambda answer: answer[:6] + b"\0\x01\0\0\0\0" + QUESTION + record(b"\xc0\x0c", 1, b"")[:-1],
            "not DNS: the answer cannot be read",
        ),
    ],
)
async def test_what_is_no_answer(probes: Probes, spoil: Callable[[bytes], bytes], error: str) -> None:
    assert (await asked(probes, lambda question: [spoil(truthful(question))])).error == error


def answered(flags: int, *sections: bytes, counts: tuple[int, int, int] = (0, 0, 0)) -> Answer:
    asked = question("www.plain.example", "A")
    head = asked.number + struct.pack(">HHHHH", flags, 1, *counts)
    return read_answer(asked, head + QUESTION + b"".join(sections))


def test_what_is_read_of_an_answer() -> None:
    here = b"\xc0\x0c"
    answer = answered(
        0x84A0,
        record(here, 1, bytes([192, 0, 2, 2]), ttl=90),
        record(here, 46, b"a signature"),
        record(here, 1, bytes([192, 0, 2, 1]), ttl=70),
        record(here, 1, b"passed over, for nobody asked here"),
        record(b"\0", 41, b"", ttl=1 << 24),
        counts=(3, 1, 1),
    )
    assert answer == Answer("BADVERS", False, True, True, ("192.0.2.1", "192.0.2.2"), 70)


def test_a_truncated_answer_is_read_no_further() -> None:
    assert answered(0x8200, b"\xff", counts=(9, 9, 9)).truncated


def test_a_refusal_may_leave_the_question_out() -> None:
    asked = question("www.plain.example", "A")
    raw = asked.number + struct.pack(">HHHHH", 0x8005, 0, 0, 0, 0)
    assert read_answer(asked, raw).rcode == "REFUSED"


def test_an_address_asks_for_its_name() -> None:
    assert question("192.0.2.1", "PTR").asked.startswith(b"\x011\x012\x010\x03192\x07in-addr\x04arpa\0")
    assert question("grün.example", "A").asked.startswith(b"\x0bxn--grn-ioa\x07example\0")
    with pytest.raises(OwnFault):
        question("a" * 64 + ".example", "A")


@given(st.binary(max_size=200), st.sampled_from(["A", "TXT", "MX", "SOA", "SVCB", "CAA", "NAPTR", "TLSA"]))
def test_any_bytes_are_survived(raw: bytes, kind: str) -> None:
    asked = question("a", kind)
    for counts in (b"\0\x01\0\x02\0\x01\0\x01", b"\0\x01\xff\xff\xff\xff\xff\xff"):
        with contextlib.suppress(AttemptFailed):
            read_answer(asked, asked.number + b"\x84\0" + counts + asked.asked + raw)


async def test_a_stream_that_ends_early(probes: Probes) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"\x02\x00short")
        writer.close()

    async with serving(cut) as port:
        check = dns_check(port, "a.example", transport="tcp")
        assert (await probes.attempt(check)).error == "connection closed by the server"


# The system's server


def test_the_systems_server_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    system = SystemServer(path)
    with pytest.raises(OwnFault):
        system.address()
    path.write_text("# nothing\nsearch example.com\n")
    assert system.address() == "127.0.0.1"
    path.write_text("nameserver nonsense\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n")
    path.touch()
    assert system.address() == "192.0.2.53"
