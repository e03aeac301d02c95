"""The ICMP probe: echo requests from a ping socket, which needs no privilege (Linux: icmp(7)).

The kernel writes the identifier and the checksum and hands us only the replies to our own requests. It does
so for the groups in net.ipv4.ping_group_range, which by its default are none.
"""

import asyncio
import secrets
import socket
import struct
from contextlib import suppress
from datetime import timedelta
from time import perf_counter_ns

from holdfast.adapters.probes.datagrams import Datagrams
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault
from holdfast.adapters.probes.phases import Attempt
from holdfast.adapters.probes.reach import Reach
from holdfast.estate.checks import IcmpCheck

_PAUSE_S = 0.1
_LATE_S = 1.0
_PAYLOAD = 16
_ECHO, _ECHO_REPLY = 8, 0
_ECHO_V6, _ECHO_REPLY_V6 = 128, 129
_HINT = "allow ping sockets: sysctl -w net.ipv4.ping_group_range='0 2147483647'"


class IcmpProbe:
    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def attempt(self, check: IcmpCheck, attempt: Attempt) -> dict[str, object]:
        """How many requests were answered, and how fast. Raises AttemptFailed when none was."""
        address = (await self._reach.found(attempt, check.host))[0]
        echoes = Echoes(v6=":" in address, token=secrets.token_bytes(_PAYLOAD))
        protocol = socket.IPPROTO_ICMPV6 if echoes.v6 else socket.IPPROTO_ICMP
        try:
            datagrams = Datagrams(attempt.loop, address, 0, protocol=protocol)
        except OwnFault as error:
            if isinstance(error.__cause__, PermissionError):
                raise OwnFault(f"the system forbids ping sockets; {_HINT}", hint=_HINT) from error
            raise
        with datagrams:
            try:
                async with attempt.awaiting_first_byte():
                    await _exchange(echoes, datagrams, check.count)
            except AttemptFailed as error:
                # What was answered until the time-out is the result.
                if not isinstance(error.__cause__, TimeoutError):
                    raise
        if not echoes.received:
            raise AttemptFailed(f"no reply to {check.count} echo request{'s' if check.count > 1 else ''}")
        return echoes.facts()


class Echoes:
    """The requests of one attempt and the replies to them."""

    def __init__(self, *, v6: bool, token: bytes) -> None:
        self.v6 = v6
        self._token = token
        self._sent_ns: dict[int, int] = {}
        self._trips_us: dict[int, int] = {}

    def request(self, now_ns: int) -> bytes:
        """The next request."""
        sequence = len(self._sent_ns) + 1
        self._sent_ns[sequence] = now_ns
        kind = _ECHO_V6 if self.v6 else _ECHO
        head = struct.pack(">BBHHH", kind, 0, 0, 0, sequence)
        return head[:2] + struct.pack(">H", checksum(head + self._token)) + head[4:] + self._token

    def heard(self, datagram: bytes, now_ns: int) -> None:
        """Count `datagram` if it is the first reply to one of the requests."""
        if len(datagram) != 8 + len(self._token) or datagram[8:] != self._token:
            return
        kind, code, _, _, sequence = struct.unpack(">BBHHH", datagram[:8])
        expected = _ECHO_REPLY_V6 if self.v6 else _ECHO_REPLY
        if (kind, code) == (expected, 0) and sequence in self._sent_ns:
            self._trips_us.setdefault(sequence, max(0, now_ns - self._sent_ns[sequence]) // 1_000)

    @property
    def sent(self) -> int:
        return len(self._sent_ns)

    @property
    def received(self) -> int:
        return len(self._trips_us)

    def facts(self) -> dict[str, object]:
        """What was counted. At least one reply has been heard."""
        trips = self._trips_us.values()
        return {
            "sent": self.sent,
            "received": self.received,
            "loss": 100 * (self.sent - self.received) / self.sent,
            "round_trip_time": timedelta(microseconds=sum(trips) / len(trips)),
        }


def checksum(message: bytes) -> int:
    """The Internet checksum (RFC 1071). The kernel writes it anew for IPv4 and IPv6 alike."""
    total: int = sum(struct.unpack(f">{len(message) // 2}H", message))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


async def _exchange(echoes: Echoes, datagrams: Datagrams, count: int) -> None:
    """Send a request each 100 ms, and hear until each is answered, or most are and the rest is late."""
    for _ in range(count):
        datagrams.send(echoes.request(perf_counter_ns()))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE_S):
                await _hear(echoes, datagrams, count)
    while not echoes.received:
        echoes.heard(await datagrams.receive(), perf_counter_ns())
    with suppress(TimeoutError):
        async with asyncio.timeout(_LATE_S):
            await _hear(echoes, datagrams, count)


async def _hear(echoes: Echoes, datagrams: Datagrams, count: int) -> None:
    while echoes.received < count:
        echoes.heard(await datagrams.receive(), perf_counter_ns())
