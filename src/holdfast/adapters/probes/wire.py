"""One connection: bytes out, bytes in, TLS when asked for, and gone when closed.

TLS runs here over memory buffers instead of in the event loop's own transport. The handshake is then a phase
of its own on every loop, its failure still shows the certificate, and closing never waits for the other side.
"""

import asyncio
import ssl
from collections import deque
from typing import Protocol

from holdfast.adapters.probes.errors import AttemptFailed, failure_of

_READ = 65_536
_STAGGER_S = 0.25


class Receiver(Protocol):
    """Takes what arrives, and the end. Called from the event loop: never raises, never waits."""

    def feed(self, received: bytes) -> None: ...

    def ended(self, error: Exception | None) -> None:
        """Nothing more arrives: the other side closed (None) or the connection broke. May come twice."""
        ...


class Wire(asyncio.Protocol):
    """A connection of one attempt."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._closed = False
        self._receiver: Receiver | None = None
        self._early: list[bytes] = []
        self._end: tuple[Exception | None] | None = None
        self._secured: _Secured | None = None

    async def open(self, address: str, port: int) -> None:
        """Connect. Raises OSError. Leaves nothing open when it fails or is cancelled."""
        try:
            await self._loop.create_connection(lambda: self, address, port)
        except BaseException:
            self.close()
            raise

    async def secure(self, context: ssl.SSLContext, server_name: str) -> ssl.SSLObject:
        """The TLS handshake. Raises ssl.SSLError, OSError or AttemptFailed."""
        secured = _Secured(self, context, server_name)
        self._secured = secured
        self._replay(secured)
        await secured.handshake()
        return secured.tls

    def attach(self, receiver: Receiver) -> None:
        """Hand what arrives to `receiver`, beginning with what arrived already."""
        self._receiver = receiver
        if self._secured is None:
            self._replay(receiver)
            return
        self._secured.pump()
        if self._end and self._receiver is not None:
            self._receiver.ended(self._end[0])

    def write(self, sent: bytes) -> None:
        if self._secured is not None:
            self._secured.write(sent)
        else:
            self.write_raw(sent)

    def write_raw(self, sent: bytes) -> None:
        if self._transport is not None and not self._closed:
            self._transport.write(sent)

    def close(self) -> None:
        """Drop the connection at once. Nothing is handed on afterwards."""
        self._closed = True
        self._receiver = self._secured = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    @property
    def tls(self) -> ssl.SSLObject | None:
        return self._secured.tls if self._secured is not None else None

    @property
    def own_address(self) -> str:
        """The address that we connected from."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]).partition("%")[0] if name else "127.0.0.1"

    @property
    def receiver(self) -> Receiver | None:
        return self._receiver

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if self._closed:  # cancelled in the moment between connecting and being told so
            self.close()

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        sink = self._secured or self._receiver
        if sink is None:
            self._early.append(data)
        else:
            sink.feed(data)

    def eof_received(self) -> bool:
        self._ended(None)
        return True  # stay half open: closing is the attempt's to do

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)

    def _ended(self, error: Exception | None) -> None:
        if self._closed:
            return
        self._end = self._end or (error,)
        sink = self._secured or self._receiver
        if sink is not None:
            sink.ended(error)

    def _replay(self, sink: Receiver) -> None:
        early, self._early = self._early, []
        for received in early:
            sink.feed(received)
        if self._end:
            sink.ended(self._end[0])


class _Secured:
    """TLS between the raw connection and the receiver."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, server_name: str) -> None:
        self._wire = wire
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._shaken: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._failure: Exception | None = None

    async def handshake(self) -> None:
        shaken = self._shaken
        if shaken is not None:
            self._step()
            await shaken
        if self._failure is not None:
            raise self._failure

    def write(self, sent: bytes) -> None:
        self.tls.write(sent)
        self._flush()

    def feed(self, received: bytes) -> None:
        self._incoming.write(received)
        if self._shaken is not None:
            self._step()
        else:
            self.pump()

    def ended(self, error: Exception | None) -> None:
        if self._shaken is not None:
            self._finish(
                AttemptFailed("connection closed during the TLS handshake") if error is None else error
            )
        elif self._wire.receiver is not None:
            # An end without close_notify is an end, as browsers have it: too many servers never send one.
            self._wire.receiver.ended(error)

    def pump(self) -> None:
        """Hand on what can be decrypted."""
        try:
            while (receiver := self._wire.receiver) is not None:
                received = self.tls.read(_READ)
                if not received:
                    receiver.ended(None)
                    break
                receiver.feed(received)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            if self._wire.receiver is not None:
                self._wire.receiver.ended(error)
        self._flush()

    def _step(self) -> None:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except (ssl.SSLError, ValueError) as error:
            self._flush()  # the alert tells the other side why
            self._finish(error)
        else:
            self._flush()
            self._finish(None)

    def _finish(self, failure: Exception | None) -> None:
        shaken, self._shaken = self._shaken, None
        self._failure = failure
        if shaken is not None and not shaken.done():
            shaken.set_result(None)

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._wire.write_raw(self._outgoing.read())


async def connect(loop: asyncio.AbstractEventLoop, addresses: tuple[str, ...], port: int) -> Wire:
    """A connection to the first address that answers. Raises AttemptFailed when none does.

    The next address is tried when one fails, and beside one that is silent for 250 ms (RFC 8305, section 5).
    """
    try:
        if len(addresses) > 1:
            return await _race(loop, addresses, port)
        wire = Wire(loop)
        await wire.open(addresses[0], port)
    except OSError as error:
        raise failure_of(error) from error
    return wire


async def _race(loop: asyncio.AbstractEventLoop, addresses: tuple[str, ...], port: int) -> Wire:
    running: dict[asyncio.Task[None], Wire] = {}
    waiting = deque(addresses)
    failure: BaseException = AttemptFailed("connection failed")
    try:
        while waiting or running:
            if waiting:
                wire = Wire(loop)
                running[loop.create_task(wire.open(waiting.popleft(), port))] = wire
            ended, _ = await asyncio.wait(
                running, timeout=_STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                wire = running.pop(task)
                error = task.exception()
                if error is None:
                    return wire
                failure = error
        raise failure
    finally:
        await _give_up(running)


async def _give_up(running: dict[asyncio.Task[None], Wire]) -> None:
    for task, wire in running.items():
        wire.close()
        task.cancel()
    if running:
        await asyncio.gather(*running, return_exceptions=True)
