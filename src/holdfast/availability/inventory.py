"""The estate in force, with the ids that history is kept under."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdfast.availability.dependencies import Explanations, closure
from holdfast.availability.model import Interval
from holdfast.estate.model import Estate
from holdfast.estate.ports import ComponentIdentity, Registered, probe_key
from holdfast.estate.scope import dependencies


@dataclass(frozen=True, slots=True)
class Scope:
    """What a question is about: the ids of components and of their checks."""

    components: Sequence[int]
    checks: Sequence[int]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The estate in force, and the ids under which its history is kept."""

    estate: Estate
    registered: Registered

    def component_id(self, cluster_key: str, key: str) -> int:
        return self.registered.components[cluster_key, key]

    def check_ids(self, cluster_key: str, key: str) -> dict[int, str]:
        """The ids of a component's probes, a check as one vantage point runs it, with their keys."""
        component = self.estate.clusters[cluster_key].components[key]
        return {
            self.registered.checks[cluster_key, key, probe]: probe
            for check_key, check in component.checks.items()
            for probe in (probe_key(check_key, vantage) for vantage in check.seen_from)
        }

    def scope(self, components: Iterable[ComponentIdentity]) -> Scope:
        """The ids of these components and of their checks."""
        chosen = list(components)
        checks = [check_id for each in chosen for check_id in self.check_ids(*each)]
        return Scope([self.component_id(*each) for each in chosen], checks)

    def with_dependencies(self, components: Iterable[ComponentIdentity]) -> list[int]:
        """The ids of these components and of all that they depend on."""
        return [self.component_id(*each) for each in closure(dependencies(self.estate), components)]

    def explanations(self, lines: Mapping[int, Sequence[Interval]]) -> Explanations:
        """What explains what, among components with these intervals."""
        return Explanations(self.estate, self.registered, lines)
