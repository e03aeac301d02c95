"""The estate: all that the operator declares in `holdfast.yaml`, as frozen values.

Everything that is listed has a key (its name in the file, short and stable) and a name (for people).
A key is the identity under which history is kept; `was:` carries history over to a new key.
"""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from holdfast.kernel.durations import format_duration, parse_duration

KEY_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
Key = Annotated[str, Field(pattern=KEY_PATTERN, description="lower-case letters, digits and hyphens")]
PATTERN_PATTERN = r"^([a-z0-9-]+|\*)/([a-z0-9-]+|\*)$"


# Far beyond any setting, and still safe to subtract from any date.
LONGEST = timedelta(days=36525)


def _to_duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        try:
            duration = parse_duration(value)
        except OverflowError:
            duration = timedelta.max
        if duration > LONGEST:
            raise ValueError(f"{value!r} is longer than 100 years; write 500ms, 10s, 5m or 14d")
        return duration
    raise ValueError("write a duration with its unit, such as 500ms, 10s, 5m or 14d")


Duration = Annotated[
    timedelta,
    BeforeValidator(_to_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d|w))+$", "examples": ["10s", "5m", "14d"]}
    ),
]


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is not a time zone; use a name such as Europe/Berlin or UTC")
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$", examples=["#0b6e4f"])]
Language = Literal["en", "de"]
Percent = Annotated[Decimal, Field(ge=0, le=100, allow_inf_nan=False)]


LOCAL = "local"
"""The vantage point of the controllers themselves. It is always there and never declared."""


class Declared(BaseModel):
    """A part of the estate: immutable, and strict about keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class SecretRef(Declared):
    """A secret by reference, written `env:NAME` or `file:/path`. The estate never holds a secret itself."""

    source: Literal["env", "file"]
    name: str


def _to_secret(value: Any) -> Any:
    if isinstance(value, SecretRef):
        return value
    if isinstance(value, str) and (match := re.fullmatch(r"(env|file):(.+)", value)):
        return SecretRef(source=match[1], name=match[2])
    raise ValueError("write a secret by reference: env:NAME or file:/path, never in the file itself")


Secret = Annotated[
    SecretRef,
    BeforeValidator(_to_secret),
    PlainSerializer(lambda ref: f"{ref.source}:{ref.name}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^(env|file):.+", "examples": ["env:HOLDFAST_TOKEN"]}),
]


def _secret_if_reference(value: Any) -> Any:
    # A union prefers plain text, so that a reference would be sent out as if it were the secret.
    return _to_secret(value) if isinstance(value, str) and value.startswith(("env:", "file:")) else value


Header = Annotated[str | Secret, BeforeValidator(_secret_if_reference)]
Severity = Literal["degraded", "partial_outage", "major_outage"]


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


MetricUnit = Literal["count", "/s", "ms", "s", "%", "bytes"]


class Metric(Declared):
    """A value that a Prometheus is asked for every minute, for a chart on the component's page."""

    name: str = Field(min_length=1, max_length=100)
    url: str = Field(pattern=r"^https?://[^\s/]+", max_length=2000)
    query: str = Field(min_length=1, max_length=10_000, description="one that gives one value now")
    unit: MetricUnit = "count"
    headers: dict[str, Header] = Field(default_factory=dict)
    verify_tls: bool = True
    ca_file: str | None = None


class Component(Declared):
    """A part of a cluster that customers know by name: website, api, messaging."""

    name: str = Field(min_length=1, max_length=100)
    was: tuple[Key, ...] = ()
    description: str = Field("", max_length=500)
    depends_on: tuple[Annotated[str, Field(pattern=PATTERN_PATTERN)], ...] = Field(
        (), description="components that it cannot do without: cluster/component, or cluster/* for all of one"
    )
    checks: dict[Key, Annotated[Check, BeforeValidator(_default_check_type)]] = Field(min_length=1)
    metrics: dict[Key, Metric] = Field(default_factory=dict, max_length=20)


class VantagePoint(Declared):
    """A place where an agent runs checks from, beside the controller's own."""

    name: str = Field(min_length=1, max_length=100)


class Region(Declared):
    """A place where parts of the service run."""

    name: str = Field(min_length=1, max_length=100)


class Cluster(Declared):
    """One customer-facing deployment of the service: a primary region and, for recovery, a secondary one."""

    name: str = Field(min_length=1, max_length=100)
    was: tuple[Key, ...] = ()
    region: Key
    secondary: Key | None = None
    components: dict[Key, Component] = Field(min_length=1)


class Customer(Declared):
    """Somebody who holds an agreement."""

    name: str = Field(min_length=1, max_length=200)


class CreditTier(Declared):
    """Below this availability the customer is owed this share of the fee; the lowest that applies counts."""

    below: Percent
    credit: Percent


class Agreement(Declared):
    """One customer's SLA: what is measured, over which window, against which objective, what a miss costs."""

    customer: Key
    name: str = Field(min_length=1, max_length=200)
    components: tuple[Annotated[str, Field(pattern=PATTERN_PATTERN)], ...] = Field(
        min_length=1, description="cluster/component, with * for all: eu/api, eu/*, */website"
    )
    objective: Percent = Field(description="promised availability in percent")
    window: Literal["calendar_month"] | Duration = Field(
        "calendar_month", description="calendar_month, or the length of a rolling window such as 30d"
    )
    time_zone: TimeZone = "UTC"
    combine: Literal["average", "worst"] = Field(
        "average", description="several components: their average, or at each moment the worst of them"
    )
    unknown: Literal["excluded", "downtime", "uptime"] = Field(
        "excluded", description="how time without data counts; it is reported beside the figure in any case"
    )
    notice: Duration = Field(
        timedelta(hours=72), description="maintenance announced at least this long before leaves counted time"
    )
    credits: tuple[CreditTier, ...] = ()
    rpo: Duration | None = None
    rto: Duration | None = None
    report_link: Secret | None = Field(
        None, description="the secret of the customer's report link: at least 32 characters, by reference"
    )


class AlertChannel(Declared):
    """Somewhere that operators are told: one address in Apprise's notation, kept as a secret."""

    url: Secret = Field(description="an Apprise URL: mailtos://, slack://, json:// and hundreds more")


AlertSeverity = Literal["page", "ticket"]
AlertLabel = Literal["agreement", "cluster", "component", "severity", "kind"]


class AlertMatch(Declared):
    """Which alerts a route takes. Every list that is given must hold; one left out holds for all."""

    agreements: tuple[Key, ...] = ()
    components: tuple[Annotated[str, Field(pattern=PATTERN_PATTERN)], ...] = Field(
        (), description="cluster/component, with * for all: eu/api, eu/*, */website"
    )
    severities: tuple[AlertSeverity, ...] = ()


class AlertRoute(Declared):
    """The way of some alerts to some channels, and how they are put together there."""

    match: AlertMatch = AlertMatch()
    channels: tuple[Key, ...] = Field(min_length=1)
    group_by: tuple[AlertLabel, ...] = Field(
        ("cluster",), description="alerts alike in these come in one message; [] puts all of them into one"
    )
    group_wait: Duration = Field(
        timedelta(seconds=30), description="how long a message waits for more that belongs to it"
    )
    repeat_every: Duration | None = Field(
        None, description="how often what is still open is told again; 4h with a page in it, else 1d"
    )


class Alerts(Declared):
    """Who is told of outages and burning error budgets. Without routes every alert goes to every channel."""

    channels: dict[Key, AlertChannel] = Field(default_factory=dict)
    routes: tuple[AlertRoute, ...] = ()
    resolve_after: Duration = Field(
        timedelta(minutes=5), description="how long it must be quiet before an alert is over"
    )
    unknown_limit: Percent = Field(
        Decimal(50), description="with a larger share of unknown time, in percent, a burn cannot be judged"
    )


class Colours(Declared):
    """The site's own colours."""

    accent: Colour = "#0b6e4f"


class Site(Declared):
    """How the status site looks and where it answers."""

    title: str = Field("Service status", min_length=1, max_length=100)
    time_zone: TimeZone = "UTC"
    languages: tuple[Language, ...] = Field(("en", "de"), min_length=1)
    logo: str | None = Field(None, description="an SVG or PNG file beside the estate file, at most 256 KiB")
    colours: Colours = Colours()
    listen: str = Field("127.0.0.1:8080", pattern=r"^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")
    url: str | None = Field(
        None, description="the public address, for links in feeds", pattern=r"^https?://\S+$"
    )


class Agents(Declared):
    """Where agents and services call, once a vantage point or a heartbeat is declared."""

    listen: str = Field("127.0.0.1:8081", pattern=r"^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")


class Postgres(Declared):
    """Which PostgreSQL to use: yours by `url`, or a private one that Holdfast starts and owns."""

    url: Secret | None = None
    bin_dir: str | None = Field(None, description="PostgreSQL 14 or later; the packaged one when left out")


class Retention(Declared):
    """How long each resolution is kept. Intervals, the truth behind every figure, are kept for good."""

    results: Duration = timedelta(days=7)
    minutes: Duration = timedelta(days=2 * 366)
    hours: Duration = timedelta(days=5 * 366)
    days: Duration = timedelta(days=10 * 366)


class Estate(Declared):
    """The whole file."""

    version: Literal[1] = 1
    site: Site = Site()
    agents: Agents = Agents()
    postgres: Postgres = Postgres()
    retention: Retention = Retention()
    regions: dict[Key, Region] = Field(min_length=1)
    vantage_points: dict[Key, VantagePoint] = Field(default_factory=dict)
    clusters: dict[Key, Cluster] = Field(min_length=1)
    customers: dict[Key, Customer] = Field(default_factory=dict)
    agreements: dict[Key, Agreement] = Field(default_factory=dict)
    alerts: Alerts = Alerts()


def zone(name: TimeZone) -> ZoneInfo:
    """The zone by its validated name."""
    return ZoneInfo(name)
