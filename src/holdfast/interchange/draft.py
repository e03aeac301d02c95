"""An estate that grows check by check. Each is tried by itself, so that one bad part spoils only itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast.availability.conditions import validate
from holdfast.estate.errors import EstateError
from holdfast.estate.loader import parse_estate
from holdfast.estate.model import Estate
from holdfast.estate.ports import CheckIdentity
from holdfast.estate.source import MAX_BYTES
from holdfast.interchange.errors import InterchangeError, NothingError
from holdfast.interchange.lines import one_line
from holdfast.interchange.naming import clean_name, slug, unique
from holdfast.interchange.report import Remark, Report
from holdfast.interchange.writing import yaml_text

MOST_CHECKS = 10_000
LONGEST_DESCRIPTION = 500
REGION = "primary"
_NO_FILE = Path("imported.yaml")


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to: the text of a valid estate, the estate itself, and the remarks.

    `origins` maps what a check was in the source (a monitor's number, a site's slug) to what it is now.
    """

    text: str
    estate: Estate
    remarks: tuple[Remark, ...]
    origins: Mapping[str, CheckIdentity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A component with its check, before it is known to be valid. `path` is where it stood in the source."""

    path: str
    group: str
    name: object
    check_key: str
    check: Mapping[str, Any]
    description: str = ""
    origin: str = ""
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further checks of the same component, by their keys."""


class Draft:
    """Collects candidates under one region; groups become clusters."""

    def __init__(self, report: Report, *, ungrouped: str = "Services") -> None:
        self.report = report
        self.title = ""
        self._ungrouped = ungrouped
        self._clusters: dict[str, dict[str, Any]] = {}
        self._cluster_keys: dict[str, str] = {}
        self._origins: dict[str, CheckIdentity] = {}
        self._count = 0

    def add(self, candidate: Candidate) -> CheckIdentity | None:
        """Take the candidate in; None when it is not valid, which is then in the report."""
        if self._count >= MOST_CHECKS:
            raise InterchangeError(
                f"more than {MOST_CHECKS:,} checks", hint="split the source and import it part by part"
            )
        name = clean_name(candidate.name, "Unnamed")
        if isinstance(candidate.name, str) and name != candidate.name.strip():
            self.report.changed(
                candidate.path, "the name", "a name is one line of at most 100 characters", f"called `{name}`"
            )
        component: dict[str, Any] = {"name": name}
        if description := one_line(candidate.description, LONGEST_DESCRIPTION):
            component["description"] = description
        component["checks"] = {candidate.check_key: dict(candidate.check), **candidate.more}
        if problem := problem_of(component):
            self.report.left_out(candidate.path, f"`{name}`", f"it would not be a valid check: {problem}")
            return None
        return self._place(candidate, name, component)

    def _place(self, candidate: Candidate, name: str, component: dict[str, Any]) -> CheckIdentity:
        cluster_key = self._cluster(candidate.group)
        components = self._clusters[cluster_key]["components"]
        key = unique(slug(name, "component"), components.__contains__)
        components[key] = component
        self._count += 1
        identity = (cluster_key, key, candidate.check_key)
        if candidate.origin:
            self._origins[candidate.origin] = identity
        return identity

    def _cluster(self, group: str) -> str:
        name = clean_name(group, self._ungrouped)
        if name not in self._cluster_keys:
            key = unique(slug(name, "cluster"), self._clusters.__contains__)
            self._cluster_keys[name] = key
            self._clusters[key] = {"name": name, "region": REGION, "components": {}}
        return self._cluster_keys[name]

    def finish(self, source: str, at: datetime) -> Imported:
        """The whole estate. Raises NothingError when no check was taken in."""
        if not self._count:
            raise NothingError(
                f"nothing in {source} could become a check",
                remarks=self.report.remarks,
                hint="the report says why, part by part",
            )
        document: dict[str, Any] = {"version": 1}
        if self.title:
            document["site"] = {"title": clean_name(self.title, "Service status")}
        document["regions"] = {REGION: {"name": "Primary region"}}
        document["clusters"] = self._clusters
        return settled(document, source, at, self.report, self._origins)


def settled(
    document: Mapping[str, Any],
    source: str,
    at: datetime,
    report: Report,
    origins: Mapping[str, CheckIdentity],
) -> Imported:
    """`document` as text that was read back. Raises InterchangeError when it does not load."""
    text = yaml_text(document, header_of(source, at))
    content = text.encode()
    if len(content) > MAX_BYTES:
        raise InterchangeError(
            f"the estate would be larger than {MAX_BYTES // 1024 // 1024} MiB",
            hint="split the source and import it part by part",
        )
    try:
        estate = parse_estate(content, _NO_FILE, validate)
    except EstateError as error:
        raise InterchangeError(
            f"what came out is not a valid estate: {error.problems[0].path}: {error.problems[0].message}",
            hint=error.hint,
        ) from error
    return Imported(text, estate, report.remarks, dict(origins))


def header_of(source: str, at: datetime) -> Iterable[str]:
    """The comment above an imported estate. `at` is shown in UTC."""
    return (
        f"Imported from {one_line(source, 200)} on {at:%Y-%m-%d %H:%M} UTC.",
        "",
        "Look at it before it runs: give the region its name, and set the environment variables",
        "that stand here as `env:NAME`. Then try every connection: holdfast check",
    )


def problem_of(component: Mapping[str, Any]) -> str | None:
    """What is wrong with a component, tried in the smallest estate there is."""
    document = {
        "regions": {"r": {"name": "R"}},
        "clusters": {"c": {"name": "C", "region": "r", "components": {"x": component}}},
    }
    try:
        parse_estate(yaml_text(document).encode(), _NO_FILE, validate)
    except UnicodeEncodeError:
        return "it holds half of a character"
    except EstateError as error:
        problem = error.problems[0]
        place = problem.path.removeprefix("clusters.c.components.x").lstrip(".")
        return f"{place}: {problem.message}" if place else problem.message
    return None
