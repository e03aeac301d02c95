"""What ends a role and what makes it read its estate again."""

import asyncio
import signal
import sys
from dataclasses import dataclass, field


@dataclass(slots=True)
class Signals:
    """`stop` is set by SIGTERM, SIGINT and the end of the supervisor; `reload` by SIGHUP."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)

    def install(self) -> None:
        """Listen for this process's signals, inside the running loop."""
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ending, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)


async def supervisors_pipe() -> asyncio.StreamReader:
    """Our standard input, which the supervisor holds open for as long as it lives."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    return reader


async def end_with_supervisor(pipe: asyncio.StreamReader, stop: asyncio.Event) -> None:
    """Set `stop` once the supervisor is gone, however it ended: kill -9 closes its pipes too."""
    while await pipe.read(4096):
        pass
    stop.set()
