"""Databases that are kept, where their copies are, and for how long."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from holdfast.estate.values import Declared, Duration, Header, Key, Secret


class Keep(Declared):
    """What a copy must still restore: any moment of the window, then single points for months."""

    window: Duration = Field(timedelta(days=14), description="every moment of this time can be restored")
    daily: int = Field(0, ge=0, le=3660, description="a point of each of so many days")
    weekly: int = Field(8, ge=0, le=520, description="a point of each of so many weeks")
    monthly: int = Field(12, ge=0, le=120, description="a point of each of so many months")
    minimum: int = Field(2, ge=1, le=100, description="never fewer restorable backups than this")


class Store(Declared):
    """A region's store of objects, for copies of databases."""

    to: str = Field(
        pattern=r"^(file|s3|az|azure|gs)://\S+$",
        max_length=500,
        description="file:///srv/backups, s3://bucket/prefix",
    )
    options: dict[str, Header] = Field(
        default_factory=dict, description="of the object store, secrets by reference"
    )
    lock: Literal["none", "governance", "compliance"] = Field(
        "none", description="S3 Object Lock: nobody deletes what the window still needs, whoever they are"
    )


class Encryption(Declared):
    """All that is stored of databases is sealed. Old keys stay declared while old objects are there."""

    key: Key = Field(description="which of `keys` seals what is new")
    keys: dict[Key, Secret] = Field(min_length=1, description="32 random bytes in base64, each by reference")
    believe_unsealed: bool = Field(
        False,
        description="read what was stored without a key, whoever did; for the time after the first key",
    )


class Backup(Declared):
    """Where copies of databases go."""

    stores: dict[Key, Store] = Field(default_factory=dict, description="by the key of the region")
    encryption: Encryption | None = None
    spool_limit: int = Field(
        2048,
        ge=64,
        le=1_048_576,
        description="MiB of WAL that wait on this machine for regions that are away",
    )


class DatabaseConnection(Declared):
    """How a database is reached, by a login that has REPLICATION and nothing else."""

    host: str = Field(min_length=1, max_length=500, description="its name or address, or a socket's folder")
    port: int = Field(5432, ge=1, le=65535)
    user: str = Field("holdfast", min_length=1, max_length=63)
    password: Secret | None = None
    dbname: str = Field("postgres", min_length=1, max_length=63, description="where heartbeats are written")
    tls: Literal["off", "require", "verify-ca", "verify-full"] = Field(
        "verify-full", description="a socket's folder needs none"
    )
    ca_file: str | None = Field(None, description="left out: the system's authorities")


class RegionCopy(Declared):
    """The copy of a database in one region."""

    keep: Keep | None = Field(None, description="left out: as the database's")
    repo: int | None = Field(
        None, ge=1, le=256, description="pgbackrest's number of its repository there; left out: 1"
    )


class Sync(Declared):
    """Commits wait until WAL is kept."""

    regions: int = Field(1, ge=0, le=9, description="in how many regions; 0: on this machine's disk")
    stall_limit: Duration = Field(
        timedelta(seconds=10), description="when it stalls commits for so long, it lets go, and says so"
    )


class Schedule(Declared):
    """When backups are taken. An RTO of an agreement makes it closer when it has to be."""

    full_every: Duration = timedelta(days=7)
    incremental_every: Duration = timedelta(days=1)
    differential_every: Duration | None = Field(
        None, description="pgbackrest's differential ones between full ones; left out: none"
    )


class Verification(Declared):
    """What must be true of a restored copy, tried every day."""

    every: Duration = timedelta(days=1)
    checks: dict[Key, str] = Field(
        default_factory=dict, description="SQL that returns true, in `dbname`", max_length=50
    )
    newest: dict[Key, str] = Field(
        default_factory=dict, description="SQL that returns the time of the newest row", max_length=50
    )
    dbname: str | None = Field(None, description="left out: the connection's")
    bin_dir: str | None = Field(
        None, description="PostgreSQL of the same major version; the packaged one when left out"
    )


class Database(Declared):
    """A PostgreSQL that is backed up."""

    name: str = Field(min_length=1, max_length=100)
    cluster: Key = Field(description="its agreements' RPO, RTO and retention count")
    connection: DatabaseConnection
    engine: Literal["native", "pgbackrest", "logical"] = "native"
    stanza: str | None = Field(None, max_length=100, description="pgbackrest's name of it")
    mode: Literal["stream", "sync", "archive"] = "stream"
    sync: Sync = Sync()
    heartbeat: Duration = Field(
        timedelta(seconds=10), description="a tiny commit when nothing else was written for so long; 0s: none"
    )
    copies: dict[Key, RegionCopy] = Field(min_length=1, description="by the key of the region")
    keep: Keep = Keep()
    schedule: Schedule = Schedule()
    verification: Verification = Verification()
    public: bool = Field(
        False, description="its promises and what was measured are shown on the site's continuity page"
    )
