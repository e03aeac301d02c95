"""A small authoritative name server: `python -m holdfast.lab.regions.nameserver FILE`.

It answers A, TXT and SOA over UDP and TCP for one zone, and takes updates of those (RFC 2136) that are signed
with its key (TSIG, RFC 8945): prerequisites are looked at and the change made in one go, so an update is a
compare-and-set. What was changed is in its file before the answer is sent.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import dns.update

TTL_S = 1
MAX_NAMES, MAX_ADDRESSES = 100, 16
IDLE_S = 10.0


A, TXT = dns.rdatatype.A, dns.rdatatype.TXT
Records = dict[tuple[dns.name.Name, dns.rdatatype.RdataType], list[str]]


class Zone:
    """The records of one zone, kept in a file as JSON: {"serial": 1, "addresses": {name: []}, "texts"}."""

    def __init__(self, file: Path, origin: str, begin: Mapping[str, str]) -> None:
        self.origin = dns.name.from_text(origin)
        self._file = file
        try:
            kept = json.loads(file.read_bytes())
        except FileNotFoundError:
            kept = {"serial": 1, "addresses": {name: [address] for name, address in begin.items()}}
        self.serial: int = kept["serial"]
        self.records: Records = {}
        for kind, named in ((A, kept["addresses"]), (TXT, kept.get("texts", {}))):
            for name, found in named.items():
                self.records[dns.name.from_text(name), kind] = list(found)

    def keep(self, records: Records) -> None:
        """Make these the zone's records, durably."""
        serial = self.serial + 1
        addresses, texts = (
            {str(name): found for (name, each), found in records.items() if each == kind} for kind in (A, TXT)
        )
        text = json.dumps({"serial": serial, "addresses": addresses, "texts": texts})
        with tempfile.NamedTemporaryFile("w", dir=self._file.parent, delete=False) as fresh:
            fresh.write(text)
            fresh.flush()
            os.fsync(fresh.fileno())
        Path(fresh.name).replace(self._file)
        self.serial, self.records = serial, records

    def soa(self) -> dns.rrset.RRset:
        return dns.rrset.from_text(
            self.origin, TTL_S, "IN", "SOA", f"ns.{self.origin} lab.{self.origin} {self.serial} 60 60 600 1"
        )


def answer(zone: Zone, keyring: Mapping[dns.name.Name, Any], wire: bytes) -> bytes | None:
    """The answer to one message; None for what is no message at all. Never raises."""
    try:
        message = dns.message.from_wire(wire, keyring=dict(keyring))
    except (dns.message.UnknownTSIGKey, dns.tsig.BadSignature, dns.tsig.PeerError, dns.tsig.BadTime):
        return _refused(wire, dns.rcode.NOTAUTH)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    if message.flags & dns.flags.QR:
        return None
    if isinstance(message, dns.update.UpdateMessage):
        reply = dns.message.make_response(message)
        reply.set_rcode(_update(zone, message) if message.had_tsig else dns.rcode.REFUSED)
    else:
        reply = _query(zone, message)
    return reply.to_wire()


def _refused(wire: bytes, rcode: dns.rcode.Rcode) -> bytes | None:
    try:
        message = dns.message.from_wire(wire, keyring=False, question_only=True)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    reply = dns.message.Message(message.id)
    reply.flags = dns.flags.QR | dns.opcode.to_flags(message.opcode())
    reply.question = list(message.question)
    reply.set_rcode(rcode)
    return reply.to_wire()


def _query(zone: Zone, message: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(message)
    if message.opcode() != dns.opcode.QUERY:
        reply.set_rcode(dns.rcode.NOTIMP)
        return reply
    if len(message.question) != 1 or not message.question[0].name.is_subdomain(zone.origin):
        reply.set_rcode(dns.rcode.REFUSED)
        return reply
    question = message.question[0]
    reply.flags |= dns.flags.AA
    found = zone.records.get((question.name, question.rdtype), [])
    if found:
        kind = dns.rdatatype.to_text(question.rdtype)
        reply.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", kind, *found))
    elif question.rdtype == dns.rdatatype.SOA and question.name == zone.origin:
        reply.answer.append(zone.soa())
    else:
        if question.name != zone.origin and not any(name == question.name for name, _ in zone.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        reply.authority.append(zone.soa())
    return reply


def _update(zone: Zone, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
    """RFC 2136, 3.1 to 3.4, for A and TXT records."""
    if len(message.zone) != 1 or message.zone[0].name != zone.origin:
        return dns.rcode.NOTAUTH
    if (unmet := _prerequisites(zone, message)) is not None:
        return unmet
    changed = {place: list(found) for place, found in zone.records.items()}
    for rrset in message.update:
        if not rrset.name.is_subdomain(zone.origin):
            return dns.rcode.NOTZONE
        texts = [rdata.to_text() for rdata in rrset]
        place = (rrset.name, rrset.rdtype)
        if rrset.deleting == dns.rdataclass.ANY:
            for each in list(changed):
                if each == place or (rrset.rdtype == dns.rdatatype.ANY and each[0] == rrset.name):
                    del changed[each]
        elif rrset.rdtype not in (A, TXT):
            return dns.rcode.REFUSED
        elif rrset.deleting == dns.rdataclass.NONE:
            changed[place] = [each for each in changed.get(place, []) if each not in texts]
        else:
            kept = changed.setdefault(place, [])
            kept += [each for each in texts if each not in kept]
    changed = {place: found for place, found in changed.items() if found}
    if len(changed) > MAX_NAMES or any(len(found) > MAX_ADDRESSES for found in changed.values()):
        return dns.rcode.REFUSED
    if changed != zone.records:
        zone.keep(changed)
    return dns.rcode.NOERROR


def _prerequisites(zone: Zone, message: dns.update.UpdateMessage) -> dns.rcode.Rcode | None:
    """The first prerequisite that does not hold, as RFC 2136, 3.2 answers it; None when all do."""
    wanted: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], set[str]] = {}
    for rrset in message.prerequisite:
        if not rrset.name.is_subdomain(zone.origin):
            return dns.rcode.NOTZONE
        by_name = rrset.rdtype == dns.rdatatype.ANY
        there = any(name == rrset.name and (by_name or kind == rrset.rdtype) for name, kind in zone.records)
        if rrset.deleting == dns.rdataclass.ANY:
            if not there:
                return dns.rcode.NXDOMAIN if by_name else dns.rcode.NXRRSET
        elif rrset.deleting == dns.rdataclass.NONE:
            if there:
                return dns.rcode.YXDOMAIN if by_name else dns.rcode.YXRRSET
        else:
            place = (rrset.name, rrset.rdtype)
            wanted.setdefault(place, set()).update(rdata.to_text() for rdata in rrset)
    if any(set(zone.records.get(place, [])) != texts for place, texts in wanted.items()):
        return dns.rcode.NXRRSET
    return None


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone, keyring: Mapping[dns.name.Name, Any]) -> None:
        self._zone, self._keyring = zone, keyring
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked by isinstance: in Python 3.11 asyncio's own datagram transport is none by its class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if self._transport and (reply := answer(self._zone, self._keyring, data)) is not None:
            self._transport.sendto(reply, addr)


async def serve(settings: Mapping[str, Any]) -> None:
    zone = Zone(Path(settings["file"]), settings["zone"], settings["begin"])
    keyring = dns.tsigkeyring.from_text({settings["key"]: ("hmac-sha256", settings["secret"])})
    host, port = settings["listen"]

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                async with asyncio.timeout(IDLE_S):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    reply = answer(zone, keyring, await reader.readexactly(length))
                    if reply is None:
                        break
                    writer.write(len(reply).to_bytes(2, "big") + reply)
                    await writer.drain()
        writer.close()

    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(zone, keyring), (host, port))
    server = await asyncio.start_server(converse, host, port)
    await ended.wait()
    server.close()
    transport.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_bytes())))
