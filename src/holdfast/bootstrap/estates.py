"""The estate file as every command reads it: with the condition language of the availability context."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from holdfast.availability.conditions import validate
from holdfast.estate.checks import HeartbeatCheck
from holdfast.estate.loader import load_estate
from holdfast.estate.model import Estate
from holdfast.estate.secrets import resolve
from holdfast.estate.values import SecretRef
from holdfast.kernel.errors import HoldfastError

SHORTEST_LINK = 32

log = structlog.get_logger()


def read_estate(path: Path) -> Estate:
    """The estate at `path`; raises EstateError with everything that is wrong with it."""
    return load_estate(path, validate)


def secret_of(config: Path, ref: SecretRef) -> str:
    """The secret that `ref` names. Files are looked for beside the estate file."""
    return resolve(ref, base=config.absolute().parent, environ=os.environ)


def report_links(estate: Estate, config: Path) -> dict[str, str]:
    """The secrets of the report links. One that cannot be had, or is too short, is told of and left out."""
    return dict(
        _links({key: each.report_link for key, each in estate.agreements.items()}, config, "report_link")
    )


def page_links(estate: Estate, config: Path) -> dict[str, str]:
    """The secrets of the customers' private pages, as `report_links`."""
    return dict(_links({key: each.page_link for key, each in estate.customers.items()}, config, "page_link"))


def _links(declared: Mapping[str, SecretRef | None], config: Path, what: str) -> Iterator[tuple[str, str]]:
    for key, ref in declared.items():
        if ref is None:
            continue
        try:
            link = secret_of(config, ref)
        except HoldfastError as error:
            log.warning("secret_link_unavailable", link=what, of=key, error=str(error))
            continue
        if len(link) >= SHORTEST_LINK:
            yield key, link
        else:
            log.warning("secret_link_too_short", link=what, of=key, at_least=SHORTEST_LINK)


def heartbeats_of(estate: Estate) -> list[tuple[str, HeartbeatCheck]]:
    """The checks that wait for calls, with their names."""
    return [
        (f"{cluster_key}/{key}/{check_key}", check)
        for cluster_key, cluster in estate.clusters.items()
        for key, component in cluster.components.items()
        for check_key, check in component.checks.items()
        if isinstance(check, HeartbeatCheck)
    ]
