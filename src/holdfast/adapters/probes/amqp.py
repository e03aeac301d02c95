"""The AMQP 0-9-1 probe: login, a virtual host, a channel, and the depth of a queue by a passive declare.

The clients for it open their own connections, keep them alive and start tasks of their own, which no phase
here could bound. Seven methods are all that a check says, so they are written and read here, strictly
(AMQP 0-9-1, sections 1.4 and 4.2).
"""

import struct
from contextlib import suppress

from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.incoming import Incoming
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.wire import Wire
from holdfast.estate.checks import AmqpCheck

_MOST = 524_288
_LONGEST_FRAME = 131_072
_MOST_HEARTBEATS = 100
_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD, _HEARTBEAT, _FRAME_END = 1, 8, 0xCE
_START, _START_OK, _TUNE, _TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
_OPEN, _OPEN_OK, _CLOSE, _CLOSE_OK = (10, 40), (10, 41), (10, 50), (10, 51)
_CHANNEL_OPEN, _CHANNEL_OPEN_OK, _CHANNEL_CLOSE = (20, 10), (20, 11), (20, 40)
_DECLARE, _DECLARE_OK = (50, 10), (50, 11)
_PASSIVE = 1
_CLOSED = {
    320: "the broker is shutting down",
    403: "the broker refused the login",
    530: "the virtual host cannot be used",
}
_CHANNEL_CLOSED = {
    403: "the queue may not be looked at",
    404: "the queue does not exist",
    405: "the queue belongs to another connection alone",
}

Method = tuple[int, int]


class AmqpProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def attempt(self, check: AmqpCheck, attempt: Attempt) -> dict[str, object]:
        """The depth of the queue, when one is named, and the facts about TLS. Raises AttemptFailed."""
        login = _login(check.user, self._reach.secret(check.password))
        async with self._reach.connected(attempt, check.host, check.port) as wire:
            facts = await self._reach.secured(attempt, wire, check) if check.tls else {}
            incoming = Incoming(attempt.loop, most=_MOST)
            talk = _Conversation(wire, incoming)
            async with attempt.awaiting_first_byte():
                wire.write(_HEADER)
                wire.attach(incoming)
                await incoming.begun()
            async with attempt.reading():
                await talk.log_in(login, check.virtual_host)
                await talk.ask(1, _CHANNEL_OPEN, _short_text(""), _CHANNEL_OPEN_OK)
                if check.queue is not None:
                    facts |= await talk.depth(check.queue)
            with suppress(AttemptFailed):  # the farewell keeps the broker's log quiet, and proves nothing
                async with attempt.parting():
                    await talk.ask(0, _CLOSE, struct.pack(">HBHH", 200, 0, 0, 0), _CLOSE_OK)
        return facts


class _Conversation:
    """Methods out, methods in."""

    def __init__(self, wire: Wire, incoming: Incoming) -> None:
        self._wire = wire
        self._incoming = incoming

    async def log_in(self, login: bytes, virtual_host: str) -> None:
        mechanisms = _mechanisms(await self.receive(_START))
        if b"PLAIN" not in mechanisms.split():
            raise AttemptFailed("the broker accepts no login by password")
        self.send(0, _START_OK, login)
        tune = await self.receive(_TUNE)
        # What the broker proposes is what we take, but no heartbeats: we are gone before one is due.
        self.send(0, _TUNE_OK, _exactly(tune, 8)[:6] + b"\0\0")
        await self.ask(0, _OPEN, _short_text(virtual_host) + b"\0\0", _OPEN_OK)

    async def depth(self, queue: str) -> dict[str, object]:
        arguments = struct.pack(">H", 0) + _short_text(queue) + struct.pack(">BI", _PASSIVE, 0)
        answer = await self.ask(1, _DECLARE, arguments, _DECLARE_OK)
        name = answer[0] if answer else 0
        messages, consumers = struct.unpack(">II", _exactly(answer[1 + name :], 8))
        return {"messages": messages, "consumers": consumers}

    async def ask(self, channel: int, method: Method, arguments: bytes, answer: Method) -> bytes:
        self.send(channel, method, arguments)
        return await self.receive(answer)

    def send(self, channel: int, method: Method, arguments: bytes) -> None:
        payload = struct.pack(">HH", *method) + arguments
        self._wire.write(struct.pack(">BHI", _METHOD, channel, len(payload)) + payload + bytes([_FRAME_END]))

    async def receive(self, expected: Method) -> bytes:
        """The arguments of the next method, which has to be this one. Raises AttemptFailed."""
        payload = await self._frame()
        method, arguments = (payload[:2], payload[2:4]), payload[4:]
        found = (int.from_bytes(method[0], "big"), int.from_bytes(method[1], "big"))
        if found == expected:
            return arguments
        if found in (_CLOSE, _CHANNEL_CLOSE):
            code = int.from_bytes(arguments[:2], "big")
            words = (_CLOSED if found == _CLOSE else _CHANNEL_CLOSED).get(code)
            raise AttemptFailed(words or f"the broker closed with code {code}")
        raise AttemptFailed(f"not AMQP 0-9-1: unexpected method {found[0]}.{found[1]}")

    async def _frame(self) -> bytes:
        """The payload of the next frame that is a method."""
        for _ in range(_MOST_HEARTBEATS):
            head = await self._incoming.exactly(7)
            if head.startswith(b"AMQP"):
                raise AttemptFailed("the broker speaks another version of AMQP")
            kind, _channel, size = struct.unpack(">BHI", head)
            if kind not in (_METHOD, _HEARTBEAT) or size > _LONGEST_FRAME:
                raise AttemptFailed("not AMQP 0-9-1: unexpected frame")
            payload = await self._incoming.exactly(size + 1)
            if payload[-1] != _FRAME_END:
                raise AttemptFailed("not AMQP 0-9-1: a frame without its end")
            if kind == _METHOD:
                return payload[:-1]
        raise AttemptFailed("not AMQP 0-9-1: nothing but heartbeats")


def _login(user: str, password: str) -> bytes:
    """The arguments of Start-Ok. A broker that may say that the login is wrong does so by a Close."""
    capabilities = _short_text("authentication_failure_close") + b"t\x01"
    product = b"Holdfast"
    properties = _short_text("product") + b"S" + _long_text(product)
    properties += _short_text("capabilities") + b"F" + _long_text(capabilities)
    response = b"\0" + user.encode() + b"\0" + password.encode("utf-8", "surrogateescape")
    return _long_text(properties) + _short_text("PLAIN") + _long_text(response) + _short_text("en_US")


def _mechanisms(start: bytes) -> bytes:
    """From the arguments of Start: version (2), server properties, mechanisms, locales."""
    _, rest = _take_long_text(start[2:])
    return _take_long_text(rest)[0]


def _take_long_text(raw: bytes) -> tuple[bytes, bytes]:
    size = int.from_bytes(_exactly(raw[:4], 4), "big")
    return _exactly(raw[4 : 4 + size], size), raw[4 + size :]


def _exactly(raw: bytes, size: int) -> bytes:
    if len(raw) != size:
        raise AttemptFailed("not AMQP 0-9-1: a method is cut short")
    return raw


def _long_text(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def _short_text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 255:
        raise OwnFault("a name of the check is longer than 255 bytes")
    return bytes([len(raw)]) + raw
