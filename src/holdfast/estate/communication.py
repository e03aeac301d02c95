"""How the service talks to its readers, as the operator declares it."""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from holdfast.estate.values import PATTERN_PATTERN, Declared, Duration, Header, Key, Secret, Severity

ComponentPattern = Annotated[str, Field(pattern=PATTERN_PATTERN)]
MailAddress = Annotated[str, Field(pattern=r"^[^\s@<>]+@[^\s@<>]+$", max_length=254)]
Listen = Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$")]
Topic = Literal["incident", "maintenance", "degradation"]
Channel = Literal["mail", "webhook", "slack", "teams"]
ConsoleRole = Literal["viewer", "communicator", "operator", "commander", "admin"]


TEMPLATE_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
TEMPLATE_VARIABLES = ("component", "components", "cluster", "state", "since", "cause", "rule")
"""What is known by itself when a rule uses a template. A person's is told the same but `cause` and `rule`."""


class IncidentTemplate(Declared):
    """A prepared incident or update. `{{ component }}` and other variables are filled in when it is used."""

    name: str = Field(min_length=1, max_length=100)
    title: str = Field("", max_length=200, description="empty for one that is an update only")
    body: str = Field(min_length=1, max_length=20_000, description="Markdown, with variables in {{ }}")
    impact: Literal["none", "minor", "major", "critical"] | None = Field(
        None, description="left out: a rule's follows from the components' states, a person's is minor"
    )
    phase: Literal["investigating", "identified", "monitoring", "resolved"] = "investigating"


class IncidentRule(Declared):
    """When a confirmed downtime opens an incident by itself, and whether its end resolves it."""

    components: tuple[ComponentPattern, ...] = Field(
        min_length=1, description="cluster/component, with * for all: eu/api, eu/*, */website"
    )
    states: tuple[Severity, ...] = Field(("partial_outage", "major_outage"), min_length=1)
    after: Duration = Field(timedelta(minutes=2), description="how long it must have lasted")
    open_as: Literal["draft", "public"] = Field(
        "draft", description="a draft waits for a person; a public one is told at once"
    )
    template: Key | None = Field(None, description="one of `communication.templates`")
    resolve_after: Duration | None = Field(
        None, description="resolve it once all is well for so long; left out: a person resolves it"
    )


class Subscriptions(Declared):
    """What visitors of the site may subscribe with."""

    channels: tuple[Channel, ...] = ("mail", "webhook", "slack", "teams")
    degradation_after: Duration = Field(
        timedelta(minutes=1),
        description="how long a component must be in trouble before subscribers are told",
    )
    private_targets: bool = Field(
        False, description="allow webhooks to private and loopback addresses: for tests and closed networks"
    )


class ScheduledReport(Declared):
    """A report of the last month, mailed after its end."""

    agreement: Key
    to: tuple[MailAddress, ...] = Field(min_length=1, max_length=50)
    language: Literal["en", "de"] = "en"
    day: int = Field(2, ge=1, le=28, description="of the month, in the agreement's time zone")
    formats: tuple[Literal["pdf", "csv", "json"], ...] = Field(("pdf",), min_length=1)


class Communication(Declared):
    """Incidents, subscriptions and reports."""

    encryption_key: Secret | None = Field(
        None,
        description="32 random bytes in base64, for what is stored encrypted; else made in the data folder",
    )
    templates: dict[Key, IncidentTemplate] = Field(default_factory=dict)
    rules: dict[Key, IncidentRule] = Field(default_factory=dict)
    subscriptions: Subscriptions = Subscriptions()
    reports: dict[Key, ScheduledReport] = Field(default_factory=dict)


class Mail(Declared):
    """How mail leaves."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: Secret | None = None
    sender: MailAddress = Field(description="the address that mails come from")
    reply_to: MailAddress | None = None
    ca_file: str | None = None
    connections: int = Field(4, ge=1, le=50, description="how many mails are on their way at once")


class OpenIdRole(Declared):
    """Who, by a claim of the provider, has which role."""

    claim: str = Field("groups", max_length=100)
    value: str = Field(min_length=1, max_length=200)
    role: ConsoleRole


class OpenId(Declared):
    """Logging in through an OpenID Connect provider."""

    name: str = Field("Single sign-on", max_length=50)
    issuer: str = Field(pattern=r"^https?://\S+$", max_length=500)
    client_id: str = Field(min_length=1, max_length=200)
    client_secret: Secret
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    roles: tuple[OpenIdRole, ...] = Field((), description="the first that fits counts; nobody else gets in")


class Console(Declared):
    """Where operators log in, and where the API answers."""

    listen: Listen = "127.0.0.1:8082"
    url: str | None = Field(None, description="its address for browsers", pattern=r"^https?://\S+$")
    idle: Duration = Field(timedelta(minutes=30), description="a session that is not used ends after this")
    longest: Duration = Field(timedelta(hours=12), description="every session ends after this")
    second_factor: Literal["required", "optional"] = "required"
    openid: OpenId | None = None


class Publish(Declared):
    """Where the site is kept as static files, written anew at every change: it survives everything else."""

    region: Key
    to: str = Field(
        pattern=r"^(file|s3|az|azure|gs)://\S+$",
        max_length=500,
        description="file:///srv/status, s3://bucket/prefix",
    )
    options: dict[str, Header] = Field(
        default_factory=dict, description="of the object store, secrets by reference"
    )
