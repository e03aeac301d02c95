"""Which passwords will do, and which names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.identity.passwords import LONGEST, SHORTEST, name_of, prepared, trouble_with


@pytest.mark.parametrize(
    "password",
    [
        "four words that fit",
        "correct horse battery staple",
        "xK9#mQ2$vL7!",
        "Grünes Gemüse am Dienstag",
        "hunter hunts the hunted",
        "my password manager made me up",
        "日本語のパスワードです長い",
    ],
)
def test_a_long_one_that_nobody_guesses_will_do(password: str) -> None:
    assert trouble_with(password, "anna", "Anna Bell") is None


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "eleven char",
        "password1234",
        "Passwort12345!",
        "P@ssw0rd!!!!!!",
        "passwordpassword",
        "qwertyuiop123",
        "letmeinletmein",
        "administrator1",
        "holdfast2026!!",
        "aaaaaaaaaaaa",
        "abababababab",
        "abcabcabcabcabc",
        "abcdefghijklmn",
        "123456789012",
        "anna.bell.2026",
        "annabell12345",
        "x" * (LONGEST + 1),
        "with\nline ends inside",
        "with a \ud800 surrogate",
    ],
)
def test_one_that_is_tried_first_will_not(password: str) -> None:
    assert trouble_with(password, "anna.bell", "Anna Bell") is not None


@given(st.text(max_size=SHORTEST - 1))
def test_a_short_one_never_will(password: str) -> None:
    assert trouble_with(password, "anna") is not None


@given(st.text(max_size=400), st.text(max_size=40), st.text(max_size=40))
def test_no_text_breaks_the_judgement(password: str, name: str, full_name: str) -> None:
    trouble_with(password, name, full_name)
    name_of(password)


def test_one_typed_on_another_keyboard_is_the_same() -> None:
    assert prepared("Gru\u0308nes Gemu\u0308se") == "Gr\u00fcnes Gem\u00fcse"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("anna", "anna"),
        (" Anna ", "anna"),
        ("anna.bell+x@example.com", "anna.bell+x@example.com"),
        ("\uff41nna", "anna"),
        ("", None),
        (".anna", None),
        ("anna bell", None),
        ("änna", None),
        ("anna<script>", None),
        ("a" * 101, None),
        ("anna\n", "anna"),
    ],
)
def test_a_name_is_kept_in_one_form(typed: str, name: str | None) -> None:
    assert name_of(typed) == name
