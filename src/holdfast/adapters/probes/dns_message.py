"""Messages of the DNS (RFC 1035, section 4): one question, and of an answer what a check wants to know.

Names and records are dnspython's, its messages are not: they decode every record of every section, and a
message of 64 KiB made for the purpose takes most of a second, in which nothing else would run. Here records
that nobody asked for are passed over by their length.
"""

import secrets
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from holdfast.adapters.probes.addresses import is_address
from holdfast.adapters.probes.errors import AttemptFailed, OwnFault

if TYPE_CHECKING:
    from dns.rdata import Rdata

_HEAD = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _AUTHENTIC = 0x8000, 0x0400, 0x0200, 0x0020
_ASKED = 0x0120  # recursion desired; and AD, which asks for AD in the answer (RFC 6840, section 5.7)
_OPCODE, _INTERNET, _OPT = 0x7800, 1, 41
_PAYLOAD = 1_232  # what passes everywhere without fragments (dnsflagday.net/2020)
_NO_OPTIONS = b"\0" + _RECORD.pack(_OPT, _PAYLOAD, 0, 0)
_MOST_ANSWERS = 1_000
_CUT = "not DNS: the answer cannot be read"


@dataclass(frozen=True, slots=True)
class Question:
    """One question as it is sent, with its own random number."""

    wire: bytes
    kind: int

    @property
    def number(self) -> bytes:
        return self.wire[:2]

    @property
    def asked(self) -> bytes:
        """The part that an answer repeats."""
        return self.wire[_HEAD.size : -len(_NO_OPTIONS)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `records` are those of the type that was asked for, `ttl` the shortest, in seconds."""

    rcode: str
    truncated: bool
    authoritative: bool
    authenticated: bool
    records: tuple[str, ...]
    ttl: int | None


def question(name: str, record: str) -> Question:
    """Ask for the records of this type. Raises OwnFault for a name that cannot be one."""
    asked, kind = _asked(name, record)
    return Question(_HEAD.pack(secrets.randbits(16), _ASKED, 1, 0, 0, 1) + asked + _NO_OPTIONS, kind)


@lru_cache(maxsize=8_192)
def _asked(name: str, record: str) -> tuple[bytes, int]:
    import dns.exception  # noqa: PLC0415  most estates never need it
    import dns.name  # noqa: PLC0415
    import dns.rdatatype  # noqa: PLC0415
    import dns.reversename  # noqa: PLC0415

    try:
        by_address = record == "PTR" and is_address(name)
        full = dns.reversename.from_address(name) if by_address else dns.name.from_text(name)
        wire = full.to_wire()
    except (dns.exception.DNSException, UnicodeError) as error:
        raise OwnFault("the check asks for a name that cannot be one") from error
    kind = int(dns.rdatatype.from_text(record))
    return (wire or b"") + struct.pack(">HH", kind, _INTERNET), kind


def read_answer(to: Question, raw: bytes) -> Answer:
    """The answer in `raw`. Raises AttemptFailed when it is none, or one to another question."""
    import dns.rcode  # noqa: PLC0415

    if len(raw) < _HEAD.size:
        raise AttemptFailed(_CUT)
    _, flags, questions, answers, authorities, additional = _HEAD.unpack_from(raw)
    at = _HEAD.size + len(to.asked)
    repeated = raw[_HEAD.size : at].lower() == to.asked.lower()
    # A server that refuses or fails may leave the question out.
    if questions == 0 and flags & 0xF:
        at, repeated = _HEAD.size, True
    if raw[:2] != to.number or not flags & _RESPONSE or flags & _OPCODE or questions > 1 or not repeated:
        raise AttemptFailed("not DNS: the answer to another question")
    found: list[tuple[int, str]] = []
    extended = 0
    truncated = bool(flags & _TRUNCATED)
    for number in range(0 if truncated else answers + authorities + additional):
        at = _after_name(raw, at)
        if at + _RECORD.size > len(raw):
            raise AttemptFailed(_CUT)
        kind, _, ttl, size = _RECORD.unpack_from(raw, at)
        at += _RECORD.size
        if at + size > len(raw):
            raise AttemptFailed(_CUT)
        if number < answers and kind == to.kind and len(found) < _MOST_ANSWERS:
            found.append((ttl, _shown(_decoded(kind, raw, at, size))))
        elif number >= answers + authorities and kind == _OPT:
            extended = ttl >> 24  # the upper bits of the code (RFC 6891, section 6.1.3)
        at += size
    return Answer(
        rcode=dns.rcode.to_text(dns.rcode.Rcode.make(extended << 4 | flags & 0xF)),
        truncated=truncated,
        authoritative=bool(flags & _AUTHORITATIVE),
        authenticated=bool(flags & _AUTHENTIC),
        records=tuple(sorted(text for _, text in found)),
        ttl=min((ttl for ttl, _ in found), default=None),
    )


def _after_name(raw: bytes, at: int) -> int:
    """Where the name at `at` ends: at its root, or at a pointer to the rest of it."""
    while at < len(raw):
        length = raw[at]
        if length >= 0xC0:
            return at + 2
        if length >= 0x40:
            break
        at += 1 + length
        if length == 0:
            return at
    raise AttemptFailed(_CUT)


def _decoded(kind: int, raw: bytes, at: int, size: int) -> "Rdata":
    import dns.exception  # noqa: PLC0415
    import dns.rdata  # noqa: PLC0415
    import dns.rdataclass  # noqa: PLC0415
    import dns.rdatatype  # noqa: PLC0415

    try:
        return dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(kind), raw, at, size)
    except (dns.exception.DNSException, ValueError) as error:  # ValueError: text that is none, in a record
        raise AttemptFailed(_CUT) from error


def _shown(record: "Rdata") -> str:
    """A record as zone files have it; a TXT as the text that it is, without quotes, its parts joined."""
    strings: tuple[bytes, ...] | None = getattr(record, "strings", None)
    return b"".join(strings).decode("utf-8", "replace") if strings is not None else record.to_text()
