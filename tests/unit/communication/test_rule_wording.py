"""A rule's own words, in every language that the site speaks."""

from typing import get_args

import pytest
from told_incidents import API, DIRECTORY, DOWN, HIDDEN, NOW, SECRET, US_API, WEB

from holdfast.communication import rule_wording as wording
from holdfast.communication.model import ComponentState, Impact
from holdfast.communication.templates import impact_of, spelt
from holdfast.estate.communication import IncidentTemplate
from holdfast.estate.values import Language
from holdfast.interfaces.site.i18n import translations


@pytest.mark.parametrize("language", get_args(Language))
def test_every_language_has_words_for_every_state_as_the_site_says_them(language: Language) -> None:
    catalogue = translations(language)
    states = wording.WORDINGS[language].states
    assert set(states) == set(ComponentState)
    for state, said in states.items():
        assert said.casefold() == catalogue.gettext(spelt(state).capitalize()).casefold()


@pytest.mark.parametrize(
    ("language", "components", "state"),
    [
        ("en", "API, Website, API and 2 more", "major outage"),
        ("de", "API, Website, API und 2 weitere", "größere Störung"),
    ],
)
def test_what_templates_know_is_in_that_language(language: Language, components: str, state: str) -> None:
    states = dict.fromkeys([API, WEB, US_API, SECRET, HIDDEN], ComponentState.DEGRADED) | {WEB: DOWN}
    known = wording.known_of(DIRECTORY.places, states, NOW, language)
    assert (known["components"], known["state"]) == (components, state)
    assert (known["component"], known["since"]) == ("Website", "2026-11-22 14:03 UTC")


@pytest.mark.parametrize("language", get_args(Language))
def test_of_components_that_have_left_the_estate_nothing_is_known_but_the_time(language: Language) -> None:
    assert wording.known_of({}, {API: DOWN}, NOW, language) == {"since": "2026-11-22 14:03 UTC"}


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", r"It has become worse: {x} \*API\* (operational before, unknown now)."),
        ("de", r"Es ist schlimmer geworden: {x} \*API\* (vorher: betriebsbereit, jetzt: unbekannt)."),
    ],
)
def test_names_are_shown_as_they_are(language: Language, said: str) -> None:
    place = DIRECTORY.places[API]
    places = {API: type(place)(place.cluster_key, place.cluster, place.key, "{x} *API*")}
    before, now = {API: ComponentState.OPERATIONAL}, {API: ComponentState.UNKNOWN}
    assert wording.worse(places, before, now, language) == said


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (None, Impact.MINOR),
        (IncidentTemplate(name="x", body="x"), Impact.MINOR),
        (IncidentTemplate(name="x", body="x", impact="none"), Impact.NONE),
        (IncidentTemplate(name="x", body="x", impact="major"), Impact.MAJOR),
    ],
)
def test_a_person_begins_with_what_the_template_says(
    template: IncidentTemplate | None, expected: Impact
) -> None:
    assert impact_of(template) is expected
