"""The gRPC probe: grpc.health.v1.Health/Check over HTTP/2 (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md).

HTTP/2 is h2's, which reads and writes nothing itself. grpcio would bring threads and a core of 15 MB; the two
messages of the health service are one field each.
"""

import re
import struct
from typing import TYPE_CHECKING, Any

from holdfast import __version__
from holdfast.adapters.probes.addresses import is_address
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.incoming import Incoming
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.wire import Wire
from holdfast.estate.checks import GrpcCheck

if TYPE_CHECKING:
    from h2.events import Event

_MOST = 32_768  # reading frames takes time, in which nothing else runs: 50 ms for so many of the smallest
_MOST_MESSAGE = 16_384
_PATH = "/grpc.health.v1.Health/Check"
_SERVING = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_STATUS = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_WORDS = {
    "NOT_FOUND": "the server does not know the service",
    "UNIMPLEMENTED": "the server has no health service",
    "UNAUTHENTICATED": "the server refused the credentials",
    "PERMISSION_DENIED": "the server refused the credentials",
}
_VALUE = re.compile(r"[\x20-\x7e]*")
_NUMBER = re.compile(rb"[0-9]{1,3}")


class GrpcProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def attempt(self, check: GrpcCheck, attempt: Attempt) -> dict[str, object]:
        """The serving status and the facts about TLS. Raises AttemptFailed."""
        from h2.exceptions import H2Error  # noqa: PLC0415  most estates never need it

        call = _Call(check, self._reach.revealed(check.metadata))
        async with self._reach.connected(attempt, check.host, check.port) as wire:
            tls: dict[str, object] = {}
            if check.tls:
                tls = await self._reach.secured(attempt, wire, check, protocol="h2")
                if wire.tls is None or wire.tls.selected_alpn_protocol() != "h2":
                    raise AttemptFailed("the server does not offer HTTP/2")
            incoming = Incoming(attempt.loop, most=_MOST)
            try:
                async with attempt.awaiting_first_byte():
                    call.begin(wire)
                    wire.attach(incoming)
                    # The settings come unasked: the first byte that counts is that of the answer.
                    while not call.answered:
                        call.hear(wire, await incoming.some())
                async with attempt.reading():
                    while not call.ended:
                        call.hear(wire, await incoming.some())
            except (H2Error, ValueError) as error:  # h2 lets some of hyperframe's and hpack's through
                raise AttemptFailed("not HTTP/2") from error
        return {"serving_status": call.serving_status(), **tls}


class _Call:
    """One unary call: its bytes, and what has come back so far."""

    def __init__(self, check: GrpcCheck, metadata: list[tuple[str, str]]) -> None:
        from h2.config import H2Configuration  # noqa: PLC0415
        from h2.connection import H2Connection  # noqa: PLC0415

        host = f"[{check.host}]" if is_address(check.host) and ":" in check.host else check.host
        self._connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._headers = [
            (":method", "POST"),
            (":scheme", "https" if check.tls else "http"),
            (":path", _PATH),
            (":authority", f"{host}:{check.port}"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", f"holdfast/{__version__}"),
            ("grpc-timeout", f"{max(1, round(check.timeout.total_seconds() * 1_000))}m"),
            *_sendable(metadata),
        ]
        self._question = _framed(_text_field(1, check.service))
        self._status: str | None = None
        self._message = b""
        self._begun = self.answered = self.ended = False

    def begin(self, wire: Wire) -> None:
        self._connection.initiate_connection()
        self._connection.send_headers(1, self._headers)
        self._connection.send_data(1, self._question, end_stream=True)
        wire.write(self._connection.data_to_send())

    def hear(self, wire: Wire, received: bytes) -> None:
        if not self._begun and received.startswith(b"HTTP/"):  # to h2 the beginning of a very long frame
            raise AttemptFailed("not HTTP/2")
        self._begun = True
        for event in self._connection.receive_data(received):
            self._take(event)
        if reply := self._connection.data_to_send():
            wire.write(reply)

    def serving_status(self) -> str:
        """What the health service says. Raises AttemptFailed when the call did not succeed."""
        if self._status is None:
            raise AttemptFailed("not gRPC: an answer without a status")
        if self._status != "OK":
            raise AttemptFailed(_WORDS.get(self._status, f"the call ended with {self._status}"))
        return _SERVING.get(_status_in(self._message), "UNKNOWN")

    def _take(self, event: "Event") -> None:
        from h2 import events  # noqa: PLC0415

        match event:
            case events.ResponseReceived(headers=headers):
                self.answered = True
                self._head(headers or [])
            case events.TrailersReceived(headers=headers):
                self._status_from(headers or [])
            case events.DataReceived(data=data, flow_controlled_length=length):
                self._message += data or b""
                if len(self._message) > _MOST_MESSAGE:
                    raise AttemptFailed("the answer is too long")
                self._connection.acknowledge_received_data(length or 0, 1)
            case events.StreamEnded():
                self.ended = True
            case events.StreamReset(error_code=code):
                raise AttemptFailed(f"the call was reset with code {int(code or 0)}")
            case events.ConnectionTerminated(error_code=code):
                raise AttemptFailed(f"the server ended the connection with code {int(code or 0)}")
            case _:
                pass

    def _head(self, headers: list[Any]) -> None:
        found = {bytes(name): bytes(value) for name, value in headers}
        status = found.get(b":status", b"")
        if status != b"200":
            shown = status.decode() if _NUMBER.fullmatch(status) else "no status"
            raise AttemptFailed(f"not gRPC: HTTP answered with {shown}")
        if not found.get(b"content-type", b"").startswith(b"application/grpc"):
            raise AttemptFailed("not gRPC: another content type")
        self._status_from(headers)

    def _status_from(self, headers: list[Any]) -> None:
        for name, value in headers:
            if bytes(name) == b"grpc-status" and _NUMBER.fullmatch(bytes(value)):
                number = int(value)
                self._status = _STATUS[number] if number < len(_STATUS) else f"status {number}"


def _sendable(metadata: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The metadata, which HTTP/2 would carry with any byte in it. Raises OwnFault."""
    if not all(_VALUE.fullmatch(value) for _, value in metadata):
        raise OwnFault("the check has metadata that cannot be sent")
    return metadata


def _framed(message: bytes) -> bytes:
    """A message as gRPC sends it: not compressed, and its length."""
    return struct.pack(">BI", 0, len(message)) + message


def _text_field(number: int, text: str) -> bytes:
    raw = text.encode()
    return bytes([number << 3 | 2]) + _varint(len(raw)) + raw if raw else b""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _status_in(framed: bytes) -> int:
    """Field 1 of HealthCheckResponse, 0 when it is left out (protobuf.dev, encoding)."""
    if len(framed) < 5 or framed[0] != 0 or int.from_bytes(framed[1:5], "big") != len(framed) - 5:
        raise AttemptFailed("not gRPC: the answer is no message")
    at, status = 5, 0
    while at < len(framed):
        tag, at = _read_varint(framed, at)
        match tag & 7:
            case 0:
                value, at = _read_varint(framed, at)
                status = value if tag >> 3 == 1 else status
            case 2:
                size, at = _read_varint(framed, at)
                at += size
            case 1 | 5 as width:
                at += 8 if width == 1 else 4
            case _:
                raise AttemptFailed("not gRPC: the answer is no message")
    if at != len(framed):
        raise AttemptFailed("not gRPC: the answer is no message")
    return status


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(raw[at : at + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, at + index + 1
    raise AttemptFailed("not gRPC: the answer is no message")
