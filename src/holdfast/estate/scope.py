"""Which components an agreement is about."""

from collections.abc import Iterable, Iterator, Mapping

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


def dependencies(estate: Estate) -> dict[ComponentIdentity, tuple[ComponentIdentity, ...]]:
    """What each component depends on, directly. Without itself, and without those that depend on nothing."""
    everything = dict.fromkeys(declared(estate))
    found: dict[ComponentIdentity, tuple[ComponentIdentity, ...]] = {}
    for pair in everything:
        patterns = estate.clusters[pair[0]].components[pair[1]].depends_on
        named = dict.fromkeys(each for pattern in patterns for each in named_by(pattern, everything))
        named.pop(pair, None)
        if named:
            found[pair] = tuple(named)
    return found


def named_by(pattern: str, everything: Mapping[ComponentIdentity, object]) -> list[ComponentIdentity]:
    """As `matching`, but does not look through thousands of components for one that is named."""
    if "*" in pattern:
        return matching(pattern, everything)
    cluster, _, component = pattern.partition("/")
    return [(cluster, component)] if (cluster, component) in everything else []


def matching(pattern: str, pairs: Iterable[ComponentIdentity]) -> list[ComponentIdentity]:
    """The pairs that `pattern` names: `eu/api`, `eu/*`, `*/website`, `*/*`."""
    cluster, _, component = pattern.partition("/")
    return [pair for pair in pairs if cluster in ("*", pair[0]) and component in ("*", pair[1])]
