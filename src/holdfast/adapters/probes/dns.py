"""The DNS probe: one question to one server, by UDP or TCP (RFC 1035, RFC 7766), and what it answers."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from holdfast.adapters.probes.addresses import is_address
from holdfast.adapters.probes.datagrams import Datagrams
from holdfast.adapters.probes.dns_message import Answer, Question, question, read_answer
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.incoming import Incoming
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.wire import Wire
from holdfast.estate.checks import DnsCheck

_AGAIN_S = 1.0
_MOST_STRAYS = 100
_MOST = 65_537
_RESOLV_CONF = Path("/etc/resolv.conf")


class DnsProbe:
    def __init__(self, reach: Reach, *, resolv_conf: Path = _RESOLV_CONF) -> None:
        self._reach = reach
        self._system = SystemServer(resolv_conf)

    async def attempt(self, check: DnsCheck, attempt: Attempt) -> dict[str, object]:
        """The answer to the question. Raises AttemptFailed when there is none."""
        query = question(check.name, check.record)
        addresses = await self._reach.found(attempt, check.server or self._system.address())
        answer: Answer | None = None
        if check.transport == "udp":
            answer = await _by_datagrams(attempt, query, addresses, check.port)
        if answer is None:  # asked for, or too long for a datagram
            server = check.server or addresses[0]
            async with self._reach.connected(attempt, server, check.port) as wire:
                answer = await _by_stream(attempt, query, wire)
        return _facts(answer)


class SystemServer:
    """The first name server in resolv.conf(5), read again when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[int, str] | None = None

    def address(self) -> str:
        """Its address. Raises OwnFault when the file cannot be read."""
        try:
            changed_ns = os.stat(self._path).st_mtime_ns  # noqa: PTH116  no Path per check
            if self._known is None or self._known[0] != changed_ns:
                self._known = (changed_ns, next(_servers(self._path.read_text("utf-8")), "127.0.0.1"))
        except (OSError, UnicodeDecodeError) as error:
            raise OwnFault("the system's name servers cannot be read") from error
        return self._known[1]


def _servers(text: str) -> Iterator[str]:
    for line in text.splitlines():
        match line.split():
            case ["nameserver", address, *_] if is_address(address):
                yield address


async def _by_datagrams(
    attempt: Attempt, query: Question, addresses: tuple[str, ...], port: int
) -> Answer | None:
    """The answer of the first address where somebody listens; None when it does not fit into a datagram."""
    for address in addresses[:-1]:
        try:
            return await _by_datagram(attempt, query, address, port)
        except AttemptFailed as error:
            if not isinstance(error.__cause__, OSError) or isinstance(error.__cause__, TimeoutError):
                raise
    return await _by_datagram(attempt, query, addresses[-1], port)


async def _by_datagram(attempt: Attempt, query: Question, address: str, port: int) -> Answer | None:
    """The answer; None when it does not fit into a datagram."""
    with Datagrams(attempt.loop, address, port) as datagrams:
        async with attempt.awaiting_first_byte():
            while True:
                datagrams.send(query.wire)
                with suppress(TimeoutError):  # a datagram may be lost: ask again
                    async with asyncio.timeout(_AGAIN_S):
                        answer = await _fitting(query, datagrams.receive)
                        return None if answer.truncated else answer


async def _fitting(query: Question, receive: Callable[[], Awaitable[bytes]]) -> Answer:
    """The first datagram that answers `query`: anybody may send others."""
    for _ in range(_MOST_STRAYS):
        datagram = await receive()
        if datagram[:2] == query.number:
            return read_answer(query, datagram)
    raise AttemptFailed("not DNS: answers to another question")


async def _by_stream(attempt: Attempt, query: Question, wire: Wire) -> Answer:
    incoming = Incoming(attempt.loop, most=_MOST)
    async with attempt.awaiting_first_byte():
        wire.write(len(query.wire).to_bytes(2, "big") + query.wire)
        wire.attach(incoming)
        await incoming.begun()
    async with attempt.reading():
        size = int.from_bytes(await incoming.exactly(2), "big")
        return read_answer(query, await incoming.exactly(size))


def _facts(answer: Answer) -> dict[str, object]:
    facts: dict[str, object] = {
        "rcode": answer.rcode,
        "answers": list(answer.records),
        "answer_count": len(answer.records),
        "authenticated": answer.authenticated,
        "authoritative": answer.authoritative,
    }
    if answer.ttl is not None:
        facts["ttl"] = timedelta(seconds=answer.ttl)
    return facts
