"""What the subscribe form offers, and what a visitor ticked of it: components by cluster, and topics."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from holdfast.availability.views import Overview
from holdfast.communication.model import Scope, Topic
from holdfast.interfaces.site.forms import Fields, ticked

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ComponentChoice:
    value: str
    name: str
    ticked: bool


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """A cluster to be chosen as a whole (`ticked`), or component by component."""

    key: str
    name: str
    ticked: bool
    components: Sequence[ComponentChoice]

    @property
    def is_open(self) -> bool:
        return any(each.ticked for each in self.components)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a form shows, ticked as `scope` is."""

    clusters: Sequence[ClusterChoice]
    topics: frozenset[Topic]


def choices_of(overview: Overview | None, scope: Scope) -> Choices:
    """Nothing ticked means everything, as in a scope."""
    return Choices(
        [
            ClusterChoice(
                cluster.key,
                cluster.name,
                cluster.key in scope.cluster_keys,
                [
                    ComponentChoice(
                        _value(cluster.key, each.status.key),
                        each.status.name,
                        each.status.id in scope.component_ids,
                    )
                    for each in cluster.components
                ],
            )
            for cluster in (overview.clusters if overview else ())
        ],
        scope.topics,
    )


def scope_of(overview: Overview | None, fields: Fields, *, keep: Scope | None = None) -> Scope:
    """What was ticked. Components of a cluster that is ticked as a whole are left out: it covers them.

    What `keep` has and the form did not offer (it is gone from the estate for now) stays as it was.
    """
    ids = {
        _value(cluster.key, each.status.key): each.status.id
        for cluster in (overview.clusters if overview else ())
        for each in cluster.components
    }
    keys = {cluster.key: cluster.key for cluster in (overview.clusters if overview else ())}
    clusters = ticked(fields, "cluster", keys)
    components = [
        ids[each] for each in ticked(fields, "component", ids) if each.partition("/")[0] not in clusters
    ]
    topics = ticked(fields, "topic", {each.value: each for each in Topic})
    return Scope(
        frozenset(Topic(each) for each in topics),
        frozenset(components) | _unseen(keep.component_ids if keep else (), ids.values()),
        frozenset(clusters) | _unseen(keep.cluster_keys if keep else (), keys),
    )


def _unseen(kept: Iterable[T], offered: Iterable[T]) -> frozenset[T]:
    return frozenset(kept) - frozenset(offered)


def _value(cluster_key: str, key: str) -> str:
    return f"{cluster_key}/{key}"
