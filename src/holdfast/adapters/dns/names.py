"""A name whose addresses are those of one region, changed by RFC 2136 and signed by TSIG (RFC 8945).

Beside it, in a TXT record at `_holdfast.NAME`, stands the newest (epoch, turn) that changed it. An update
carries the prerequisite that this record is still as it was read: who comes late is refused by the server
itself, in the same transaction as the change.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence

TRIES = 10
CHANGED_MEANWHILE = (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.YXDOMAIN, dns.rcode.NXDOMAIN)


@dataclass(frozen=True, slots=True)
class TsigKey:
    """Its name, its secret in base64, and how it signs."""

    name: str
    secret: str
    algorithm: str = "hmac-sha256"


class DnsNames:
    """Names at the zone's primary, over TCP."""

    def __init__(
        self,
        server: tuple[str, int],
        zone: str,
        name: str,
        answers: Mapping[str, Sequence[str]],
        key: TsigKey,
        *,
        ttl_s: int = 30,
        within_s: float = 2.0,
    ) -> None:
        """`server` is an address. Raises StepFailed for a key that is no base64."""
        self._server, self._port = server
        self._zone = dns.name.from_text(zone)
        self._name = dns.name.from_text(name)
        self._fence_name = dns.name.from_text("_holdfast", self._name)
        self._answers = {region: frozenset(each) for region, each in answers.items()}
        try:
            base64.b64decode(key.secret, validate=True)
        except binascii.Error:
            raise StepFailed("the TSIG key is no base64") from None
        self._key = dns.tsig.Key(key.name, key.secret, key.algorithm)
        self._ttl_s = ttl_s
        self._within_s = within_s

    async def pointing(self) -> str | None:
        has = set(await self._asked(self._name, "A")) | set(await self._asked(self._name, "AAAA"))
        return next((region for region, addresses in self._answers.items() if addresses == has), None)

    async def point(self, to: str, fence: Fence) -> None:
        for _ in range(TRIES):
            known = await self._asked(self._fence_name, "TXT")
            newest = max((_fence_in(each) for each in known), default=(0, 0))
            if (fence.epoch, fence.turn) < newest:
                raise ComesLate(
                    f"{self._name} has heard of epoch {newest[0]}, turn {newest[1]}",
                    hint="the replica that has the run now goes on with it",
                )
            answer = await self._exchanged(self._update(to, fence, known))
            if answer.rcode() == dns.rcode.NOERROR:
                return
            if answer.rcode() not in CHANGED_MEANWHILE:
                raise StepFailed(f"the name server refuses: {dns.rcode.to_text(answer.rcode())}")
        raise StepFailed("the name is being changed by others all the time")

    def _update(self, to: str, fence: Fence, known: Sequence[str]) -> dns.update.UpdateMessage:
        update = dns.update.UpdateMessage(self._zone, keyring=self._key)
        if known:
            for text in known:
                update.present(self._fence_name, "TXT", f'"{text}"')
        else:
            update.absent(self._fence_name, "TXT")
        for kind in ("A", "AAAA"):
            update.delete(self._name, kind)
        for address in sorted(self._answers[to]):
            update.add(self._name, self._ttl_s, "AAAA" if ":" in address else "A", address)
        update.replace(self._fence_name, 0, "TXT", f'"{fence.epoch} {fence.turn}"')
        return update

    async def _asked(self, name: dns.name.Name, kind: str) -> Sequence[str]:
        query = dns.message.make_query(name, kind)
        query.flags &= ~dns.flags.RD
        answer = await self._exchanged(query)
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise StepFailed(f"the name server answers {dns.rcode.to_text(answer.rcode())}")
        found = list[str]()
        for rrset in answer.answer:
            if rrset.name == name and rrset.rdtype == dns.rdatatype.from_text(kind):
                found += [_text(each.to_text()) for each in rrset]
        return sorted(found)

    async def _exchanged(self, message: dns.message.Message) -> dns.message.Message:
        try:
            return await dns.asyncquery.tcp(message, self._server, timeout=self._within_s, port=self._port)
        except (OSError, dns.exception.DNSException, EOFError) as error:
            why = str(error) or type(error).__name__
            raise StepFailed(f"the name server {self._server}:{self._port} does not answer: {why}") from error


def _text(rdata: str) -> str:
    return rdata.strip('"')


def _fence_in(text: str) -> tuple[int, int]:
    """(0, 0) for what somebody else wrote there: it is replaced."""
    words = text.split()
    if len(words) != 2 or not all(each.isdecimal() and len(each) < 20 for each in words):
        return (0, 0)
    return int(words[0]), int(words[1])
