"""Recovery: how a cluster is moved to its other region, and when that may begin by itself."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from holdfast.estate.backup import DatabaseConnection
from holdfast.estate.drills import Drill, EvidenceKeeping
from holdfast.estate.values import Declared, Duration, Header, Key, Secret

Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+\S*$", max_length=500)]
Folder = Annotated[str, Field(min_length=1, max_length=500)]
Address = Annotated[str, Field(pattern=r"^(\d{1,3}\.){3}\d{1,3}$|^[0-9a-fA-F:]+$")]
DnsName = Annotated[str, Field(pattern=r"^([a-z0-9_]([a-z0-9-]*[a-z0-9])?\.)+$", max_length=253)]


class RecoveryDatabase(Declared):
    """A database whose data can be put back after damage."""

    owner: DatabaseConnection = Field(
        description="a login that owns its tables, and the database in which they are"
    )


class RecoveryPostgres(Declared):
    """The cluster's PostgreSQL under Patroni."""

    patroni: dict[Key, tuple[Url, ...]] = Field(
        min_length=2, description="the members' REST addresses, by the key of their region"
    )
    witness: Url | None = Field(
        None, description="where the witness site tells what it sees, and lets go of a dead leader's lock"
    )
    login: str = Field("holdfast", min_length=1, max_length=63, description="of Patroni's REST")
    password: Secret | None = Field(None, description="of Patroni's REST, by reference")
    connections: dict[Key, DatabaseConnection] = Field(
        default_factory=dict, description="by region: a login that may write in its own schema"
    )
    data: dict[Key, Folder] = Field(
        default_factory=dict,
        description="by region: its data directory, or a copy of it, as this machine reads it",
    )
    release_lock: bool = Field(
        False,
        description="let go of a lost leader's lock through the witness, instead of waiting until it expires",
    )


class RecoveryEdge(Declared):
    """The HAProxy of a region. It knows the servers of all regions."""

    health: Url = Field(description="answers 200 while its own region could serve users")
    check: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+/[a-z0-9-]+$",
        description="component/check of this cluster that looks at it from vantage points",
    )
    socket: Folder | None = Field(None, description="its admin socket")
    address: str | None = Field(
        None, pattern=r"^[^\s:]+:\d{1,5}$", description="its admin socket over TCP, in a private network"
    )
    backend: str = Field("printcloud", pattern=r"^[A-Za-z0-9_.:-]{1,63}$")
    servers: dict[Key, Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,63}$")]] = Field(
        default_factory=dict,
        description="what the names of each region's servers begin with; left out: the region's key",
    )
    route_file: Folder | None = Field(
        None, description="where the region that it points to is written down, for when it starts again"
    )


class RecoveryDns(Declared):
    """The name that users know, changed by RFC 2136 with a TSIG key."""

    server: str = Field(pattern=r"^[^\s:]+(:\d{1,5})?$", description="the primary of the zone, host:port")
    zone: DnsName
    name: DnsName
    answers: dict[Key, tuple[Address, ...]] = Field(min_length=2, description="its addresses, by region")
    ttl: Duration = timedelta(seconds=30)
    key_name: DnsName = Field(description="of the TSIG key")
    key: Secret = Field(description="the TSIG key in base64, by reference")
    algorithm: Literal["hmac-sha256", "hmac-sha512"] = "hmac-sha256"


class RecoveryScale(Declared):
    """How many replicas of the service run in a region, and who sees to it."""

    url: Url = Field(description="GET tells how many there are, PUT has it be so many")
    replicas: int = Field(2, ge=1, le=1000, description="while the region serves all users")
    idle: int | None = Field(
        None, ge=0, le=1000, description="while it does not; left out: it stays as it is"
    )
    login: str = Field("holdfast", min_length=1, max_length=63)
    password: Secret | None = Field(None, description="by reference; left out: nobody logs in")


class RecoveryWrite(Declared):
    """A write as a user makes it: with it a failover is verified, and its end measured."""

    url: Url = Field(description="by the name that users know")
    method: Literal["POST", "PUT"] = "POST"
    body: str = Field("{}", max_length=10_000, description="`{id}` stands for a new id each time")
    headers: dict[str, Header] = Field(default_factory=dict)
    status: int = Field(201, ge=200, le=299)
    read_url: Url | None = Field(None, description="where it is read again; `{id}` as above")
    within: Duration = timedelta(seconds=3)


class Automatic(Declared):
    """A failover begins by itself while all of this is known to hold. Left out: people approve each."""

    hold: Duration = Field(timedelta(seconds=10), description="so long the region must have been lost")
    lag: Duration = Field(timedelta(0), description="so much may be lost at most")
    drilled_within: Duration = Field(timedelta(days=90), description="a drill that went well, so recently")


class Watch(Declared):
    """How the regions are watched."""

    every: Duration = timedelta(seconds=1)
    within: Duration = Field(timedelta(seconds=1), description="who has not answered by then is not there")


class ClusterRecovery(Declared):
    """How a cluster is moved from its region to its secondary one, and back."""

    postgres: RecoveryPostgres
    edges: dict[Key, RecoveryEdge] = Field(min_length=2, description="by region")
    dns: RecoveryDns | None = None
    scale: dict[Key, RecoveryScale] = Field(default_factory=dict, description="by region")
    write: RecoveryWrite | None = None
    watch: Watch = Watch()
    automatic: Automatic | None = None


class Recovery(Declared):
    """What is done in a disaster, and by whom."""

    listen: str | None = Field(
        None,
        pattern=r"^[^\s:]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$",
        description="where its process answers /health and /metrics; left out: nowhere",
    )
    playbooks: Folder | None = Field(
        None, description="a folder of playbooks of your own; one with a known name takes its place"
    )
    clusters: dict[Key, ClusterRecovery] = Field(default_factory=dict, description="by the key of a cluster")
    databases: dict[Key, RecoveryDatabase] = Field(
        default_factory=dict, max_length=200, description="by its key in `databases`"
    )
    drills: dict[Key, Drill] = Field(default_factory=dict, max_length=200)
    evidence: EvidenceKeeping = EvidenceKeeping()
    keep_runs: Duration = Field(
        timedelta(days=365), description="how long runs that are over can be looked at; evidence stays"
    )
