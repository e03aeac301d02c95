"""Which components an agreement is about."""

from collections.abc import Iterable, Iterator

from holdfast.estate.model import Agreement, Estate
from holdfast.estate.ports import ComponentIdentity


def components_of(agreement: Agreement, estate: Estate) -> list[ComponentIdentity]:
    """The (cluster key, component key) pairs that the agreement names, each once, in the file's order."""
    everything = list(declared(estate))
    wanted = {pair for pattern in agreement.components for pair in matching(pattern, everything)}
    return [pair for pair in everything if pair in wanted]


def declared(estate: Estate) -> Iterator[ComponentIdentity]:
    """Every component of the estate, in the file's order."""
    for cluster_key, cluster in estate.clusters.items():
        for key in cluster.components:
            yield cluster_key, key


def matching(pattern: str, pairs: Iterable[ComponentIdentity]) -> list[ComponentIdentity]:
    """The pairs that `pattern` names: `eu/api`, `eu/*`, `*/website`, `*/*`."""
    cluster, _, component = pattern.partition("/")
    return [pair for pair in pairs if cluster in ("*", pair[0]) and component in ("*", pair[1])]
