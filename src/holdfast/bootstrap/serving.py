"""Serving an ASGI application the one way that Holdfast does."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn

from holdfast.bootstrap.signals import Signals


class Server(uvicorn.Server):
    """Leaves the signals to the role, which has more to do with them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bound(listen: str) -> socket.socket:
    """A socket that listens there; raises OSError."""
    host, _, port = listen.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), int(port)))
        listening.listen(256)
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


async def serve_until_stopped(
    app: object,
    listen: str,
    signals: Signals,
    *,
    listening: socket.socket | None = None,
    most_connections: int = 2000,
    tls: tuple[Path, Path] | None = None,
) -> None:
    """Answer on `listen`, or on the socket that is there already, until `signals.stop`.

    `tls`: a certificate (with its chain) and its key, in PEM files. Raises OSError for ones that are none.

    Nothing is logged of requests: their addresses may hold secrets.
    """
    host, _, port = listen.rpartition(":")
    server = Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            host=host.strip("[]"),
            port=int(port),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=2,
            limit_concurrency=most_connections,
            h11_max_incomplete_event_size=16_384,
            ssl_certfile=tls and tls[0],
            ssl_keyfile=tls and tls[1],
        )
    )
    async with _stopped(server, signals):
        await server.serve(None if listening is None else [listening])


@contextlib.asynccontextmanager
async def _stopped(server: uvicorn.Server, signals: Signals) -> AsyncIterator[None]:
    async def stop() -> None:
        await signals.stop.wait()
        server.should_exit = True

    stopping = asyncio.create_task(stop())
    try:
        yield
    finally:
        stopping.cancel()
