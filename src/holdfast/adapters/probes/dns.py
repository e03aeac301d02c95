"""The DNS probe: one question to one server, by UDP or TCP (RFC 1035, RFC 7766), and what it answers.

Messages are dnspython's, which is imported with the first question (40 ms); the sockets are ours.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.adapters.probes.addresses import is_address
from holdfast.adapters.probes.datagrams import Datagrams
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.incoming import Incoming
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.adapters.probes.wire import Wire
from holdfast.estate.model import DnsCheck

if TYPE_CHECKING:
    from dns.message import Message, QueryMessage
    from dns.rdata import Rdata

_AGAIN_S = 1.0
_MOST_STRAYS = 100
_MOST = 65_537
_PAYLOAD = 1_232  # what passes everywhere without fragments (dnsflagday.net/2020)
_MOST_ANSWERS = 1_000
_RESOLV_CONF = Path("/etc/resolv.conf")


class DnsProbe:
    def __init__(self, reach: Reach, *, resolv_conf: Path = _RESOLV_CONF) -> None:
        self._reach = reach
        self._system = SystemServer(resolv_conf)

    async def attempt(self, check: DnsCheck, attempt: Attempt) -> dict[str, object]:
        """The answer to the question. Raises AttemptFailed when there is none."""
        query = _question(check)
        addresses = await self._reach.found(attempt, check.server or self._system.address())
        answer: Message | None = None
        if check.transport == "udp":
            answer = await _by_datagrams(attempt, query, addresses, check.port)
        if answer is None:  # asked for, or too long for a datagram
            server = check.server or addresses[0]
            async with self._reach.connected(attempt, server, check.port) as wire:
                answer = await _by_stream(attempt, query, wire)
        return _facts(answer, check.record)


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


def _question(check: DnsCheck) -> "QueryMessage":
    import dns.exception  # noqa: PLC0415  most estates never need it
    import dns.flags  # noqa: PLC0415
    import dns.message  # noqa: PLC0415
    import dns.reversename  # noqa: PLC0415

    try:
        by_address = check.record == "PTR" and is_address(check.name)
        name = dns.reversename.from_address(check.name) if by_address else check.name
        query = dns.message.make_query(name, check.record, use_edns=0, payload=_PAYLOAD)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise OwnFault("the check asks for a name that cannot be one") from error
    # Asks for the flag AD in the answer (RFC 6840, section 5.7).
    query.flags |= dns.flags.AD
    return query


async def _by_datagrams(
    attempt: Attempt, query: "QueryMessage", addresses: tuple[str, ...], port: int
) -> "Message | None":
    """The answer of the first address where somebody listens; None when it does not fit into a datagram."""
    for address in addresses[:-1]:
        try:
            return await _by_datagram(attempt, query, address, port)
        except AttemptFailed as error:
            if not isinstance(error.__cause__, OSError) or isinstance(error.__cause__, TimeoutError):
                raise
    return await _by_datagram(attempt, query, addresses[-1], port)


async def _by_datagram(attempt: Attempt, query: "QueryMessage", address: str, port: int) -> "Message | None":
    """The answer; None when it does not fit into a datagram."""
    from dns.flags import TC  # noqa: PLC0415

    question = query.to_wire()
    with Datagrams(attempt.loop, address, port) as datagrams:
        async with attempt.awaiting_first_byte():
            while True:
                datagrams.send(question)
                with suppress(TimeoutError):  # a datagram may be lost: ask again
                    async with asyncio.timeout(_AGAIN_S):
                        answer = await _fitting(query, datagrams.receive)
                        return None if answer.flags & TC else answer


async def _fitting(query: "QueryMessage", receive: Callable[[], Awaitable[bytes]]) -> "Message":
    """The first datagram that answers `query`: anybody may send others."""
    for _ in range(_MOST_STRAYS):
        datagram = await receive()
        if datagram[:2] == query.id.to_bytes(2, "big"):
            return _read(query, datagram)
    raise AttemptFailed("not DNS: answers to another question")


async def _by_stream(attempt: Attempt, query: "QueryMessage", wire: Wire) -> "Message":
    incoming = Incoming(attempt.loop, most=_MOST)
    async with attempt.awaiting_first_byte():
        wire.write(query.to_wire(prepend_length=True))
        wire.attach(incoming)
        await incoming.begun()
    async with attempt.reading():
        size = int.from_bytes(await incoming.exactly(2), "big")
        return _read(query, await incoming.exactly(size))


def _read(query: "QueryMessage", raw: bytes) -> "Message":
    import dns.exception  # noqa: PLC0415
    import dns.message  # noqa: PLC0415

    try:
        answer = dns.message.from_wire(raw, ignore_trailing=True)
        fits = query.is_response(answer)
    except (dns.exception.DNSException, ValueError) as error:  # ValueError: text that is none, in a record
        raise AttemptFailed("not DNS: the answer cannot be read") from error
    if not fits:
        raise AttemptFailed("not DNS: the answer to another question")
    return answer


def _facts(answer: "Message", record: str) -> dict[str, object]:
    from dns import flags, rcode, rdatatype  # noqa: PLC0415

    kind = rdatatype.from_text(record)
    # Behind a CNAME the records that were asked for have another owner.
    fitting = [each for each in answer.answer if each.rdtype == kind]
    records = [_shown(each) for rrset in fitting for each in rrset][:_MOST_ANSWERS]
    facts: dict[str, object] = {
        "rcode": rcode.to_text(answer.rcode()),
        "answers": sorted(records),
        "answer_count": len(records),
        "authenticated": bool(answer.flags & flags.AD),
        "authoritative": bool(answer.flags & flags.AA),
    }
    if fitting:
        facts["ttl"] = timedelta(seconds=min(rrset.ttl for rrset in fitting))
    return facts


def _shown(record: "Rdata") -> str:
    """A record as zone files have it; a TXT as the text that it is, without quotes, its parts joined."""
    strings: tuple[bytes, ...] | None = getattr(record, "strings", None)
    return b"".join(strings).decode("utf-8", "replace") if strings is not None else record.to_text()
