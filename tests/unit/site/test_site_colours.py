"""Every text colour of the site reaches WCAG AA on every ground it stands on, in light and in dark."""

import re
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.interfaces import site
from holdfast.interfaces.site import badges
from holdfast.interfaces.site.colours import (
    DARK_BACKGROUND,
    LIGHT_BACKGROUND,
    LIGHT_PAGE,
    contrast,
    ink_on,
    readable,
    theme,
)

STYLE = (files(site) / "static/site.css").read_text()
TOKEN = re.compile(r"--([\w-]+):\s*(#[0-9a-fA-F]{6})")
STATES = ("ok", "dg", "pa", "mj", "un", "mt")


def _tokens(dark: bool) -> dict[str, str]:
    light, _, rest = STYLE.partition("@media (prefers-color-scheme: dark)")
    tokens = dict(TOKEN.findall(light))
    if dark:
        tokens |= dict(TOKEN.findall(rest[: rest.index("* { box-sizing")]))
    return tokens


TEXT_PAIRS = [
    *[(ink, ground) for ink in ("ink", "dim") for ground in ("page", "card", "shade")],
    *[(state, "card") for state in STATES],
    *[(state, "page") for state in STATES],
    *[(state, f"{state}-soft") for state in STATES],
    *[(ink, f"{state}-soft") for ink in ("ink", "dim") for state in STATES],
    ("accent", "card"),
    ("accent", "page"),
    ("on-accent", "accent"),
]
DRAWING_PAIRS = [
    *[(f"{state}-fill", "card") for state in STATES],
    *[(line, "card") for line in ("p50", "p95", "p99")],
    *[(state, "mark") for state in STATES],
]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT_PAIRS)
def test_text_reaches_aa(ink: str, ground: str, dark: bool) -> None:
    tokens = _tokens(dark) | (
        {"accent": readable("#0b6e4f", DARK_BACKGROUND, 5), "on-accent": "#000000"} if dark else {}
    )
    assert contrast(tokens[ink], tokens[ground]) >= 4.5


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), DRAWING_PAIRS)
def test_drawings_reach_three_to_one(ink: str, ground: str, dark: bool) -> None:
    tokens = _tokens(dark)
    assert contrast(tokens[ink], tokens[ground]) >= 3


def test_the_themes_grounds_are_those_of_the_stylesheet() -> None:
    assert _tokens(dark=False)["card"] == LIGHT_BACKGROUND
    assert _tokens(dark=False)["page"] == LIGHT_PAGE
    assert _tokens(dark=True)["card"] == DARK_BACKGROUND


@given(st.integers(0, 0xFFFFFF))
def test_any_accent_becomes_readable(number: int) -> None:
    accent = f"#{number:06x}"
    light, dark = re.findall(r"--accent:(#[0-9a-f]{6})", theme(accent))
    for ground in (LIGHT_BACKGROUND, LIGHT_PAGE):
        assert contrast(light, ground) >= 4.5
    for token in ("card", "page", "shade"):
        assert contrast(dark, _tokens(dark=True)[token]) >= 4.5
    for shade in (light, dark):
        assert contrast(ink_on(shade), shade) >= 4.5


def test_a_good_accent_is_left_alone() -> None:
    assert "--accent:#0b6e4f" in theme("#0b6e4f")


def test_the_contrast_of_black_and_white_is_the_greatest() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_badges_carry_white_text_on_a_ground_that_is_dark_enough() -> None:
    for ground in [*badges._COLOURS.values(), badges._LEFT]:
        assert contrast("#ffffff", ground) >= 4.5
