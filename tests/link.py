"""A line between two regions that can be cut, made deaf in one direction, and is as slow as a long one.

`Link` starts a process of its own and commands it. What the line holds when it is cut never arrives. What a
deaf direction holds arrives once it hears again, as TCP would have it.

python -m tests.link PORT TARGET DELAY_S
"""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.installation import free_port

MOST_HELD = 16 * 1024 * 1024
"""Bytes on their way in one direction; more than a gigabit line holds in 60 ms."""
_CHUNK = 256 * 1024
THERE, BACK = "there", "back"
"""From whoever connected to the target, and from the target to him."""


class Link:
    """A line to the loopback port `target`. `delay_s` is that of one direction: half of a round trip."""

    def __init__(self, target: int, *, delay_s: float = 0.0) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "tests.link", str(self.port), str(target), str(delay_s)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )
        self._told()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """Break every connection and let nobody connect. Returns when that is so."""
        self._tell("cut")

    def mend(self) -> None:
        """Let through again what was cut or deaf. Connections that were cut are not made again."""
        self._tell("mend")

    def deafen(self, direction: str) -> None:
        """Nothing arrives any more in one direction, while the connections stand."""
        self._tell(f"deafen {direction}")

    def aim(self, target: int) -> None:
        """New connections go to another port."""
        self._tell(f"aim {target}")

    def delay(self, delay_s: float) -> None:
        """What sets out from now on takes so long."""
        self._tell(f"delay {delay_s}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _tell(self, order: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{order}\n".encode())
        self._process.stdin.flush()
        self._told()

    def _told(self) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline() == b"done\n", "the link has ended"


class _Line:
    """The process's side of it."""

    def __init__(self, target: int, delay_s: float) -> None:
        self.target = target
        self.delay_s = delay_s
        self.whole = True
        self.hears = {THERE: asyncio.Event(), BACK: asyncio.Event()}
        self._writers = set[asyncio.StreamWriter]()
        for each in self.hears.values():
            each.set()

    def cut(self) -> None:
        self.whole = False
        for each in self._writers:
            each.transport.abort()

    def mend(self) -> None:
        self.whole = True
        for each in self.hears.values():
            each.set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target, limit=_CHUNK)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        if not self.whole:  # it was cut while this one was made
            self.cut()
        directions = (self._carry(reader, far_writer, THERE), self._carry(far_reader, writer, BACK))
        carriers = [asyncio.create_task(each) for each in directions]
        try:
            await asyncio.wait(carriers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for carrier in carriers:
                carrier.cancel()
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        """Until one side has ended, and what it had sent has arrived."""
        loop = asyncio.get_running_loop()
        held = asyncio.Queue[tuple[float, bytes]](MOST_HELD // _CHUNK)

        async def take() -> None:
            content = b"begin"
            while content:
                try:
                    content = await reader.read(_CHUNK)
                except OSError:
                    content = b""
                await held.put((loop.time() + self.delay_s, content))

        taking = asyncio.create_task(take())
        try:
            while True:
                due, content = await held.get()
                if (left := due - loop.time()) > 0:
                    await asyncio.sleep(left)
                await self.hears[direction].wait()
                if not content:
                    return
                writer.write(content)
                await writer.drain()
        except OSError:
            return
        finally:
            taking.cancel()


async def _main(port: int, target: int, delay_s: float) -> None:
    line = _Line(target, delay_s)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with await asyncio.start_server(line.connected, "127.0.0.1", port, limit=_CHUNK):
        _say_done()
        while order := (await orders.readline()).decode().split():
            match order:
                case ["cut"]:
                    line.cut()
                case ["mend"]:
                    line.mend()
                case ["deafen", direction]:
                    line.hears[direction].clear()
                case ["aim", number]:
                    line.target = int(number)
                case ["delay", seconds]:
                    line.delay_s = float(seconds)
            _say_done()


def _say_done() -> None:
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
