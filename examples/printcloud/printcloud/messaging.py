"""The message endpoint of a cluster: lines of UTF-8 text over TCP.

    server: PRINTCLOUD/1 ready
    client: PUBLISH {"owner": "ada", "title": "Invoice", "pages": 2}
    server: OK 0f8c...                  the job is in the database
    client: PING
    server: PONG
    client: QUIT
    server: BYE

Whatever goes wrong is answered by `ERR reason`; a line that is too long also ends the connection.
"""

import asyncio
import contextlib

from printcloud.jobs import MAX_INPUT_BYTES, InvalidJobError, decoded, parse_job
from printcloud.store import DatabaseAwayError, Store

GREETING = "PRINTCLOUD/1 ready"
IDLE_TIMEOUT_S = 60.0
MAX_CLIENTS = 200


class MessageEndpoint:
    """Serves clients until closed. At most MAX_CLIENTS at a time; one that stays silent is let go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_INPUT_BYTES)

    async def close(self) -> None:
        """Stop listening, let the clients go and close the store."""
        if self._server:
            self._server.close()
        for client in self._clients:
            client.cancel()
        if self._clients:
            await asyncio.wait(self._clients)
        await self._store.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that vanishes, stalls or is let go at shutdown ends its own connection and nothing else.
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
            if len(self._clients) > MAX_CLIENTS:
                await say(writer, "ERR too many clients")
            else:
                await self._converse(reader, writer)
        writer.close()
        try:
            async with asyncio.timeout(2):
                await writer.wait_closed()
        except (OSError, asyncio.CancelledError):  # it does not take what we still have for it
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer, GREETING)
        while True:
            try:
                async with asyncio.timeout(IDLE_TIMEOUT_S):
                    line = await reader.readline()
            except ValueError:  # what readline raises for a line above the limit
                await say(writer, f"ERR {MAX_INPUT_BYTES} bytes are the most")
                return
            if not line.endswith(b"\n"):
                return
            command, _, argument = line.strip().partition(b" ")
            if command == b"QUIT":
                await say(writer, "BYE")
                return
            await say(writer, await self._answer(command, argument))

    async def _answer(self, command: bytes, argument: bytes) -> str:
        if command == b"PING":
            return "PONG"
        if command != b"PUBLISH":
            return "ERR unknown command; say PUBLISH, PING or QUIT"
        try:
            job = await self._store.submit(parse_job(decoded(argument)), via="messaging")
        except InvalidJobError as error:
            return f"ERR {error}"
        except DatabaseAwayError:
            return "ERR the database is away; try again"
        return f"OK {job.id}"


async def say(writer: asyncio.StreamWriter, line: str) -> None:
    """Send one line, and wait no longer than IDLE_TIMEOUT_S for a client that does not read."""
    writer.write(line.encode() + b"\n")
    async with asyncio.timeout(IDLE_TIMEOUT_S):
        await writer.drain()
