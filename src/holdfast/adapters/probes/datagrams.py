"""A connected socket for datagrams, in the loop's hands only while somebody waits."""

import asyncio
import socket
from types import TracebackType
from typing import Self

from holdfast.adapters.probes.errors import OwnFault, failure_of

_LARGEST = 65_535


class Datagrams:
    """Datagrams to one address. The socket is closed at the end of the `with`. Raises AttemptFailed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, address: str, port: int, *, protocol: int = 0
    ) -> None:
        self._loop = loop
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
        except PermissionError as error:
            raise OwnFault("the system allows no such socket") from error
        except OSError as error:
            raise failure_of(error) from error
        try:
            self._socket.connect((address, port))
        except OSError as error:
            self._socket.close()
            raise failure_of(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, datagram: bytes) -> None:
        try:
            self._socket.send(datagram)
        except BlockingIOError:
            return  # the buffer is full: lost, as a datagram may be
        except OSError as error:
            raise failure_of(error) from error

    async def receive(self) -> bytes:
        """The next datagram."""
        while True:
            try:
                return self._socket.recv(_LARGEST)
            except BlockingIOError:
                await self._readable()
            except OSError as error:
                raise failure_of(error) from error

    async def _readable(self) -> None:
        readable: asyncio.Future[None] = self._loop.create_future()

        def ready() -> None:
            if not readable.done():
                readable.set_result(None)

        self._loop.add_reader(self._socket.fileno(), ready)
        try:
            await readable
        finally:
            self._loop.remove_reader(self._socket.fileno())
