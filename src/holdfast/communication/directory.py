"""What notices and forms need to know of the estate: which component is which, and who may know of it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from holdfast.communication.errors import NotThere
from holdfast.communication.model import Place
from holdfast.estate.model import Estate
from holdfast.estate.ports import Registered
from holdfast.estate.scope import components_of, matching
from holdfast.estate.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Directory:
    """The components in force by id, in the file's order.

    `private` holds those of private clusters, each with the keys of the customers who may know of it; and
    those that were removed with one, of which nobody may.
    """

    places: Mapping[int, Place]
    private: Mapping[int, frozenset[str]]

    def named(self, patterns: Iterable[str]) -> list[int]:
        """The ids that `eu/api`, `eu/*` or `*/website` name, each once; raises NotThere."""
        by_pair = {(place.cluster_key, place.key): each for each, place in self.places.items()}
        found: dict[int, None] = {}
        for pattern in patterns:
            pairs = matching(pattern, by_pair)
            if not pairs:
                known = ["/".join(pair) for pair in by_pair]
                hint = did_you_mean(pattern, known, otherwise=f"there are: {', '.join(known[:20])}")
                raise NotThere(f"{pattern!r} names no component", hint=hint)
            found |= dict.fromkeys(by_pair[pair] for pair in pairs)
        return list(found)

    def places_of(self, component_ids: Collection[int]) -> dict[int, Place]:
        """Those of them that are in force, in the file's order."""
        return {each: place for each, place in self.places.items() if each in component_ids}

    def audience_of(self, component_ids: Collection[int]) -> tuple[str, ...] | None:
        """None when everybody may know of all of them, else the customers who may know of every one.

        A notice that speaks of one private component is private as a whole.
        """
        secret = [self.private[each] for each in component_ids if each in self.private]
        return tuple(sorted(frozenset.intersection(*secret))) if secret else None


def directory_of(estate: Estate, registered: Registered) -> Directory:
    """The directory of an estate in force."""
    places = {
        registered.components[cluster_key, key]: Place(cluster_key, cluster.name, key, component.name)
        for cluster_key, cluster in estate.clusters.items()
        for key, component in cluster.components.items()
    }
    covered: dict[tuple[str, str], set[str]] = {}
    for agreement in estate.agreements.values():
        for pair in components_of(agreement, estate):
            covered.setdefault(pair, set()).add(agreement.customer)
    private = {
        component_id: frozenset(covered.get(pair, ()))
        for pair, component_id in registered.components.items()
        if estate.clusters[pair[0]].private
    } | dict.fromkeys(registered.hidden, frozenset[str]())
    return Directory(places, private)
