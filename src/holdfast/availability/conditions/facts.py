"""The facts that each check type brings back, by name and kind. A later check type adds its table here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from holdfast.availability.conditions.documents import json_reader
from holdfast.availability.conditions.values import Absent, Facts, Reader, Several

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

    `select` makes the reader of a fact that takes an argument, such as `header("content-type")`; `read` is
    the reader of one that is made from other facts. `quotable` says that its text may be shown to customers:
    the target's own words (a body, a header) may tell more about its inside than they should.
    """

    kind: Kind
    meaning: str
    select: Callable[[str], Reader] | None = None
    quotable: bool = True
    read: Reader | None = None


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


def _capability(name: str) -> Reader:
    key = name.strip().upper()
    missing = Absent(f'capability("{name}") is missing', settled=True)
    unknown = Absent("capabilities are missing", settled=False)

    def read(facts: Facts) -> object:
        parameters = facts.get("capability_parameters")
        return parameters.get(key, missing) if isinstance(parameters, Mapping) else unknown

    return read


def _column(name: str) -> Reader:
    missing = Absent(f'column("{name}") is missing', settled=True)

    def read(facts: Facts) -> object:
        row = facts.get("row")
        return row.get(name, missing) if isinstance(row, Mapping) else missing

    return read


_NO_VALUE = Absent("value is missing", settled=True)


def _first_column(facts: Facts) -> object:
    row = facts.get("row")
    return next(iter(row.values()), _NO_VALUE) if isinstance(row, Mapping) else _NO_VALUE


_NO_NUMBER = Absent("value is not a number", settled=False)
_UNKNOWN_VALUE = Absent("value is missing", settled=False)


def _sampled(facts: Facts) -> object:
    """Of several series each has to be as expected. NaN is the absence of a number, not one."""
    values = facts.get("values")
    if not isinstance(values, tuple):
        return _UNKNOWN_VALUE
    if any(value != value for value in values):  # noqa: PLR0124  only NaN differs from itself
        return _NO_NUMBER
    return Several(values) if values else _NO_VALUE


_NO_ANSWER = Absent("every_answer is missing", settled=True)


def _every_answer(facts: Facts) -> object:
    answers = facts.get("answers")
    return Several(tuple(answers)) if isinstance(answers, list) and answers else _NO_ANSWER


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
    "dns": {
        "rcode": Fact(Kind.TEXT, 'the code of the answer, such as "NOERROR" or "NXDOMAIN"'),
        "answers": Fact(Kind.JSON, "a list: the records of the type that was asked for", quotable=False),
        "every_answer": Fact(
            Kind.TEXT, "each of the answers, all of which have to be as expected", None, False, _every_answer
        ),
        "answer_count": Fact(Kind.NUMBER, "how many answers there are"),
        "ttl": Fact(Kind.DURATION, "the shortest time for which an answer may be kept"),
        "authenticated": Fact(Kind.BOOLEAN, "whether the server validated the answers by DNSSEC (flag AD)"),
        "authoritative": Fact(Kind.BOOLEAN, "whether the server owns the zone (flag AA)"),
        **_TIMES,
        **_FIRST_BYTE,
    },
    "icmp": {
        "sent": Fact(Kind.NUMBER, "how many echo requests were sent"),
        "received": Fact(Kind.NUMBER, "how many of them were answered"),
        "loss": Fact(Kind.NUMBER, "the share that was not answered, in percent"),
        "round_trip_time": Fact(Kind.DURATION, "from a request to its reply, on average"),
        "resolve_time": _TIMES["resolve_time"],
        "response_time": _TIMES["response_time"],
    },
    "amqp": {
        "messages": Fact(Kind.NUMBER, "how many messages are ready in the queue"),
        "consumers": Fact(Kind.NUMBER, "how many consumers the queue has"),
        **_TIMES,
        **_FIRST_BYTE,
        **_TLS,
    },
    "smtp": {
        "banner": Fact(Kind.TEXT, "the text of the greeting, without its code", quotable=False),
        "capabilities": Fact(Kind.JSON, "a list: the keywords that EHLO offers, in capitals", quotable=False),
        "capability": Fact(Kind.TEXT, "the parameters of a capability", _capability, False),
        **_TIMES,
        **_FIRST_BYTE,
        **_TLS,
    },
    "grpc": {
        "serving_status": Fact(
            Kind.TEXT, '"SERVING", "NOT_SERVING", "SERVICE_UNKNOWN" or "UNKNOWN", as the service says'
        ),
        **_TIMES,
        **_FIRST_BYTE,
        **_TLS,
    },
    "postgres": {
        "value": Fact(Kind.JSON, "the first column of the first row", None, False, _first_column),
        "column": Fact(Kind.JSON, "a column of the first row, by its name", _column, False),
        "rows": Fact(Kind.NUMBER, "how many rows came back, of at most 1,000"),
        **_TIMES,
        **_FIRST_BYTE,
        **_TLS,
    },
    "websocket": {
        "message": Fact(Kind.TEXT, "the first message, at most 64 KiB", quotable=False),
        "subprotocol": Fact(Kind.TEXT, "the subprotocol that the server chose"),
        **_TIMES,
        **_FIRST_BYTE,
        **_TLS,
    },
    "prometheus": {
        "value": Fact(Kind.NUMBER, "the value; of several series each has to be as expected", read=_sampled),
        "series": Fact(Kind.NUMBER, "how many series the query gave"),
        "empty": Fact(Kind.BOOLEAN, "whether the query gave no series at all"),
        "response_time": _TIMES["response_time"],
    },
    "domain": {
        "expires_in": Fact(Kind.DURATION, "until the registration ends; negative once it has"),
        "registrar": Fact(Kind.TEXT, "who registered it", quotable=False),
        "domain_status": Fact(Kind.JSON, 'a list, such as "active" or "client hold"', quotable=False),
        "response_time": _TIMES["response_time"],
    },
    "heartbeat": {
        "beat_age": Fact(Kind.DURATION, "how long ago the newest call came"),
        "beat_message": Fact(Kind.TEXT, "what the newest call said", quotable=False),
        "response_time": _TIMES["response_time"],
    },
}
