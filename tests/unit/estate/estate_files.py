"""A small valid estate to break, and loading from text."""

from pathlib import Path

from holdfast.estate.errors import EstateError, Problem
from holdfast.estate.loader import parse_estate
from holdfast.estate.model import Estate

VALID = """\
regions:
  west: {name: West}
  north: {name: North}
clusters:
  eu:
    name: Europe
    region: west
    components:
      web:
        name: Website
        checks:
          page:
            url: https://example.com/
customers:
  acme: {name: Acme}
agreements:
  gold:
    customer: acme
    name: Gold
    components: [eu/web]
    objective: 99.9
"""


def any_condition(check_type: str, text: str) -> str | None:
    """Every condition is fine, but for one that says it is wrong."""
    return f"not a condition for {check_type}" if "wrong" in text else None


def load(text: str | bytes, base: Path = Path()) -> Estate:
    content = text.encode() if isinstance(text, str) else text
    return parse_estate(content, base / "holdfast.yaml", any_condition)


def problems(text: str | bytes, base: Path = Path()) -> tuple[Problem, ...]:
    """All that is wrong with the file; empty when nothing is."""
    try:
        load(text, base)
    except EstateError as error:
        return error.problems
    return ()


def edited(*replacements: tuple[str, str]) -> str:
    """The valid file with each text replaced; a replacement that replaces nothing is a broken test."""
    text = VALID
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text
