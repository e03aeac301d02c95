"""The settings files of the lab's parts, as values and text. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.lab.regions import layout as at
from holdfast.lab.regions.layout import REGIONS, SLOTS, WITNESS, Layout

SUPERUSER, REPLICATION, REWINDER = "postgres", "replicator", "rewinder"
REST_USER = "holdfast"
"""Who may change something over Patroni's and the witness's interface."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast Patroni notices, in seconds. It accepts no `ttl` below 20 and wants
    loop_wait + 2 * retry_timeout <= ttl.
    """

    ttl: int = 20
    loop_wait: int = 5
    retry_timeout: int = 5


FAST = Pace(ttl=20, loop_wait=2, retry_timeout=3)
"""For who lets the witness release a dead leader's lock and does not wait until it expires."""


def raft(layout: Layout, site: str, password: str) -> dict[str, object]:
    """The site's vote. `bind_addr` is said because pysyncobj would listen on every address of the machine."""
    address = {each: f"{layout.inner(each)}:{layout.port(at.RAFT)}" for each in at.SITES}
    return {
        "data_dir": str(layout.folder(site) / "raft"),
        "self_addr": address[site],
        "bind_addr": address[site],
        "partner_addrs": [address[each] for each in at.SITES if each != site],
        "password": password,
    }


def patroni(
    layout: Layout, region: str, secrets: Mapping[str, str], bin_dir: Path, pace: Pace
) -> dict[str, object]:
    """A node's settings. `secrets` has: raft, rest, superuser, replication, rewinder.

    Never rewound and never removed by itself: what a diverged old primary has alone is to be read first.
    """
    here, node = layout.inner(region), layout.folder(region) / "node"
    network = at.INNER_NETWORK if layout.namespaces else "127.0.0.0/8"
    postgres, rest = f"{here}:{layout.port(at.POSTGRES)}", f"{here}:{layout.port(at.PATRONI)}"
    return {
        "scope": at.SCOPE,
        "namespace": at.NAMESPACE,
        "name": region,
        "restapi": {
            "listen": rest,
            "connect_address": rest,
            "authentication": {"username": REST_USER, "password": secrets["rest"]},
        },
        "raft": raft(layout, region, secrets["raft"]),
        "bootstrap": {
            "dcs": {
                "ttl": pace.ttl,
                "loop_wait": pace.loop_wait,
                "retry_timeout": pace.retry_timeout,
                "maximum_lag_on_failover": 1024 * 1024,
                "synchronous_mode": True,
                "postgresql": {
                    "use_slots": True,
                    "use_pg_rewind": False,
                    "remove_data_directory_on_diverged_timelines": False,
                    "parameters": _PARAMETERS,
                },
            },
            "initdb": [
                {"encoding": "UTF8"},
                {"locale": "C"},
                {"auth-host": "scram-sha-256"},
                {"auth-local": "scram-sha-256"},
                "data-checksums",
            ],
        },
        "postgresql": {
            "listen": postgres,
            "connect_address": postgres,
            "data_dir": str(layout.data(region)),
            "bin_dir": str(bin_dir),
            "pgpass": str(node / "pgpass"),
            "authentication": {
                "superuser": {"username": SUPERUSER, "password": secrets["superuser"]},
                "replication": {"username": REPLICATION, "password": secrets["replication"]},
                "rewind": {"username": REWINDER, "password": secrets["rewinder"]},
            },
            # Else a copy waits until the primary's checkpoint has been spread over minutes.
            "basebackup": [{"checkpoint": "fast"}],
            # No socket file: its path could be longer than a socket's may be, and nobody needs it.
            "parameters": {"unix_socket_directories": ""},
            "pg_hba": [
                f"host all all {network} scram-sha-256",
                f"host replication all {network} scram-sha-256",
                "host all all 127.0.0.0/8 scram-sha-256",
            ],
        },
        "tags": {},
    }


_PARAMETERS = {
    "wal_level": "logical",
    "wal_log_hints": True,
    "summarize_wal": True,
    "shared_buffers": "32MB",
    "max_connections": 100,
    "max_wal_size": "512MB",
    "wal_keep_size": "256MB",
    "track_commit_timestamp": True,
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A cut link must not hold a standby, or a backend, for the operating system's two hours.
    "wal_receiver_timeout": "5s",
    "wal_sender_timeout": "5s",
    "tcp_keepalives_idle": 3,
    "tcp_keepalives_interval": 1,
    "tcp_keepalives_count": 3,
    "jit": False,
}


def edge(layout: Layout, region: str, route: str) -> str:
    """HAProxy's settings: one backend with a slot for every replica of both regions, open to `route` only.

    A region is routed to when its slots are `ready` and the other's are in `maint`. GET /region answers 200
    while a replica of the edge's own region does, wherever users are sent.
    """
    slots = {
        each: [
            f"    server {each}{slot + 1} {layout.inner(each)}:{layout.port(at.REPLICAS) + slot}"
            for slot in range(SLOTS)
        ]
        for each in REGIONS
    }
    both = [line + ("" if each == route else " disabled") for each in REGIONS for line in slots[each]]
    here = layout.inner(region)
    admin = layout.folder(region) / "edge" / "admin.sock"
    return "\n".join(
        [
            "# Written by the lab whenever the edge is started.",
            "global",
            # A socket's path cannot be long (unix(7)), and HAProxy adds to it while it starts.
            *([f'    stats socket "{admin}" mode 600 level admin'] if len(str(admin).encode()) <= 88 else []),
            f"    stats socket ipv4@{here}:{layout.port(at.EDGE_ADMIN)} level admin",
            "    maxconn 2000",
            "    nbthread 1",
            "    hard-stop-after 3s",
            "defaults",
            "    mode http",
            "    timeout connect 1s",
            "    timeout client 15s",
            "    timeout server 5s",
            "    timeout queue 3s",
            "    option redispatch",
            "    retries 2",
            # Only what was never sent is sent again: a write must not happen twice.
            "    retry-on conn-failure",
            "frontend edge",
            f"    bind {here}:{layout.port(at.EDGE)}",
            # Whether this region could serve users, wherever they are sent now.
            "    monitor-uri /region",
            "    monitor fail if { nbsrv(own) lt 1 }",
            "    default_backend printcloud",
            "backend printcloud",
            "    balance roundrobin",
            "    option httpchk GET /alive",
            f"    default-server {_LOOKED_AT}",
            *both,
            "backend own",
            "    option httpchk GET /alive",
            f"    default-server {_LOOKED_AT}",
            *slots[region],
            "",
        ]
    )


_LOOKED_AT = "inter 500ms fastinter 250ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions"


def conninfo(hosts: Mapping[str, int], database: str, user: str, password: str) -> dict[str, str]:
    """How a client finds whichever server may be written to, in libpq's words."""
    return {
        "host": ",".join(hosts),
        "port": ",".join(map(str, hosts.values())),
        "dbname": database,
        "user": user,
        "password": password,
        "target_session_attrs": "read-write",
        "connect_timeout": "2",
        "tcp_user_timeout": "3000",
        "keepalives_idle": "2",
        "keepalives_interval": "1",
        "keepalives_count": "3",
    }


def names(layout: Layout, tsig: str) -> dict[str, object]:
    """What the name server is started with."""
    return {
        "listen": [layout.inner(WITNESS), layout.port(at.DNS)],
        "file": str(layout.folder(WITNESS) / "zone.json"),
        "zone": at.ZONE,
        "key": at.TSIG_KEY,
        "secret": tsig,
        "begin": {at.NAME: layout.outer("a")},
    }
