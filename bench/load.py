"""A small load generator: kept-alive connections, each asking again as soon as it has its answer.

    python -m bench.load PORT PATH SECONDS CONNECTIONS

Prints one JSON object: requests answered, seconds, and the size of the last body as it came over the wire.
Any answer other than 200 ends it with an error: a fast refusal is no page.
"""

import asyncio
import json
import re
import sys
import time
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Load:
    """What all connections did together."""

    def __init__(self, path: str) -> None:
        self.request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: br\r\n\r\n".encode()
        self.answered = 0
        self.body_size = 0
        self.failure = ""


class Connection(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's are none by type
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            length = _LENGTH.search(head + b"\r\n")
            if not head.startswith(b"HTTP/1.1 200 ") or length is None:
                self._load.failure = repr(head[:200])
                self._transport.close()
                return
            self._head = b""
            self._load.body_size = int(length[1])
            self._missing = self._load.body_size - len(body)
        if self._missing == 0:
            self._load.answered += 1
            self._transport.write(self._load.request)


async def main() -> None:
    port, path, seconds, connections = sys.argv[1:]
    load = Load(path)
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", int(port))
        for _ in range(int(connections))
    ]
    began, before = time.perf_counter(), load.answered
    await asyncio.sleep(float(seconds))
    took, answered = time.perf_counter() - began, load.answered - before
    for transport, _ in opened:
        transport.close()
    if load.failure or not answered:
        raise SystemExit(f"the site answered {load.failure or 'nothing'}")
    print(json.dumps({"requests": answered, "seconds": took, "body_size": load.body_size}))


if __name__ == "__main__":
    uvloop.run(main())
