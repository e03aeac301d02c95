"""Named SQL: what a file may say, and what is refused at import time."""

from pathlib import Path

import pytest

from holdfast.adapters.postgres.queries import Queries, Query

TEXT = """\
-- The statements of a store.

-- name: record_results
-- Append results.
-- The same one twice is absorbed.
INSERT INTO result VALUES (%s)
-- why the row may be there already
ON CONFLICT DO NOTHING;

-- Reading.

-- name: heads
SELECT 1;
"""


def test_statements_by_attribute_and_by_key_in_the_files_order() -> None:
    queries = Queries(TEXT)
    assert list(queries) == ["record_results", "heads"]
    assert queries.heads == queries["heads"] == "SELECT 1"
    assert queries.heads.name == "heads"


def test_the_comment_under_the_name_is_kept_and_comments_inside_stay_in_the_statement() -> None:
    query = Queries(TEXT).record_results
    assert query.__doc__ == "Append results.\nThe same one twice is absorbed."
    assert query.startswith("INSERT")
    assert "-- why" in query
    assert query.endswith("DO NOTHING")
    assert "Reading" not in query


def test_a_file_beside_its_module(tmp_path: Path) -> None:
    (tmp_path / "store.sql").write_text(TEXT, encoding="utf-8")
    assert len(Queries.beside(str(tmp_path / "store.py"))) == 2


def test_a_misspelt_name_says_what_was_meant() -> None:
    with pytest.raises(AttributeError, match="did you mean 'heads'"):
        _ = Queries(TEXT).haeds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: a\nSELECT 1\n-- name: a\nSELECT 2\n", "'a' is there twice"),
        ("SELECT 1\n-- name: a\nSELECT 2\n", "SQL before the first"),
        ("-- name:\nSELECT 1\n", "'' is no name"),
        ("-- name: Not this\nSELECT 1\n", "'Not this' is no name"),
        ("-- name: a\n-- only a comment\n", "'a' has no statement"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        Queries(text, source="store.sql")
    assert str(refusal.value).startswith("store.sql: ")


class Declared(Queries):
    record_results: Query
    heads: Query


class Missing(Declared):
    forgotten: Query


class Unused(Queries):
    heads: Query


def test_declared_names_must_be_those_of_the_file() -> None:
    assert Declared(TEXT).heads == "SELECT 1"
    with pytest.raises(ValueError, match=r"missing \['forgotten'\]"):
        Missing(TEXT)
    with pytest.raises(ValueError, match=r"not declared \['record_results'\]"):
        Unused(TEXT)
