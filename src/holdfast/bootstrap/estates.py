"""The estate file as every command reads it: with the condition language of the availability context."""

import os
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
    links: dict[str, str] = {}
    for key, agreement in estate.agreements.items():
        if agreement.report_link is None:
            continue
        try:
            link = secret_of(config, agreement.report_link)
        except HoldfastError as error:
            log.warning("report_link_unavailable", agreement=key, error=str(error))
            continue
        if len(link) >= SHORTEST_LINK:
            links[key] = link
        else:
            log.warning("report_link_too_short", agreement=key, at_least=SHORTEST_LINK)
    return links


def heartbeats_of(estate: Estate) -> list[tuple[str, HeartbeatCheck]]:
    """The checks that wait for calls, with their names."""
    return [
        (f"{cluster_key}/{key}/{check_key}", check)
        for cluster_key, cluster in estate.clusters.items()
        for key, component in cluster.components.items()
        for check_key, check in component.checks.items()
        if isinstance(check, HeartbeatCheck)
    ]
