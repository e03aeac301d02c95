"""Properties of the condition language: parsing and evaluating are total, patterns agree with Python's."""

import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.availability.conditions import parse, validate
from holdfast.availability.conditions.patterns import Pattern
from holdfast.availability.errors import ConditionError

WORDS = st.sampled_from(
    [
        *(
            "status",
            "body",
            "answer",
            'header("a")',
            'json("$.a")',
            'json("$..b[*]")',
            "response_time",
            "body_truncated",
        ),
        *(
            "==",
            "!=",
            "<",
            "<=",
            "in",
            "contains",
            "matches",
            "exists",
            "not",
            "and",
            "or",
            "(",
            ")",
            ",",
            "..",
        ),
        *("200", "5s", '"x"', '"^(a|b)*$"', "true", "null", "-1", "0.5", "'", '"'),
    ]
)
FACTS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.integers(0, 999),
        "body": st.one_of(
            st.binary(max_size=50), st.text(max_size=50), st.sampled_from([b'{"a": 1}', b'{"b": [1]}'])
        ),
        "headers": st.dictionaries(st.sampled_from("ab"), st.text(max_size=20)),
        "response_time": st.timedeltas(),
        "body_truncated": st.booleans(),
    },
)
SIMPLE = st.sampled_from(
    [
        "status == 200",
        "status < 300",
        'body contains "a"',
        'header("a") == "b"',
        'json("$.a") == 1',
        'header("a") exists',
        "body_truncated",
    ]
)


@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=12).map(" ".join)), FACTS)
@settings(max_examples=400)
def test_any_text_parses_or_is_refused_with_a_place(text: str, facts: dict[str, object]) -> None:
    complaint = validate("http", text)
    if complaint is not None:
        with pytest.raises(ConditionError) as refused:
            parse(text)
        assert 0 <= refused.value.position <= len(text)
        assert complaint.startswith(str(refused.value))
        return
    evaluation = parse(text).holds(facts)
    assert evaluation.holds == (not evaluation.explanation)
    assert evaluation.explanation.isprintable()
    assert evaluation.public.isprintable()


@given(SIMPLE, SIMPLE, FACTS)
def test_de_morgan(one: str, other: str, facts: dict[str, object]) -> None:
    def holds(text: str) -> bool:
        return parse(text).holds(facts).holds

    assert holds(f"not ({one} and {other})") == holds(f"not {one} or not {other}")
    assert holds(f"not ({one} or {other})") == holds(f"not {one} and not {other}")
    assert holds(f"not not {one}") == holds(one)
    assert not (holds(one) and holds(f"not {one}"))


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_a_range_is_its_two_comparisons(status: int, low: int, high: int) -> None:
    low, high = sorted((low, high))
    facts = {"status": status, "response_time": timedelta(milliseconds=status)}
    assert parse(f"status in {low}..{high}").holds(facts).holds == (low <= status <= high)
    assert parse(f"response_time in {low}ms..{high}ms").holds(facts).holds == (low <= status <= high)


ATOMS = st.sampled_from(
    ["a", "b", ".", r"\d", r"\w", r"\s", r"\W", "[ab]", "[^a]", "[a-c1]", r"\.", r"\b", "^", "$", " "]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{,2}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(st.sampled_from(["", "(?i)", "(?s)", "(?m)", "(?ims)"]), PATTERNS, st.text("abAB1. \n", max_size=12))
@settings(max_examples=1_000)
def test_patterns_find_what_python_finds(flags: str, pattern: str, text: str) -> None:
    assert Pattern(flags + pattern).found_in(text) == (re.search(flags + pattern, text) is not None)


@given(st.text(max_size=12), st.text(max_size=40))
def test_any_pattern_is_refused_or_answers(pattern: str, text: str) -> None:
    refused: ConditionError | None = None
    try:
        compiled = Pattern(pattern)
    except ConditionError as error:
        refused = error
    if refused is not None:
        assert 0 <= refused.position <= len(pattern)
    else:
        first = compiled.found_in(text)
        assert first is not None
        assert compiled.found_in(text) == first  # what it learnt does not change the answer
