"""Titles and bodies as they are given, and templates that are filled in."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.communication.errors import NotPossible
from holdfast.communication.model import LONGEST_BODY, LONGEST_TITLE, ComponentState, Place
from holdfast.communication.templates import filled, listed, names_in, variables_of, written
from holdfast.communication.texts import body_of, title_of
from holdfast.estate.communication import IncidentTemplate

NOW = datetime(2026, 11, 22, 14, 3, tzinfo=UTC)


def test_a_title_is_one_line_and_a_body_has_line_feeds() -> None:
    assert title_of("  The\r\n API\tis \x00down\u202e ") == "The API is down"
    assert body_of("\r\na\r\nb\rc\x07\ud800\n\n") == "a\nb\nc"


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "x" * (LONGEST_TITLE + 1)])
def test_what_is_no_title_is_refused(text: str) -> None:
    with pytest.raises(NotPossible):
        title_of(text)


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "x" * (LONGEST_BODY + 1), "\x00" * 10_000_000])
def test_what_is_no_body_is_refused(text: str) -> None:
    with pytest.raises(NotPossible):
        body_of(text)


@given(st.text(max_size=300))
def test_what_is_taken_can_be_stored_and_stays(text: str) -> None:
    for take in (title_of, body_of):
        try:
            taken = take(text)
        except NotPossible:
            continue
        assert take(taken) == taken
        assert "\x00" not in taken
        taken.encode()


def test_a_variable_is_filled_in_once() -> None:
    assert filled("{{ a }}-{{b}}-{{ a }}", {"a": "{{ b }}", "b": "2"}) == "{{ b }}-2-{{ b }}"
    assert filled("no {braces} {{ }}", {}) == "no {braces} {{ }}"
    assert names_in("{{ b }} {{a}} {{ b }}") == ["b", "a"]


def test_a_variable_that_nobody_gives_is_an_error() -> None:
    with pytest.raises(NotPossible, match="untill") as refused:
        filled("{{ untill }}", {"until": "x"})
    assert refused.value.hint == "did you mean `until`?"


def test_what_is_measured_is_no_markdown_and_what_a_person_gives_is() -> None:
    template = IncidentTemplate(name="x", title="{{ cause }} {{ who }}", body="{{ cause }} {{ who }}")
    assert written(template, {"cause": "*a* <b>"}, {"who": "*me*"}) == (
        "*a* <b> *me*",
        r"\*a\* \<b\> *me*",
    )
    assert written(template, {"cause": "x", "who": "y"}, {"who": "z"})[0] == "x z"


def test_the_worst_component_is_the_one_that_is_named() -> None:
    places = {n: Place("eu", "EU", key, key.upper()) for n, key in enumerate(["web", "api", "amqp"])}
    states = {
        0: ComponentState.OPERATIONAL,
        1: ComponentState.MAJOR_OUTAGE,
        2: ComponentState.DEGRADED,
        9: ComponentState.MAJOR_OUTAGE,
    }
    assert variables_of(places, states, NOW) == {
        "component": "API",
        "components": "WEB, API and AMQP",
        "cluster": "EU",
        "state": "major outage",
        "since": "2026-11-22 14:03 UTC",
    }
    assert variables_of(places, {}, NOW) == {"since": "2026-11-22 14:03 UTC"}


def test_many_names_are_counted() -> None:
    assert [listed(list(names)) for names in ("a", "ab", "abc", "abcd")] == [
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 1 more",
    ]
