"""What must hold between components that depend on each other."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from holdfast.estate.findings import Finding
from holdfast.estate.model import Cluster, Component, Estate
from holdfast.estate.ports import ComponentIdentity
from holdfast.estate.scope import named_by
from holdfast.estate.source import Path

Nearest = Callable[[str, list[ComponentIdentity]], str]
"""A hint for a pattern that matches nothing."""


def dependency_rules(estate: Estate, nearest: Nearest) -> Iterator[Iterator[Finding]]:
    """One rule for each component that depends on something, and one for all of them together."""
    clusters: Mapping[str, Cluster] = getattr(estate, "clusters", {})
    # Of a broken file parts may be missing; what is there is judged all the same.
    everything: dict[ComponentIdentity, object] = {
        (cluster_key, key): None
        for cluster_key, cluster in clusters.items()
        for key in getattr(cluster, "components", {})
    }
    found: dict[ComponentIdentity, list[tuple[Path, ComponentIdentity]]] = {}
    for cluster_key, cluster in clusters.items():
        components: Mapping[str, Component] = getattr(cluster, "components", {})
        for key, component in components.items():
            patterns: Sequence[str] = getattr(component, "depends_on", ())
            path: Path = ("clusters", cluster_key, "components", key, "depends_on")
            if patterns:
                yield _references(path, patterns, everything, nearest)
            found[cluster_key, key] = [
                ((*path, index), each)
                for index, pattern in enumerate(patterns)
                for each in named_by(pattern, everything)
                # A pattern takes in its own component, which then means all the others.
                if each != (cluster_key, key) or "*" not in pattern
            ]
    yield _cycles(found)


def _references(
    path: Path, patterns: Sequence[str], everything: Mapping[ComponentIdentity, object], nearest: Nearest
) -> Iterator[Finding]:
    for index, pattern in enumerate(patterns):
        if pattern in patterns[:index]:
            yield Finding((*path, index), f"`{pattern}` is there twice", "leave one out")
        elif not named_by(pattern, everything):
            yield Finding(
                (*path, index), f"`{pattern}` matches no component", nearest(pattern, list(everything))
            )


def _cycles(
    depends_on: Mapping[ComponentIdentity, Sequence[tuple[Path, ComponentIdentity]]],
) -> Iterator[Finding]:
    """Each reference that closes a circle, with the whole circle."""
    done: set[ComponentIdentity] = set()
    for first in depends_on:
        if first in done:
            continue
        # Depth first with a stack of our own: a long chain is no reason to overflow Python's.
        trail: dict[ComponentIdentity, Iterator[tuple[Path, ComponentIdentity]]] = {
            first: iter(depends_on[first])
        }
        while trail:
            component = next(reversed(trail))
            reference = next(trail[component], None)
            if reference is None:
                del trail[component]
                done.add(component)
                continue
            path, following = reference
            if following in trail:
                steps = list(trail)
                circle = [*steps[steps.index(following) :], following]
                shown = " -> ".join("/".join(each) for each in circle)
                yield Finding(path, f"depends on itself: {shown}", "leave one of these out")
            elif following not in done:
                trail[following] = iter(depends_on.get(following, ()))
