"""What importing tests share: the moment of the import, and how what came out is looked at."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from holdfast.availability.conditions import validate
from holdfast.estate.loader import load_estate
from holdfast.estate.model import Component, Estate
from holdfast.interchange.draft import Imported
from holdfast.interchange.report import Kind

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def loaded(imported: Imported, folder: Path) -> Estate:
    """The estate, loaded from a file as every command loads it."""
    path = folder / "holdfast.yaml"
    path.write_text(imported.text, encoding="utf-8")
    return load_estate(path, validate)


def component(imported: Imported, name: str) -> Component:
    """The only component called `name`."""
    found = [
        each
        for cluster in imported.estate.clusters.values()
        for each in cluster.components.values()
        if each.name == name
    ]
    assert len(found) == 1, name
    return found[0]


def check(imported: Imported, name: str) -> Any:
    """The first check of the component called `name`."""
    return next(iter(component(imported, name).checks.values()))


def said(imported: Imported, kind: Kind | None = None) -> dict[str, str]:
    """The remarks by their paths."""
    return {each.path: each.as_text() for each in imported.remarks if kind in (None, each.kind)}


def expectations(check: Any) -> list[str]:
    return [condition.expect for condition in check.conditions]
