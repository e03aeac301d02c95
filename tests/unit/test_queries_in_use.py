"""Every statement that a store asks its `.sql` file for stands there, and every one there is asked for."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import holdfast
from holdfast.adapters.postgres.queries import Queries

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(holdfast.__path__, "holdfast.")
    if found.name.startswith(("holdfast.adapters.", "holdfast.bootstrap."))
)


def asked_for(module: ModuleType) -> Iterator[tuple[Queries, str, int]]:
    """(statements, name, line) of each attribute that a module reads from statements with a global name."""
    assert module.__file__ is not None
    known = {name: value for name, value in vars(module).items() if isinstance(value, Queries)}
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in known:
                yield known[name], attribute, node.lineno
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(attribute))) if (
                name in known
            ):
                yield known[name], attribute, node.lineno


@pytest.mark.parametrize("name", MODULES)
def test_every_statement_asked_for_is_there(name: str) -> None:
    module = importlib.import_module(name)
    missing = [f"line {line}: {query}" for queries, query, line in asked_for(module) if query not in queries]
    assert not missing


def test_every_statement_is_asked_for_by_somebody() -> None:
    files: dict[int, Queries] = {}
    used: set[tuple[int, str]] = set()
    for module in map(importlib.import_module, MODULES):
        files |= {id(value): value for value in vars(module).values() if isinstance(value, Queries)}
        used |= {(id(queries), query) for queries, query, _ in asked_for(module)}
    assert len(files) > 10, "the stores have statements"
    unused = sorted(query for key, queries in files.items() for query in queries if (key, query) not in used)
    assert not unused
