"""The way into a lab whose sites are in network namespaces: `python -m holdfast.lab.regions.entry FILE`.

It listens on the loopback addresses by which the sites are always reached, then goes over into the namespace
between the sites, and from there passes on what it is sent. A socket stays in the namespace that
it was made in (network_namespaces(7)). What is cut inside is met here as silence, as on a real line.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
PIECE_BYTES = 64 * 1024
CONNECT_S = 30.0
UDP_IDLE_S = 10.0
MAX_UDP_CLIENTS = 500

Address = tuple[str, int]


def main(settings: Mapping[str, Any]) -> None:
    streams = [(_listening(tuple(outer)), tuple(inner)) for outer, inner in settings["tcp"]]
    datagrams = [(_bound(tuple(outer)), tuple(inner)) for outer, inner in settings["udp"]]
    _go_over(f"/proc/{settings['namespace_of']}/ns/net")
    asyncio.run(_serve(streams, datagrams))


def _listening(address: Address) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind(address)
    opened.listen(256)
    return opened


def _bound(address: Address) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.bind(address)
    return opened


def _go_over(namespace: str) -> None:
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), namespace)
    finally:
        os.close(descriptor)


async def _serve(
    streams: Sequence[tuple[socket.socket, Address]], datagrams: Sequence[tuple[socket.socket, Address]]
) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    for listening, inner in streams:
        await asyncio.start_server(_passing_on(inner), sock=listening)
    for bound, inner in datagrams:
        await loop.create_datagram_endpoint(_in(inner), sock=bound)
    await ended.wait()


def _passing_on(inner: Address) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                far_reader, far_writer = await asyncio.open_connection(*inner)
        except OSError:
            # Refused inside: the nearest to a refusal that a connection, once accepted, can have is a reset.
            _reset(writer)
            return
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        except OSError:
            _reset(writer)
            _reset(far_writer)
        finally:
            far_writer.close()
            writer.close()

    return serve


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    opened = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        # Linger for no time (socket(7)): closing sends a reset.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


def _in(inner: Address) -> Any:
    return lambda: _Near(inner)


class _Near(asyncio.DatagramProtocol):
    """What arrives from outside: each client gets a socket of its own on the other side."""

    def __init__(self, inner: Address) -> None:
        self._inner = inner
        self._clients: dict[Any, asyncio.Task[None]] = {}
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if len(self._clients) < MAX_UDP_CLIENTS:
            task = asyncio.create_task(self._ask(data, addr))
            self._clients[task] = task
            task.add_done_callback(lambda done: self._clients.pop(done, None))

    async def _ask(self, data: bytes, client: Any) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened, contextlib.suppress(OSError):
            opened.setblocking(False)
            opened.connect(self._inner)
            opened.send(data)
            async with asyncio.timeout(UDP_IDLE_S):
                self._transport.sendto(await loop.sock_recv(opened, PIECE_BYTES), client)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_bytes()))
