"""Servers that answer as none should: good conversations of each protocol, and what may become of them."""

import asyncio
import base64
import contextlib
import hashlib
import random
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dns.message
import h2.config
import h2.connection
from pydantic import TypeAdapter

from holdfast.estate.checks import Check

CHECKS: TypeAdapter[Check] = TypeAdapter(Check)
Answer = bytes | Callable[[bytes], bytes]
"""What is sent next: the same each time, or made from what was heard last."""
PATIENCE = {"every": "1s", "timeout": "400ms", "timeouts": {"first_byte": "200ms", "tls": "200ms"}}
_ENDLESS_CHUNKS = 20_000


@dataclass(frozen=True)
class Protocol:
    """The checks of one protocol, by their keys, and conversations that satisfy them.

    `speaks_first` says that of the server. `instrument` when failures say nothing about the target.
    """

    checks: tuple[dict[str, Any], ...]
    conversations: tuple[tuple[Answer, ...], ...]
    speaks_first: bool = False
    instrument: bool = False
    datagrams: bool = False
    endless: bytes = b"x"
    secured: dict[str, Any] = field(default_factory=dict)

    def check(self, chance: random.Random, port: int) -> Check:
        keys = {**chance.choice(self.checks), **PATIENCE}
        if self.secured and chance.random() < 0.2:
            keys |= self.secured
        filled = {
            key: value.replace("PORT", str(port)) if isinstance(value, str) else value
            for key, value in keys.items()
        }
        if "port" in filled:
            filled["port"] = port
        return CHECKS.validate_python(filled)


class Vandal:
    """A server's side of one protocol: each connection goes wrong in a way of its own."""

    def __init__(self, protocol: Protocol, chance: random.Random) -> None:
        self.protocol = protocol
        self.chance = chance

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(RuntimeError):  # uvloop's word for a connection that is gone
            await self._converse(reader, writer)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = self.chance.choice(self.protocol.conversations)
        act = self.chance.choice(
            [
                "right",
                "random",
                "truncated",
                "mutated",
                "mutated",
                "endless",
                "slow",
                "tls",
                "reset",
                "silent",
            ]
        )
        stop = self.chance.randrange(len(conversation))
        for number, answer in enumerate(conversation):
            heard = b""
            if number or not self.protocol.speaks_first:
                heard = await reader.read(65_536)
            said = answer(heard) if callable(answer) else answer
            if number == stop or act in ("mutated", "random"):
                if not await self._say(act, said, writer):
                    return
            else:
                writer.write(said)
                await writer.drain()
        await reader.read(65_536)

    async def _say(self, act: str, said: bytes, writer: asyncio.StreamWriter) -> bool:
        """Say it as `act` has it; returns whether the conversation goes on."""
        chance = self.chance
        match act:
            case "random":
                writer.write(chance.randbytes(chance.randrange(1, 400)))
            case "truncated":
                writer.write(said[: chance.randrange(len(said) + 1)])
            case "mutated":
                writer.write(mutated(said, chance))
            case "endless":
                writer.write(said[: chance.randrange(len(said) + 1)])
                filler = chance.choice([self.protocol.endless, chance.randbytes(50), said]) * 20
                for _ in range(_ENDLESS_CHUNKS):
                    if writer.transport.is_closing():
                        return False
                    writer.write(filler or b"x")
                    await writer.drain()
            case "slow":
                for byte in said[:200]:
                    if writer.transport.is_closing():
                        return False
                    writer.write(bytes([byte]))
                    await asyncio.sleep(chance.choice([0, 0.001, 0.01]))
            case "tls":
                record = chance.choice([b"\x16\x03\x03", b"\x15\x03\x01", b"\x17\x03\x03"])
                writer.write(record + struct.pack(">H", chance.randrange(65_536)) + chance.randbytes(40))
            case "reset":
                writer.write(said[: chance.randrange(len(said) + 1)])
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            case "silent":
                await asyncio.sleep(chance.choice([0, 0.3]))
                return False
            case _:
                writer.write(said)
        await writer.drain()
        return act in ("right", "random", "mutated", "slow")


class VandalOfDatagrams(asyncio.DatagramProtocol):
    """The same for datagrams."""

    def __init__(self, protocol: Protocol, chance: random.Random) -> None:
        self.protocol = protocol
        self.chance = chance

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        chance = self.chance
        answer = chance.choice(self.protocol.conversations)[0]
        said = answer(data) if callable(answer) else answer
        for _ in range(chance.choice([0, 1, 1, 1, 1, 2, 150])):
            match chance.choice(["right", "random", "truncated", "mutated", "mutated", "mutated"]):
                case "random":
                    sent = data[:2] + chance.randbytes(chance.randrange(400))
                case "truncated":
                    sent = said[: chance.randrange(len(said) + 1)]
                case "mutated":
                    sent = said[:2] + mutated(said[2:], chance)
                case _:
                    sent = said
            self.transport.sendto(sent, addr)  # type: ignore[attr-defined]


def mutated(said: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, lost, doubled or put in."""
    raw = bytearray(said)
    for _ in range(chance.choice([1, 1, 1, 2, 5, 20])):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(5):
            case 0 if at < len(raw):
                raw[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(raw):
                raw[at] = chance.choice([0, 0x7F, 0x80, 0xFF, 0x0A, 0x20])
            case 2:
                del raw[at : at + chance.randrange(1, 8)]
            case 3:
                raw[at:at] = chance.randbytes(chance.randrange(1, 8))
            case _:
                raw[at:at] = raw[at : at + chance.randrange(1, 64)]
    return bytes(raw)


# Conversations that are right


def http(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def dns_answer(question: bytes, *, framed: bool = False) -> bytes:
    query = dns.message.from_wire(question[2:] if framed else question)
    answer = dns.message.make_response(query)
    name = query.question[0].name
    answer.answer.append(dns.rrset.from_text(name, 300, "IN", "CNAME", "other.example."))
    answer.answer.append(dns.rrset.from_text("other.example.", 300, "IN", "A", "192.0.2.1", "192.0.2.2"))
    answer.answer.append(dns.rrset.from_text("other.example.", 60, "IN", "TXT", '"a" "b"'))
    answer.answer.append(dns.rrset.from_text("other.example.", 60, "IN", "MX", "10 mail.example."))
    return answer.to_wire(prepend_length=framed)


def amqp_frame(payload: bytes, channel: int = 0) -> bytes:
    return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


def amqp() -> tuple[Answer, ...]:
    start = struct.pack(">HHBBI", 10, 10, 0, 9, 0) + struct.pack(">I", 5) + b"PLAIN" + bytes(4)
    tune = struct.pack(">HHHIH", 10, 30, 2_047, 131_072, 60)
    depth = struct.pack(">HHB", 50, 11, 4) + b"jobs" + struct.pack(">II", 3, 1)
    return (
        amqp_frame(start),
        amqp_frame(tune),
        amqp_frame(struct.pack(">HHB", 10, 41, 0)),
        amqp_frame(struct.pack(">HHI", 20, 11, 0), 1),
        amqp_frame(depth, 1),
        amqp_frame(struct.pack(">HH", 10, 51)),
    )


def grpc() -> tuple[Answer, ...]:
    """As h2 says it; the bytes are the same for every call."""
    config = h2.config.H2Configuration(client_side=True)
    client, server = (
        h2.connection.H2Connection(config),
        h2.connection.H2Connection(h2.config.H2Configuration(client_side=False)),
    )
    client.initiate_connection()
    client.send_headers(
        1, [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")], end_stream=True
    )
    server.initiate_connection()
    settings = server.data_to_send()
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc"), ("x", "y" * 50)])
    server.send_data(1, b"\0\0\0\0\x02\x08\x01")
    server.send_headers(1, [("grpc-status", "0"), ("grpc-message", "all is well")], end_stream=True)
    return (settings + server.data_to_send(),)


def pg(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body


def pg_challenge(heard: bytes) -> bytes:
    nonce = heard.rpartition(b"r=")[2]
    return pg(b"R", struct.pack(">I", 11) + b"r=" + nonce + b"abc,s=c2FsdA==,i=4096")


PG_READY = pg(b"S", b"server_version\0" + b"18.0\0") + pg(b"Z", b"I")
PG_BEGUN = pg(b"C", b"BEGIN\0") + pg(b"C", b"SET\0") + pg(b"Z", b"T")
PG_ROWS = (
    pg(b"1", b"")
    + pg(b"2", b"")
    + pg(
        b"T",
        b"\0\x02n\0"
        + struct.pack(">IHIHIH", 0, 0, 23, 4, 0, 0)
        + b"t\0"
        + struct.pack(">IHIHIH", 0, 0, 25, 4, 0, 0),
    )
    + pg(b"D", b"\0\x02\0\0\0\x0242\0\0\0\x02hi")
    + pg(b"D", b"\0\x02\xff\xff\xff\xff\0\0\0\x02hi")
    + pg(b"C", b"SELECT 2\0")
    + pg(b"Z", b"T")
)


def websocket_accept(heard: bytes) -> bytes:
    match = re.search(rb"sec-websocket-key: (\S+)", heard, re.IGNORECASE)
    key = match[1] if match else b""
    digest = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + digest + b"\r\n\r\n\x89\x02hi\x01\x03one\x80\x03two"
    )


HOST: dict[str, Any] = {"host": "127.0.0.1", "port": 0}
PROMETHEUS = (
    b'{"status":"success","data":{"resultType":"vector","result":'
    b'[{"metric":{"a":"b"},"value":[1.5,"3"]},{"metric":{},"value":[1.5,"NaN"]}]}}'
)
RDAP = (
    b'{"objectClassName":"domain","status":["active"],"events":[{"eventAction":"expiration",'
    b'"eventDate":"2030-01-01T00:00:00Z"}],"entities":[{"roles":["registrar"],"vcardArray":'
    b'["vcard",[["fn",{},"text","Some One"]]]}]}'
)
WHOIS = b"Domain: a.test\r\nRegistrar: Some One\r\nStatus: active\r\nExpiry Date: 2030-01-01\r\n"
EHLO = b"250-mail.example.com\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"

PROTOCOLS: dict[str, Protocol] = {
    "http": Protocol(
        checks=(
            {
                "type": "http",
                "url": "http://127.0.0.1:PORT/",
                "conditions": ['json("$.a") == 1', 'body contains "a"', 'header("x") exists'],
            },
            {"type": "http", "url": "http://127.0.0.1:PORT/", "method": "HEAD"},
        ),
        conversations=(
            (http(b'{"a": 1}', "X: y", "Content-Type: text/html; charset=utf-16"),),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",),
            (b"HTTP/1.1 302 Go\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",),
            (
                http(
                    b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x4b\x04\0\x43\xbe\xb7\xe8\x01\0\0\0",
                    "Content-Encoding: gzip",
                ),
            ),
        ),
        endless=b"X-Endless: y\r\n",
        secured={"url": "https://127.0.0.1:PORT/"},
    ),
    "tcp": Protocol(
        checks=({"type": "tcp", **HOST, "conditions": ['answer contains "ready"'], "send": "x"},),
        conversations=((b"220 ready\r\n",), (b"220-not\r\n220 yet\r\n",)),
    ),
    "tls": Protocol(checks=({"type": "tls", **HOST},), conversations=((b"\x16\x03\x03\0\x05hello",),)),
    "dns": Protocol(
        checks=tuple(
            {
                "type": "dns",
                "name": "a.example",
                "record": record,
                "server": "127.0.0.1",
                "port": 0,
                "conditions": ['answers contains "x"', "ttl > 1s"],
            }
            for record in ("A", "TXT", "MX", "CNAME", "SOA")
        ),
        conversations=((dns_answer,),),
        datagrams=True,
    ),
    "dns-tcp": Protocol(
        checks=({"type": "dns", "name": "a.example", "server": "127.0.0.1", "port": 0, "transport": "tcp"},),
        conversations=((lambda heard: dns_answer(heard, framed=True),),),
    ),
    "amqp": Protocol(
        checks=(
            {"type": "amqp", **HOST, "tls": False, "user": "u", "password": "env:TOKEN", "queue": "jobs"},
        ),
        conversations=(amqp(),),
        endless=amqp_frame(b"").replace(b"\x01", b"\x08", 1),
        secured={"tls": True},
    ),
    "smtp": Protocol(
        checks=(
            {"type": "smtp", **HOST, "tls": "none", "conditions": ['capability("size") == "1000"']},
            {"type": "smtp", **HOST, "tls": "starttls"},
        ),
        conversations=((b"220 mail.example.com ESMTP\r\n", EHLO, b"220 go\r\n"),),
        speaks_first=True,
        endless=b"250-x\r\n",
        secured={"tls": "implicit"},
    ),
    "grpc": Protocol(
        checks=({"type": "grpc", **HOST, "tls": False},),
        conversations=(grpc(),),
        endless=b"\0\0\x08\x06\0\0\0\0\0" + bytes(8),
        secured={"tls": True},
    ),
    "postgres": Protocol(
        checks=(
            {
                "type": "postgres",
                **HOST,
                "tls": False,
                "user": "u",
                "database": "d",
                "password": "env:TOKEN",
                "conditions": ["value == 42", 'column("t") == "hi"'],
            },
        ),
        conversations=(
            (pg(b"R", bytes(4)) + PG_READY, PG_BEGUN, PG_ROWS),
            (pg(b"R", b"\0\0\0\x05salt"), pg(b"R", bytes(4)) + PG_READY, PG_BEGUN, PG_ROWS),
            (pg(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"), pg_challenge, pg(b"R", b"\0\0\0\x0cv=AAAA")),
        ),
        endless=pg(b"N", b"SNOTICE\0\0"),
        secured={"tls": True},
    ),
    "websocket": Protocol(
        checks=(
            {
                "type": "websocket",
                "url": "ws://127.0.0.1:PORT/",
                "send": "hello",
                "conditions": ['message == "onetwo"'],
            },
        ),
        conversations=((websocket_accept, b"\x82\x01x\x88\x02\x03\xe8"),),
        endless=b"\x89\0",
        secured={"url": "wss://127.0.0.1:PORT/"},
    ),
    "prometheus": Protocol(
        checks=(
            {
                "type": "prometheus",
                "url": "http://127.0.0.1:PORT",
                "query": "up",
                "conditions": ["value < 5", "series == 1"],
            },
        ),
        conversations=((http(PROMETHEUS),), (http(PROMETHEUS.replace(b"vector", b"scalar")),)),
        instrument=True,
        endless=b"X-Endless: y\r\n",
        secured={"url": "https://127.0.0.1:PORT"},
    ),
    "domain": Protocol(
        checks=(
            {
                "type": "domain",
                "domain": "a.test",
                "rdap": "http://127.0.0.1:PORT",
                "whois": "127.0.0.1:PORT",
            },
        ),
        conversations=((http(RDAP),), (WHOIS,)),
        instrument=True,
        secured={"rdap": "https://127.0.0.1:PORT"},
    ),
}
