"""HAProxy's admin socket: a line with commands, an answer, closed.

Source: its management guide, section 9.3.
"""

import asyncio
from contextlib import suppress
from pathlib import Path

from holdfast.recovery.errors import StepFailed

MOST_BYTES = 1024 * 1024


class AdminSocket:
    """By a path, or by host and port."""

    def __init__(self, at: Path | tuple[str, int], *, within_s: float = 2.0) -> None:
        self._at = at
        self._within_s = within_s

    async def ask(self, command: str) -> str:
        """The answer. Several commands stand in one line, with `;` between. Raises StepFailed."""
        try:
            async with asyncio.timeout(self._within_s):
                reader, writer = await self._open()
                try:
                    writer.write(command.encode() + b"\n")
                    await writer.drain()
                    answer = bytearray()
                    while more := await reader.read(65_536):
                        answer += more
                        if len(answer) > MOST_BYTES:
                            raise StepFailed("HAProxy answers with more than an answer is long")
                    return answer.decode(errors="replace")
                finally:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            raise StepFailed(
                f"HAProxy does not answer at {self._told()}: {str(error) or 'in time'}"
            ) from error

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._at, Path):
            return await asyncio.open_unix_connection(str(self._at))
        return await asyncio.open_connection(*self._at)

    def _told(self) -> str:
        return str(self._at) if isinstance(self._at, Path) else f"{self._at[0]}:{self._at[1]}"
