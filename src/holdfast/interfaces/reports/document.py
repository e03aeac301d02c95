"""A report laid out for people: headings, tables and charts in one language, for pages and for PDFs alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell. `look` is the site's class for a state; `href` an address within the site."""

    text: str
    look: str = ""
    href: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under headings; `numeric` columns stand on the right. `more` tells what is cut."""

    headings: Sequence[str]
    numeric: frozenset[int]
    rows: Sequence[Sequence[Cell]]
    more: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """What a colour of a drawing stands for."""

    look: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing (the site's SVG) with its axes as text. `stretch` is how much higher print makes it."""

    heading: str
    drawing: Markup
    kind: str
    stretch: float = 1.0
    heights: Sequence[str] = ()
    times: Sequence[str] = ()
    keys: Sequence[Key] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report. `id` is its anchor."""

    id: str
    heading: str
    notes: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Document:
    """The whole report. `verdict` is good, bad or empty; `warning` marks sample history."""

    title: str
    kind: str
    subtitle: str
    made: str
    verdict: str
    verdict_text: str
    warning: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
