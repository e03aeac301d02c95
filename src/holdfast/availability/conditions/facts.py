"""The facts that each check type brings back, by name and kind. A later check type adds its table here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from holdfast.availability.conditions.documents import json_reader
from holdfast.availability.conditions.values import Absent, Facts, Reader

__all__ = ["CHECK_TYPES", "Fact", "Facts", "Kind", "reader_of"]


class Kind(Enum):
    """What a fact is, which decides what it can be compared with."""

    NUMBER = "a number"
    TEXT = "text"
    DURATION = "a duration"
    BOOLEAN = "true or false"
    JSON = "a JSON value"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a probe sees.

    `select` makes the reader of a fact that takes an argument, such as `header("content-type")`. `quotable`
    says that its text may be shown to customers: the target's own words (a body, a header) may tell more
    about its inside than they should.
    """

    kind: Kind
    meaning: str
    select: Callable[[str], Reader] | None = None
    quotable: bool = True


def reader_of(name: str) -> Reader:
    """Reads the fact `name`. Text that came as bytes is read as UTF-8."""
    missing = Absent(f"{name} is missing", settled=False)

    def read(facts: Facts) -> object:
        value = facts.get(name)
        if value is None:
            return missing
        return value.decode("utf-8", "replace") if type(value) is bytes else value

    return read


def _header(name: str) -> Reader:
    key = name.strip().lower()
    missing = Absent(f'header("{name}") is missing', settled=True)
    unknown = Absent("headers are missing", settled=False)

    def read(facts: Facts) -> object:
        headers = facts.get("headers")
        return headers.get(key, missing) if isinstance(headers, Mapping) else unknown

    return read


_TIMES = {
    "resolve_time": Fact(Kind.DURATION, "finding the address of the name"),
    "connect_time": Fact(Kind.DURATION, "the TCP connection"),
    "response_time": Fact(Kind.DURATION, "the whole check, from its start to the last byte"),
}
_FIRST_BYTE = {
    "first_byte_time": Fact(Kind.DURATION, "from the request sent to the first byte of the answer")
}
_TLS = {
    "tls_time": Fact(Kind.DURATION, "the TLS handshake"),
    "tls_version": Fact(Kind.TEXT, 'the protocol, such as "TLSv1.3"'),
    "cipher": Fact(Kind.TEXT, 'the cipher suite, such as "TLS_AES_256_GCM_SHA384"'),
    "certificate_expires_in": Fact(Kind.DURATION, "until the certificate ends; negative once it has"),
    "certificate_subject": Fact(Kind.TEXT, "the common name that the certificate is for"),
    "certificate_issuer": Fact(Kind.TEXT, "the common name, or organisation, that signed it"),
}

CHECK_TYPES: Mapping[str, Mapping[str, Fact]] = {
    "http": {
        "status": Fact(Kind.NUMBER, "the status code of the last answer"),
        "header": Fact(
            Kind.TEXT, "a header of the answer; several of one name are joined by commas", _header, False
        ),
        "body": Fact(Kind.TEXT, "the text of the answer, its first 1 MiB", quotable=False),
        "body_truncated": Fact(Kind.BOOLEAN, "whether the body was longer than 1 MiB"),
        "json": Fact(Kind.JSON, "what a JSON path (RFC 9535) selects from the body", json_reader, False),
        "redirects": Fact(Kind.NUMBER, "how many redirects were followed"),
        **_TIMES,
        **_FIRST_BYTE,
        **_TLS,
    },
    "tcp": {
        "answer": Fact(Kind.TEXT, "what arrived first, at most 64 KiB", quotable=False),
        **_TIMES,
        **_FIRST_BYTE,
    },
    "tls": {**_TIMES, **_TLS},
}
