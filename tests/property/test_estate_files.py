"""Whatever is in the file, the answer is an estate or a list of problems, each at a place in the file."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from holdfast.estate.errors import EstateError
from holdfast.estate.loader import parse_estate
from holdfast.estate.model import Estate
from holdfast.estate.source import plain, read_tree
from holdfast.estate.template import render_template

LINES = render_template().splitlines()
WORDS = [
    *(
        "",
        "eu",
        "web",
        "env:A",
        "10s",
        "5",
        "1.5",
        "true",
        "~",
        "[]",
        "{}",
        "[a, 1]",
        "{a: 1}",
        "http",
        "tcp",
    ),
    *('"\\x07"', "*a", "&a b", "'", ": ", "\t", "- x", "99999999999999999999w", "<<: 1"),
]


def outcome(content: bytes) -> Estate | EstateError:
    try:
        return parse_estate(content, Path("holdfast.yaml"), lambda _type, text: "no" if "5" in text else None)
    except EstateError as error:
        return error


@st.composite
def vandalised(draw: st.DrawFn) -> str:
    """The template after somebody was there: values replaced, lines lost, doubled, moved in and out."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        act = draw(st.sampled_from(["value", "key", "lose", "double", "in", "out"]))
        line = lines[at]
        key, colon, _ = line.partition(":")
        indent = line[: len(line) - len(line.lstrip())]
        word = draw(st.sampled_from(WORDS))
        changed = {
            "value": [f"{key}{colon} {word}"],
            "key": [f"{indent}{word}:{line.partition(':')[2]}"],
            "lose": [],
            "double": [line, line],
            "in": [f"  {line}"],
            "out": [line.removeprefix("  ")],
        }[act]
        lines[at : at + 1] = changed
    return "\n".join(lines)


@given(vandalised())
def test_a_damaged_file_gets_an_answer_with_places(text: str) -> None:
    told = outcome(text.encode())
    if isinstance(told, Estate):
        return
    count = len(text.splitlines())
    for problem in told.problems:
        assert 1 <= problem.line <= count + 1, problem
        assert problem.column >= 1
        assert problem.message
        assert "\n" not in f"{problem.message}{problem.hint}"
    assert told.as_text()
    assert str(told)
    assert list(told.problems) == sorted(told.problems, key=lambda p: (p.line, p.column))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_rubbish_gets_an_answer(content: bytes) -> None:
    assert isinstance(outcome(content), EstateError)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=8),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), below, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=5), json_values, max_size=4))
def test_what_was_dumped_is_read_back(value: dict[str, Any]) -> None:
    """JSON is YAML 1.2. What our reader refuses on purpose (invisible characters) is left out."""
    text = yaml.safe_dump(value, default_style='"', default_flow_style=True, allow_unicode=False)
    root, faults = read_tree(text)
    assert faults == []
    assert root is not None
    assert _texts(plain(root)) == _texts(value)


def _texts(value: Any) -> Any:
    """Everything as text: in the dump all scalars are quoted, and tagged where they are no text."""
    if isinstance(value, dict):
        return {str(key): _texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value


parts = st.sampled_from(["name", "region", "components", "checks", "url", "type", "was", "every", "x"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1000) | st.sampled_from([w for w in WORDS if w]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(parts, below, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(list(Estate.model_fields)), anything | st.dictionaries(parts, anything))
)
def test_any_tree_gets_an_answer(value: dict[str, Any]) -> None:
    told = outcome(yaml.safe_dump(value, allow_unicode=True).encode())
    assert isinstance(told, EstateError)
    assert told.problems
