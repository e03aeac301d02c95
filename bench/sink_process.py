"""A light SMTP sink in a process of its own: `python -m bench.sink_process PORT FILE [DELAY_MS]`.

It accepts every mail and appends the moment and its Message-ID to the file, a line for each, in the same step
in which it answers that it was accepted. It says its port once it listens, and ends with its standard input.
"""

import asyncio
import os
import re
import sys
import time
from pathlib import Path

_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^>]*)>", re.IGNORECASE | re.MULTILINE)
_END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    """One connection. Commands come one at a time: a client waits for each answer."""

    def __init__(self, descriptor: int, delay_s: float) -> None:
        self._descriptor = descriptor
        self._delay_s = delay_s
        self._buffer = bytearray()
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        transport.write(b"220 sink ESMTP\r\n")  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._in_data:
            self._take_mail()
            return
        while (end := self._buffer.find(b"\r\n")) >= 0 and not self._in_data:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            self._answer(line[:4].upper())

    def _answer(self, verb: bytes) -> None:
        if verb == b"DATA":
            self._in_data = True
            self._transport.write(b"354 go on\r\n")
        elif verb == b"EHLO":
            self._transport.write(b"250-sink\r\n250 8BITMIME\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 OK\r\n")

    def _take_mail(self) -> None:
        if not self._buffer.endswith(_END):
            return
        found = _MESSAGE_ID.search(self._buffer)
        name = bytes(found[1]) if found else b"?"
        self._buffer.clear()
        self._in_data = False
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._accept, name)
        else:
            self._accept(name)

    def _accept(self, name: bytes) -> None:
        """From here on the mail is ours, whether the answer is heard or not."""
        os.write(self._descriptor, b"%.6f %s\n" % (time.time(), name))
        self._transport.write(b"250 accepted\r\n")


async def main() -> None:
    port, file = int(sys.argv[1]), Path(sys.argv[2])
    delay_s = float(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0.0
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(descriptor, delay_s), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)
    os.close(descriptor)


if __name__ == "__main__":
    asyncio.run(main())
