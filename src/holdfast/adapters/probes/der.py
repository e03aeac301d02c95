"""What a check wants to know of an X.509 certificate (RFC 5280), read from its DER bytes.

The standard library tells these things only of certificates that it verified. This is a strict reader of the
few fields that are needed; anything unexpected is a ValueError.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address

_SEQUENCE, _SET, _OID, _OCTETS, _BOOLEAN = 0x30, 0x31, 0x06, 0x04, 0x01
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_COMMON_NAME, _ORGANISATION = bytes.fromhex("550403"), bytes.fromhex("55040a")
_ALTERNATIVE_NAMES = bytes.fromhex("551d11")
_ENCODINGS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x14: "latin-1", 0x1E: "utf-16-be"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """Who it is for, who signed it, and when it is valid, in UTC."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]


class _Fields:
    """The tag-length-value fields of a stretch of DER, one after another."""

    def __init__(self, der: bytes) -> None:
        self.der = der
        self.at = 0

    def more(self) -> bool:
        return self.at < len(self.der)

    def tag(self) -> int:
        return self.der[self.at] if self.more() else -1

    def take(self, tag: int | None = None) -> bytes:
        """The content of the next field, which must have this tag."""
        if self.at + 2 > len(self.der) or (tag is not None and self.der[self.at] != tag):
            raise ValueError("unexpected DER field")
        length = self.der[self.at + 1]
        start = self.at + 2
        if length >= 0x80:
            octets = length & 0x7F
            if not 1 <= octets <= 3:
                raise ValueError("unexpected DER length")
            length = int.from_bytes(self.der[start : start + octets], "big")
            start += octets
        self.at = start + length
        if self.at > len(self.der):
            raise ValueError("DER field is cut off")
        return self.der[start : self.at]


@lru_cache(maxsize=1_024)
def read_certificate(der: bytes) -> Certificate:
    """The certificate in `der`. Raises ValueError when it is not one."""
    fields = _Fields(_Fields(_Fields(der).take(_SEQUENCE)).take(_SEQUENCE))
    if fields.tag() == _VERSION:
        fields.take()
    fields.take()  # serial number
    fields.take(_SEQUENCE)  # signature algorithm
    issuer = _name(fields.take(_SEQUENCE))
    validity = _Fields(fields.take(_SEQUENCE))
    not_before, not_after = _time(validity), _time(validity)
    subject = _name(fields.take(_SEQUENCE))
    fields.take(_SEQUENCE)  # public key
    names: tuple[str, ...] = ()
    while fields.more():
        if fields.tag() == _EXTENSIONS:
            names = _alternative_names(fields.take())
        else:
            fields.take()
    return Certificate(subject, issuer, not_before, not_after, names)


def _time(fields: _Fields) -> datetime:
    tag = fields.tag()
    text = fields.take().decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("20" if text < "50" else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("unexpected kind of time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _name(der: bytes) -> str:
    """The common name, else the organisation, else nothing."""
    found: dict[bytes, str] = {}
    relative = _Fields(der)
    while relative.more():
        attributes = _Fields(relative.take(_SET))
        while attributes.more():
            attribute = _Fields(attributes.take(_SEQUENCE))
            kind = attribute.take(_OID)
            encoding = _ENCODINGS.get(attribute.tag(), "latin-1")
            found[kind] = attribute.take().decode(encoding, "replace")
    return found.get(_COMMON_NAME) or found.get(_ORGANISATION) or ""


def _alternative_names(der: bytes) -> tuple[str, ...]:
    extensions = _Fields(_Fields(der).take(_SEQUENCE))
    names: list[str] = []
    while extensions.more():
        extension = _Fields(extensions.take(_SEQUENCE))
        kind = extension.take(_OID)
        if extension.tag() == _BOOLEAN:
            extension.take()
        value = extension.take(_OCTETS)
        if kind == _ALTERNATIVE_NAMES:
            names.extend(_general_names(_Fields(_Fields(value).take(_SEQUENCE))))
    return tuple(names)


def _general_names(fields: _Fields) -> list[str]:
    names: list[str] = []
    while fields.more():
        tag, value = fields.tag(), fields.take()
        if tag == _DNS_NAME:
            names.append(value.decode("ascii", "replace"))
        elif tag == _IP_ADDRESS:
            names.append(str(ip_address(value)))
    return names
