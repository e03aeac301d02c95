"""TCP ports of this machine: does one answer, is it free, and whose is it."""

import asyncio
import contextlib
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LISTEN = "0A"


async def answers(port: int, timeout_s: float = 1.0, host: str = LOOPBACK) -> bool:
    """Whether somebody accepts a connection."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:  # refused, or no answer in time
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: old connections do not count
        try:
            trial.bind((host, port))
            trial.listen(1)
        except OSError:
            return False
    return True


def owner_of(port: int) -> int | None:
    """The pid that listens on that port; None when nobody does or we may not see who.

    From the socket's inode in /proc/net/tcp and tcp6 (proc_net(5)), looked up among the open files.
    """
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if any(str(descriptor.readlink()) in inodes for descriptor in (entry / "fd").iterdir()):
                return int(entry.name)
        except OSError:
            continue  # ended meanwhile, or somebody else's
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
