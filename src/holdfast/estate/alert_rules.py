"""What must hold of `alerts`: routes lead somewhere, and match something. Pure."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from holdfast.estate.findings import Finding
from holdfast.estate.model import AlertMatch, AlertRoute, Estate
from holdfast.estate.ports import ComponentIdentity
from holdfast.estate.scope import declared, matching
from holdfast.estate.source import Path
from holdfast.estate.suggest import did_you_mean
from holdfast.kernel.durations import format_duration

LONGEST_WAIT = timedelta(hours=1)
SHORTEST_REPEAT = timedelta(minutes=1)
LONGEST_QUIET = timedelta(days=1)

Nearest = Callable[[str, list[ComponentIdentity]], str]
"""A hint for a pattern that matches nothing."""


def alert_rules(estate: Estate, nearest: Nearest) -> Iterator[Iterator[Finding]]:
    """Every rule about `estate.alerts`."""
    if not hasattr(estate, "alerts"):
        return
    yield _quiet(estate)
    for index, route in enumerate(getattr(estate.alerts, "routes", ())):
        path: Path = ("alerts", "routes", index)
        yield _channels(path, route, estate)
        yield _lengths(path, route)
        yield _labels(path, route)
        if hasattr(route, "match"):
            yield _agreements((*path, "match"), route.match, estate)
            yield _components((*path, "match"), route.match, estate, nearest)


def _quiet(estate: Estate) -> Iterator[Finding]:
    if estate.alerts.resolve_after > LONGEST_QUIET:
        hint = f"at most {format_duration(LONGEST_QUIET)}; an alert that never ends is not read"
        yield Finding(("alerts", "resolve_after"), "longer than a day", hint)


def _channels(path: Path, route: AlertRoute, estate: Estate) -> Iterator[Finding]:
    known = estate.alerts.channels
    for index, channel in enumerate(route.channels):
        where = (*path, "channels", index)
        if channel not in known:
            hint = did_you_mean(channel, known, otherwise="declare it under `alerts.channels`")
            yield Finding(where, f"no channel is called `{channel}`", hint)
        elif channel in route.channels[:index]:
            yield Finding(where, f"`{channel}` is given twice", "keep one of the two")


def _lengths(path: Path, route: AlertRoute) -> Iterator[Finding]:
    if route.group_wait > LONGEST_WAIT:
        yield Finding((*path, "group_wait"), "longer than an hour", "an alert that waits is not read in time")
    if route.repeat_every is not None and route.repeat_every < SHORTEST_REPEAT:
        hint = f"at least {format_duration(SHORTEST_REPEAT)}"
        yield Finding((*path, "repeat_every"), "shorter than a minute", hint)


def _labels(path: Path, route: AlertRoute) -> Iterator[Finding]:
    for index, label in enumerate(route.group_by):
        if label in route.group_by[:index]:
            yield Finding((*path, "group_by", index), f"`{label}` is given twice", "keep one of the two")


def _agreements(path: Path, match: AlertMatch, estate: Estate) -> Iterator[Finding]:
    for index, key in enumerate(match.agreements):
        if key not in estate.agreements:
            hint = did_you_mean(key, estate.agreements, otherwise="declare it under `agreements`")
            yield Finding((*path, "agreements", index), f"no agreement is called `{key}`", hint)


def _components(path: Path, match: AlertMatch, estate: Estate, nearest: Nearest) -> Iterator[Finding]:
    everything = list(declared(estate))
    for index, pattern in enumerate(match.components):
        if not matching(pattern, everything):
            hint = nearest(pattern, everything)
            yield Finding((*path, "components", index), f"`{pattern}` matches no component", hint)
