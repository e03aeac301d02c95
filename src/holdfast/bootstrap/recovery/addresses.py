"""What a runbook is filled in with: the estate's own addresses of a cluster or a database. Files only.

Names are the estate's keys with dots, such as `postgres.patroni.a`; where a key is a region that the cluster
calls primary or secondary, the same stands under that name too: `edges.secondary.socket`. What is typed into
another program stands there as that program takes it: `postgres.member.a`, `dns.nsupdate.a`. Secrets stand
there as the estate refers to them, never themselves.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from holdfast.estate.model import Estate
from holdfast.estate.recovery import ClusterRecovery
from holdfast.recovery.runbook import Facts

MOST = 400
LONGEST = 500
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]*@")
_PASSWORD = re.compile(r"(?i)(password|passwd|secret|token)=[^\s&]+")


def facts_of(estate: Estate, subject: str, given: Mapping[str, str] | None = None) -> Facts:
    """Of a cluster or a database of that key, or of both; without addresses when the estate has neither."""
    found, also = dict[str, str](), dict[str, str]()
    cluster = estate.clusters.get(subject)
    if cluster is not None:
        regions = {"primary": cluster.region, "secondary": cluster.secondary}
        found |= {role: region for role, region in regions.items() if region is not None}
        declared = None if estate.recovery is None else estate.recovery.clusters.get(subject)
        if declared is not None:
            document = declared.model_dump(mode="json", exclude_none=True, exclude={"watch", "automatic"})
            leaves = dict(_leaves((), document))
            found |= _dotted(leaves)
            for key, edge in declared.edges.items():
                if edge.socket is None and edge.address is not None:
                    # As socat takes it, so that one sentence does for both.
                    leaves["edges", key, "socket"] = f"TCP:{edge.address}"
            leaves |= dict(_to_type(declared))
            also |= _dotted(leaves) | _by_role(leaves, regions)
        found |= dict(_checked(estate, subject))
    database = estate.databases.get(subject)
    if database is not None:
        document = database.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        found |= _dotted(dict(_leaves((), document)))
    if found and estate.console.url:
        found["console"] = estate.console.url
    if found and estate.site.url:
        found["status site"] = estate.site.url
    return Facts(subject, given or {}, _bounded(found), _bounded(also))


def _to_type(declared: ClusterRecovery) -> Iterator[tuple[tuple[str, ...], str]]:
    """What somebody types as it stands: a member to ask in each region, and what nsupdate reads."""
    for region, members in declared.postgres.patroni.items():
        if members:
            yield ("postgres", "member", region), members[0].rstrip("/")
    dns = declared.dns
    if dns is None:
        return
    host, _, port = dns.server.partition(":")
    for region, addresses in dns.answers.items():
        lines = [f"server {host} {port or 53}", f"zone {dns.zone}"]
        lines += [f"update delete {dns.name} {kind}" for kind in ("A", "AAAA")]
        for each in addresses:
            kind = "AAAA" if ":" in each else "A"
            lines.append(f"update add {dns.name} {dns.ttl.total_seconds():.0f} {kind} {each}")
        yield ("dns", "nsupdate", region), "\n".join([*lines, "send"])


def _bounded(found: Mapping[str, str]) -> Mapping[str, str]:
    return {name: safe(text)[:LONGEST] for name, text in list(found.items())[:MOST]}


def safe(text: str) -> str:
    """Without a login that somebody wrote into an address."""
    return _PASSWORD.sub(r"\1=...", _USER_IN_URL.sub("", text))


def _dotted(leaves: Mapping[tuple[str, ...], str]) -> dict[str, str]:
    return {".".join(path): text for path, text in leaves.items()}


def _by_role(leaves: Mapping[tuple[str, ...], str], regions: Mapping[str, str | None]) -> dict[str, str]:
    return {
        ".".join(role if part == region else part for part in path): text
        for role, region in regions.items()
        for path, text in leaves.items()
        if region in path
    }


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves((*path, str(key)), below)
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for number, below in enumerate(value):
            yield from _leaves((*path, str(number)), below)
    elif isinstance(value, list):
        yield path, ", ".join(str(each) for each in value)
    elif isinstance(value, bool):
        yield path, "yes" if value else "no"
    else:
        yield path, str(value)


def _checked(estate: Estate, subject: str) -> Iterator[tuple[str, str]]:
    """How one sees from outside that it works: where its components are checked."""
    for key, component in estate.clusters[subject].components.items():
        for name, check in component.checks.items():
            url, host, port = (getattr(check, each, None) for each in ("url", "host", "port"))
            if url or host:
                yield f"check.{key}.{name}", str(url or (f"{host}:{port}" if port else host))
