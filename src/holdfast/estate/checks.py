"""The checks: what each type asks of its target. Frozen values, like all of the estate."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    StringConstraints,
)

from holdfast.estate.values import LOCAL, Declared, Duration, Header, Key, Secret, Severity


class Condition(Declared):
    """One expectation in the condition language, and what it means when it does not hold."""

    expect: str = Field(min_length=1, max_length=1000)
    otherwise: Severity | None = Field(
        None, description="the state when it fails; the check's `severity` when left out"
    )


def _to_condition(value: Any) -> Any:
    return {"expect": value} if isinstance(value, str) else value


class PhaseTimeouts(Declared):
    """The longest that each phase may take. The check's own `timeout` bounds them all together."""

    resolve: Duration = timedelta(seconds=5)
    connect: Duration = timedelta(seconds=5)
    tls: Duration = timedelta(seconds=5)
    first_byte: Duration = timedelta(seconds=10)


class CheckBase(Declared):
    """What all check types share."""

    was: tuple[Key, ...] = ()
    every: Duration = Field(timedelta(seconds=30), description="how often it runs")
    timeout: Duration = Field(
        default_factory=lambda so_far: min(timedelta(seconds=10), so_far.get("every", timedelta(seconds=10))),
        description="the longest that one attempt may take in total; default 10s, or `every` if less",
    )
    timeouts: PhaseTimeouts = PhaseTimeouts()
    severity: Severity = Field("major_outage", description="the component's state when this check fails")
    fail_after: int = Field(2, ge=1, le=100, description="failed runs in a row that make a failure")
    recover_after: int = Field(2, ge=1, le=100, description="good runs in a row that make a recovery")
    retry: bool = Field(True, description="repeat a failed attempt at once before it counts")
    seen_from: tuple[Key, ...] = Field(
        (LOCAL,),
        min_length=1,
        max_length=32,
        description="the vantage points that run it; local: the controller",
    )
    quorum: int | None = Field(
        None,
        ge=1,
        description="vantage points that must agree on a state; more than half of them when left out",
    )

    @property
    def needed(self) -> int:
        """How many vantage points must agree."""
        return self.quorum or len(self.seen_from) // 2 + 1

    @property
    def rhythm(self) -> timedelta:
        """How often it is looked at."""
        return self.every

    conditions: tuple[Annotated[Condition, BeforeValidator(_to_condition)], ...] = ()


# What goes over the wire goes as written: the line end of `PING\r\n` is part of it.
Payload = Annotated[str, StringConstraints(strip_whitespace=False, max_length=65_536)]
HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class HttpCheck(CheckBase):
    """An HTTP or HTTPS request. Without a condition on `status`, 200 to 299 is expected."""

    type: Literal["http"] = "http"
    url: str = Field(pattern=r"^https?://[^\s/]+", max_length=2000)
    method: HttpMethod = "GET"
    headers: dict[str, Header] = Field(default_factory=dict)
    body: Payload | None = None
    expected_status: tuple[int | str, ...] = Field(
        ("200-299",), description="codes and ranges, such as 200, 204 or 200-299"
    )
    follow_redirects: int = Field(5, ge=0, le=10, description="the most redirects that are followed")
    verify_tls: bool = True
    ca_file: str | None = None


class TcpCheck(CheckBase):
    """A TCP connection; optionally bytes to send, and text that the first answer must contain."""

    type: Literal["tcp"]
    host: str
    port: int = Field(ge=1, le=65535)
    send: Payload | None = None


class TlsCheck(CheckBase):
    """A TLS handshake, with the certificate's chain, name and age."""

    type: Literal["tls"]
    host: str
    port: int = Field(443, ge=1, le=65535)
    server_name: str | None = None
    ca_file: str | None = None
    verify_tls: bool = True


# Long enough for any name of the DNS, IDNA included (RFC 1035, section 2.3.4).
Hostname = Annotated[str, Field(min_length=1, max_length=255)]
Port = Annotated[int, Field(ge=1, le=65535)]
DnsRecord = Literal[
    "A", "AAAA", "CAA", "CNAME", "DNSKEY", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SRV", "SSHFP",
    "SVCB", "TLSA", "TXT",
]  # fmt: skip


class Trusting(CheckBase):
    """What all check types share that may speak TLS."""

    verify_tls: bool = True
    ca_file: str | None = None


class DnsCheck(CheckBase):
    """A DNS question to one server. Without a condition on them, NOERROR and an answer are expected."""

    type: Literal["dns"]
    name: Hostname
    record: DnsRecord = "A"
    server: Hostname | None = Field(None, description="a name server; the system's when left out")
    port: Port = 53
    transport: Literal["udp", "tcp"] = "udp"


class IcmpCheck(CheckBase):
    """Echo requests. It fails when none is answered; `loss` and `round_trip_time` are for conditions."""

    type: Literal["icmp"]
    host: Hostname
    count: int = Field(3, ge=1, le=10)


class AmqpCheck(Trusting):
    """A login to a virtual host of an AMQP 0-9-1 broker and, with `queue`, a look at that queue."""

    type: Literal["amqp"]
    host: Hostname
    tls: bool = True
    port: Port = Field(default_factory=lambda so_far: 5671 if so_far.get("tls", True) else 5672)
    server_name: Hostname | None = None
    virtual_host: str = Field("/", max_length=255)
    user: str = Field(min_length=1, max_length=255)
    password: Secret
    queue: str | None = Field(None, min_length=1, max_length=255)


class SmtpCheck(Trusting):
    """A mail server's greeting, what it offers after EHLO, and its TLS."""

    type: Literal["smtp"]
    host: Hostname
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    port: Port = Field(default_factory=lambda so_far: 465 if so_far.get("tls") == "implicit" else 25)
    server_name: Hostname | None = None


class GrpcCheck(Trusting):
    """grpc.health.v1.Health/Check. Without a condition on it, SERVING is expected."""

    type: Literal["grpc"]
    host: Hostname
    port: Port
    tls: bool = True
    server_name: Hostname | None = None
    service: str = Field("", max_length=1000, description="the service that is asked about; all when empty")
    metadata: dict[str, Header] = Field(default_factory=dict)


class PostgresCheck(Trusting):
    """One statement in a read-only transaction, and the first row that it returns."""

    type: Literal["postgres"]
    host: Hostname
    port: Port = 5432
    tls: bool = True
    server_name: Hostname | None = None
    database: str = Field(min_length=1, max_length=63)
    user: str = Field(min_length=1, max_length=63)
    password: Secret | None = None
    query: str = Field("SELECT 1", min_length=1, max_length=65_536)


class WebsocketCheck(Trusting):
    """A WebSocket handshake; optionally a message to send, and the first one that comes back."""

    type: Literal["websocket"]
    url: str = Field(pattern=r"^wss?://[^\s/]+", max_length=2000)
    headers: dict[str, Header] = Field(default_factory=dict)
    subprotocol: str | None = Field(None, max_length=255)
    send: Payload | None = None


class PrometheusCheck(Trusting):
    """An instant query to a Prometheus. One that does not answer says nothing about the component."""

    type: Literal["prometheus"]
    url: str = Field(pattern=r"^https?://[^\s/]+", max_length=2000)
    query: str = Field(min_length=1, max_length=10_000)
    headers: dict[str, Header] = Field(default_factory=dict)


class DomainCheck(Trusting):
    """When a domain's registration ends, asked of its registry every few hours at most."""

    type: Literal["domain"]
    domain: Hostname
    every: Duration = Field(timedelta(hours=1), description="how often it is judged")
    rdap: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+",
        max_length=2000,
        description="the address of an RDAP server; the registry's own when left out",
    )
    whois: str | None = Field(
        None,
        pattern=r"^[^\s:/]+(:\d{1,5})?$",
        max_length=260,
        description="a whois server, asked when RDAP fails; the registry's own when left out",
    )


class HeartbeatCheck(CheckBase):
    """The service calls in by itself: GET or POST /beat/TOKEN. It fails when no call comes in time."""

    type: Literal["heartbeat"]
    token: Secret = Field(description="the secret in the address that the service calls, by reference")
    every: Duration = Field(timedelta(minutes=1), description="how often the service calls")
    grace: Duration = Field(timedelta(seconds=30), description="how much later a call may come")
    fail_after: int = Field(1, ge=1, le=100, description="looks in a row that make a failure")
    recover_after: int = Field(1, ge=1, le=100, description="looks in a row that make a recovery")

    @property
    def rhythm(self) -> timedelta:
        """A missing call is noticed soon, however rarely it comes."""
        return min(self.every, LOOK_AT_BEATS_EVERY)


LOOK_AT_BEATS_EVERY = timedelta(seconds=15)

Check = Annotated[
    HttpCheck
    | TcpCheck
    | TlsCheck
    | DnsCheck
    | IcmpCheck
    | AmqpCheck
    | SmtpCheck
    | GrpcCheck
    | PostgresCheck
    | WebsocketCheck
    | PrometheusCheck
    | DomainCheck
    | HeartbeatCheck,
    Field(discriminator="type"),
]


def _default_check_type(value: Any) -> Any:
    if isinstance(value, dict) and "type" not in value and "url" in value:
        return {"type": "http", **value}
    return value
