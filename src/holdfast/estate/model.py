"""The estate: all that the operator declares in `holdfast.yaml`, as frozen values.

Everything that is listed has a key (its name in the file, short and stable) and a name (for people).
A key is the identity under which history is kept; `was:` carries history over to a new key.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Field,
)

from holdfast.estate.backup import Backup, Database, Keep
from holdfast.estate.checks import Check, _default_check_type
from holdfast.estate.communication import Communication, Console, Mail, Publish
from holdfast.estate.ledger import Ledger
from holdfast.estate.recovery import Recovery
from holdfast.estate.values import (
    PATTERN_PATTERN,
    Colour,
    Declared,
    Duration,
    Header,
    Key,
    Language,
    Percent,
    Secret,
    TimeZone,
)

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
    private: bool = Field(
        False, description="shown only on the private pages of customers whose agreements cover it"
    )
    components: dict[Key, Component] = Field(min_length=1)


class Customer(Declared):
    """Somebody who holds an agreement."""

    name: str = Field(min_length=1, max_length=200)
    page_link: Secret | None = Field(
        None, description="the secret of the customer's private page: at least 32 characters, by reference"
    )


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
    keep: Keep | None = Field(None, description="how long its databases' copies are kept, at least")
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
        None, description="the public address, for links in feeds and mails", pattern=r"^https?://\S+$"
    )
    publish: tuple[Publish, ...] = Field((), description="places that keep the site as static files")


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
    mail: Mail | None = None
    communication: Communication = Communication()
    console: Console = Console()
    backup: Backup = Backup()
    databases: dict[Key, Database] = Field(default_factory=dict)
    ledger: Ledger | None = None
    recovery: Recovery | None = None


def zone(name: TimeZone) -> ZoneInfo:
    """The zone by its validated name."""
    return ZoneInfo(name)
