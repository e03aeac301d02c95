"""What is written to YAML reads back the same, and reads well."""

from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.estate.source import plain, read_tree, read_trees
from holdfast.interchange.writing import yaml_documents, yaml_text

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
KEYS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
SCALARS = TEXTS | st.integers(-(10**30), 10**30) | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=4),
    max_leaves=12,
)


def _read(text: str) -> Any:
    root, faults = read_tree(text)
    assert not faults
    assert root is not None
    return plain(root)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5))
@example({"a": "1e3"})
@example({"a": "0o17"})
@example({"<<": "x"})
@example({"a": ["- b", "---", "? x", "a: b", "a #b", "\x85", "\u2028", "\ufeff"]})
@example({"timeouts": {"a": "b,c"}, "components": ["eu/*", "a: b"]})
@settings(deadline=None, derandomize=True, max_examples=300)
def test_whatever_is_written_reads_back_the_same(document: dict[str, Any]) -> None:
    assert _read(yaml_text(document, ["a header", "with : colons # and more"])) == document


@pytest.mark.parametrize(
    "text", ["no", "yes", "on", "2026-01-01 00:00:00", "1:30", "1_000", "~", "null", "0x1F", ".5", "=", "<<"]
)
def test_what_another_reader_takes_for_something_else_is_quoted(text: str) -> None:
    assert yaml.safe_load(yaml_text({"key": text})) == {"key": text}


@given(st.dictionaries(TEXTS.filter(bool), TEXTS, min_size=1, max_size=3))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_another_reader_reads_the_same(document: dict[str, str]) -> None:
    assert yaml.safe_load(yaml_text(document)) == document


def test_decimals_stay_exact() -> None:
    assert yaml_text({"objective": Decimal("99.950")}) == "objective: 99.950\n"


def test_documents_follow_each_other() -> None:
    text = yaml_documents([{"a": 1}, {"b": [{"c": 2}]}], ["two of them"])

    roots, faults = read_trees(text)

    assert not faults
    assert [plain(root) for root in roots] == [{"a": 1}, {"b": [{"c": 2}]}]


def test_empty_documents_are_left_out_and_anchors_end_with_their_document() -> None:
    roots, faults = read_trees("---\n---\na: &x 1\n---\nb: *x\n")

    assert not roots
    assert "stands for nothing" in faults[-1].message
    assert [plain(root) for root in read_trees("---\n---\na: 1\n---\n")[0]] == [{"a": 1}]
