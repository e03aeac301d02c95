"""Named, commented SQL in a `.sql` file, read once at import.

    -- name: record_results
    -- Append results. The same result twice is absorbed.
    INSERT INTO ...

A store keeps its statements beside itself and says which ones it uses, so that a name missing in the file, or
one that nobody uses, is an error at import time and a misspelt attribute one in the type checker:

    class MonitorQueries(Queries):
        record_results: Query

    SQL = MonitorQueries.beside(__file__)      # monitor.py reads monitor.sql

A plain `Queries.beside(__file__)` takes whatever names the file has.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from inspect import get_annotations
from pathlib import Path
from typing import Self

_NAME = re.compile(r"^--\s*name:(.*)$", re.MULTILINE)
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


class Query(str):  # noqa: SLOT000  its comment is an attribute
    """A statement for the driver. `name` is its name, `__doc__` the comment under the name."""

    name: str

    def __new__(cls, name: str, text: str, doc: str) -> Self:
        query = super().__new__(cls, text)
        query.name = name
        query.__doc__ = doc
        return query


class Queries(Mapping[str, Query]):
    """The statements of one file, by attribute or by key, in the file's order."""

    def __init__(self, text: str, *, source: str = "queries") -> None:
        self._queries = _parsed(text, source)
        declared = {name for kind in type(self).__mro__ for name in get_annotations(kind)}
        if declared and declared != set(self._queries):
            missing, unused = sorted(declared - set(self._queries)), sorted(set(self._queries) - declared)
            raise ValueError(f"{source}: missing {missing}, not declared {unused}")

    @classmethod
    def beside(cls, module_file: str) -> Self:
        """The statements of the `.sql` file that stands beside a module and bears its name."""
        path = Path(module_file).with_suffix(".sql")
        return cls(path.read_text(encoding="utf-8"), source=path.name)

    def __getitem__(self, name: str) -> Query:
        return self._queries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._queries)

    def __len__(self) -> int:
        return len(self._queries)

    def __getattr__(self, name: str) -> Query:
        try:
            return self.__dict__["_queries"][name]  # type: ignore[no-any-return]
        except KeyError:
            near = get_close_matches(name, self.__dict__.get("_queries", {}), 1)
            raise AttributeError(
                f"no query {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            ) from None


def _parsed(text: str, source: str) -> dict[str, Query]:
    """Raises ValueError for a statement without a name, a name without a statement, and a name used twice."""
    preamble, *parts = _NAME.split(text)
    if any(line.strip() and not line.lstrip().startswith("--") for line in preamble.splitlines()):
        raise ValueError(f"{source}: SQL before the first '-- name:' line")
    queries: dict[str, Query] = {}
    for name, block in zip((part.strip() for part in parts[::2]), parts[1::2], strict=True):
        if not _IDENTIFIER.fullmatch(name):
            raise ValueError(f"{source}: {name!r} is no name for a query; use lower_case_words")
        if name in queries:
            raise ValueError(f"{source}: {name!r} is there twice")
        doc, statement = _doc_and_statement(block)
        if not statement:
            raise ValueError(f"{source}: {name!r} has no statement")
        queries[name] = Query(name, statement, doc)
    return queries


def _doc_and_statement(block: str) -> tuple[str, str]:
    lines = block.strip("\n").splitlines()
    doc: list[str] = []
    while lines and lines[0].lstrip().startswith("--"):
        doc.append(lines.pop(0).lstrip().removeprefix("--").strip())
    # Comment lines at the end introduce the next query's section, not this statement.
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("--")):
        lines.pop()
    return "\n".join(doc).strip(), "\n".join(lines).strip().removesuffix(";")
