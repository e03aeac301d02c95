"""The WebSocket probe (RFC 6455): the handshake and, when a condition asks for it, the first message.

The protocol is wsproto's, which reads and writes nothing itself.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.adapters.probes.errors import AttemptFailed
from holdfast.adapters.probes.http_request import Target, checked, target_of
from holdfast.adapters.probes.incoming import Incoming
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.tls import secure
from holdfast.adapters.probes.wire import Wire
from holdfast.estate.checks import WebsocketCheck

if TYPE_CHECKING:
    from wsproto.events import Event

_MOST = 262_144
_MOST_MESSAGE = 65_536
_MOST_FRAMES = 1_000
_BROKEN = "not WebSocket: the server broke the protocol"


@dataclass(frozen=True, slots=True)
class WebsocketPlan:
    """What of a check can be prepared once. `listens` when a condition mentions the first message."""

    target: Target
    listens: bool


class WebsocketProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def plan(self, check: WebsocketCheck, *, listens: bool) -> WebsocketPlan:
        """Prepare `check`. Raises AttemptFailed when it can never be sent."""
        return WebsocketPlan(target_of(f"http{check.url[2:]}"), listens)

    async def attempt(
        self, check: WebsocketCheck, plan: WebsocketPlan, attempt: Attempt
    ) -> dict[str, object]:
        """The subprotocol, the first message if asked for, and the facts about TLS. Raises AttemptFailed."""
        target = plan.target
        talk = _Talk(check, target, self._reach.revealed(check.headers))
        async with self._reach.connected(attempt, target.host, target.port) as wire:
            tls: dict[str, object] = {}
            if target.secure:
                tls = await secure(
                    attempt,
                    wire,
                    self._reach.trust,
                    server_name=target.host,
                    verify=check.verify_tls,
                    ca_file=check.ca_file,
                )
            incoming = Incoming(attempt.loop, most=_MOST)
            async with attempt.awaiting_first_byte():
                talk.begin(wire)
                wire.attach(incoming)
                await incoming.begun()
            async with attempt.reading():
                while not talk.accepted:
                    talk.hear(wire, await incoming.some())
            if check.send is not None:
                talk.say(wire, check.send)
            if plan.listens:
                async with attempt.listening():
                    while not talk.complete:
                        talk.check_open()
                        talk.hear(wire, await incoming.some())
            talk.end(wire)
        return {**talk.facts(), **tls}


class _Talk:
    """One connection's handshake and first message."""

    def __init__(self, check: WebsocketCheck, target: Target, headers: list[tuple[str, str]]) -> None:
        from wsproto import ConnectionType, WSConnection  # noqa: PLC0415  most estates never need it
        from wsproto.events import Request  # noqa: PLC0415

        self._connection = WSConnection(ConnectionType.CLIENT)
        self._request = Request(
            host=target.authority,
            target=target.path,
            extra_headers=_encoded(headers),
            subprotocols=[check.subprotocol] if check.subprotocol else [],
        )
        self._subprotocol: str | None = None
        self._message: bytearray | None = None
        self._ended: str | None = None
        self._heard = 0
        self.accepted = self.complete = False

    def begin(self, wire: Wire) -> None:
        wire.write(self._connection.send(self._request))

    def say(self, wire: Wire, text: str) -> None:
        from wsproto.events import TextMessage  # noqa: PLC0415

        if self._open():  # the server may have closed with the same breath that accepted
            wire.write(self._connection.send(TextMessage(data=text)))

    def end(self, wire: Wire) -> None:
        from wsproto.events import CloseConnection  # noqa: PLC0415

        if self._open():
            wire.write(self._connection.send(CloseConnection(code=1000)))

    def hear(self, wire: Wire, received: bytes) -> None:
        from h11 import ProtocolError as HttpError  # noqa: PLC0415
        from wsproto.utilities import ProtocolError  # noqa: PLC0415

        try:
            self._connection.receive_data(received)
            for event in self._connection.events():
                self._heard += 1
                if self._heard > _MOST_FRAMES:
                    raise AttemptFailed("the server sends too many frames")
                self._take(wire, event)
        except (ProtocolError, HttpError, ValueError) as error:  # ValueError: a header that is not ASCII
            raise AttemptFailed(_BROKEN) from error

    def check_open(self) -> None:
        """Raises AttemptFailed when no message can come any more."""
        if self._ended is not None:
            raise AttemptFailed(self._ended)

    def facts(self) -> dict[str, object]:
        facts: dict[str, object] = {}
        if self._subprotocol is not None:
            facts["subprotocol"] = self._subprotocol
        if self._message is not None:
            facts["message"] = bytes(self._message)
        return facts

    def _open(self) -> bool:
        from wsproto.connection import ConnectionState  # noqa: PLC0415

        return self._connection.state is ConnectionState.OPEN

    def _take(self, wire: Wire, event: "Event") -> None:
        from wsproto import events  # noqa: PLC0415

        match event:
            case events.AcceptConnection(subprotocol=subprotocol):
                self.accepted, self._subprotocol = True, subprotocol
            case events.RejectConnection(status_code=status):
                raise AttemptFailed(f"the handshake was answered with {status}, expected 101")
            case events.Ping():
                wire.write(self._connection.send(event.response()))
            case events.TextMessage(data=text):
                self._take_part(text.encode("utf-8", "surrogatepass"), last=event.message_finished)
            case events.BytesMessage(data=raw):
                self._take_part(bytes(raw), last=event.message_finished)
            case events.CloseConnection() if self._open():
                # Nobody closed: wsproto found what came to be no frame, and proposes to end it.
                self._ended = self._ended or _BROKEN
            case events.CloseConnection(code=code):
                self._ended = self._ended or f"closed with code {int(code)} before a message came"
            case _:
                pass

    def _take_part(self, part: bytes, *, last: bool) -> None:
        if self.complete:
            return
        self._message = self._message or bytearray()
        self._message += part[: _MOST_MESSAGE - len(self._message)]
        self.complete = last or len(self._message) >= _MOST_MESSAGE


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    lines = (line.encode("latin-1", "replace").partition(b": ") for line in checked(headers))
    return [(name, value) for name, _, value in lines]
