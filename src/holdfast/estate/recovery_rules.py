"""What must hold of `recovery`. Pure."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from holdfast.estate.findings import Finding
from holdfast.estate.model import Estate
from holdfast.estate.recovery import ClusterRecovery, RecoveryDatabase
from holdfast.estate.source import Path
from holdfast.estate.suggest import did_you_mean

SHORTEST_LOOK = timedelta(milliseconds=200)
LONGEST_LOOK = timedelta(minutes=1)
LONGEST_WRITE = timedelta(minutes=1)
SHORTEST_KEEP = timedelta(days=7)


def recovery_rules(estate: Estate) -> Iterator[Iterator[Finding]]:
    """One iterator for each rule, so that in a partial estate each stops by itself."""
    recovery = getattr(estate, "recovery", None)
    if recovery is None:
        return
    yield _listening(recovery.listen, estate)
    yield _keeping(recovery.keep_runs)
    yield _databases(recovery.databases, estate)
    moved: Mapping[str, ClusterRecovery] = getattr(recovery, "clusters", {})
    for key, cluster in moved.items():
        path: Path = ("recovery", "clusters", key)
        yield _known(path, key, estate)
        yield _regions(path, key, cluster, estate)
        yield _admin(path, cluster)
        yield _checks(path, key, cluster, estate)
        yield _release(path, cluster)
        yield _name(path, cluster)
        yield _times(path, cluster)


def _listening(listen: str | None, estate: Estate) -> Iterator[Finding]:
    others = {
        "site.listen": estate.site.listen,
        "agents.listen": estate.agents.listen,
        "console.listen": estate.console.listen,
        "ledger.listen": None if estate.ledger is None else estate.ledger.listen,
    }
    for name, other in others.items():
        if listen is not None and other == listen:
            hint = "each needs a port of its own"
            yield Finding(("recovery", "listen"), f"that is `{name}` already", hint)


def _keeping(keep_runs: timedelta) -> Iterator[Finding]:
    if keep_runs < SHORTEST_KEEP:
        hint = "a request that is sent again must find the run that it started: at least 7d"
        yield Finding(("recovery", "keep_runs"), "is too short", hint)


def _databases(declared: Mapping[str, RecoveryDatabase], estate: Estate) -> Iterator[Finding]:
    for key in declared:
        if key not in estate.databases:
            hint = did_you_mean(key, estate.databases) or "what is put back comes from its backups"
            yield Finding(("recovery", "databases", key), f"there is no database `{key}`", hint)


def _known(path: Path, key: str, estate: Estate) -> Iterator[Finding]:
    if key not in estate.clusters:
        yield Finding(path, f"there is no cluster `{key}`", did_you_mean(key, estate.clusters))
    elif estate.clusters[key].secondary is None:
        hint = f"add `secondary:` to the cluster `{key}`"
        yield Finding(path, "the cluster has no second region", hint)


def _regions(path: Path, key: str, cluster: ClusterRecovery, estate: Estate) -> Iterator[Finding]:
    """What is told by region is told of the cluster's two, and of no other one."""
    declared = estate.clusters.get(key)
    if declared is None or declared.secondary is None:
        return
    both = (declared.region, declared.secondary)
    told: dict[Path, Mapping[str, object]] = {
        ("postgres", "patroni"): cluster.postgres.patroni,
        ("edges",): cluster.edges,
        ("postgres", "connections"): cluster.postgres.connections,
        ("postgres", "data"): cluster.postgres.data,
        ("scale",): cluster.scale,
    }
    if cluster.dns is not None:
        told["dns", "answers"] = cluster.dns.answers
    for where, regions in told.items():
        for region in regions:
            if region not in both:
                hint = f"the cluster's regions are {both[0]} and {both[1]}"
                yield Finding((*path, *where, region), f"`{region}` is not a region of the cluster", hint)
        if regions and (missing := [each for each in both if each not in regions]):
            yield Finding((*path, *where), f"`{missing[0]}` is missing", "both regions are needed")


def _admin(path: Path, cluster: ClusterRecovery) -> Iterator[Finding]:
    for region, edge in cluster.edges.items():
        if (edge.socket is None) == (edge.address is None):
            hint = "socket: /run/haproxy/admin.sock, or address: host:port"
            yield Finding((*path, "edges", region), "needs `socket` or `address`, and one of them only", hint)


def _checks(path: Path, key: str, cluster: ClusterRecovery, estate: Estate) -> Iterator[Finding]:
    declared = estate.clusters.get(key)
    for region, edge in cluster.edges.items():
        if declared is None or edge.check is None:
            continue
        component, _, check = edge.check.partition("/")
        known = [f"{name}/{each}" for name, part in declared.components.items() for each in part.checks]
        if component not in declared.components or check not in declared.components[component].checks:
            hint = did_you_mean(edge.check, known)
            yield Finding((*path, "edges", region, "check"), f"`{key}` has no such check", hint)


def _release(path: Path, cluster: ClusterRecovery) -> Iterator[Finding]:
    if cluster.postgres.release_lock and cluster.postgres.witness is None:
        hint = "it is the witness that lets go of the lock: add `witness:`"
        yield Finding((*path, "postgres", "release_lock"), "there is no witness", hint)


def _name(path: Path, cluster: ClusterRecovery) -> Iterator[Finding]:
    dns = cluster.dns
    if dns is not None and dns.name != dns.zone and not dns.name.endswith("." + dns.zone):
        yield Finding((*path, "dns", "name"), f"is not in the zone `{dns.zone}`")


def _times(path: Path, cluster: ClusterRecovery) -> Iterator[Finding]:
    watch = cluster.watch
    for name, length in (("every", watch.every), ("within", watch.within)):
        if not SHORTEST_LOOK <= length <= LONGEST_LOOK:
            yield Finding((*path, "watch", name), "is not between 200ms and 1m", "1s is usual")
    if cluster.write is not None and not SHORTEST_LOOK <= cluster.write.within <= LONGEST_WRITE:
        yield Finding((*path, "write", "within"), "is not between 200ms and 1m", "3s is usual")
    if cluster.automatic is not None and cluster.automatic.drilled_within <= timedelta(0):
        hint = "a drill older than this keeps it from beginning by itself: 90d"
        yield Finding((*path, "automatic", "drilled_within"), "would never hold", hint)
