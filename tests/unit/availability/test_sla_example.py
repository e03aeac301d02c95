"""The worked example of docs/sla.md, recomputed: what the page says is what the program does."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdfast.availability.model import Interval, Maintenance, State
from holdfast.availability.reading import agreement_window
from holdfast.availability.sla import FORMULA, WEIGHTS, Figure, Statement, Terms, percent_text, statement
from holdfast.availability.timeline import completed
from holdfast.estate.model import Agreement
from holdfast.kernel.windows import Window

PAGE = (Path(__file__).parents[3] / "docs" / "sla.md").read_text(encoding="utf-8")
COMPONENTS = {"website": 1, "api": 2}


def block(kind: str, name: str) -> str:
    found = re.findall(rf"^```{kind} example {name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"the page has one example of {name}"
    return str(found[0])


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(block("csv", name).splitlines()))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def duration(text: str) -> timedelta:
    hours, minutes, seconds = text.removeprefix("-").split(":")
    spent = timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    return -spent if text.startswith("-") else spent


AGREEMENT = Agreement(**yaml.load(block("yaml", "agreement"), yaml.BaseLoader))
WINDOW = agreement_window(AGREEMENT, moment("2026-10-15T12:00+02:00"))


def timelines() -> Mapping[int, Sequence[Interval]]:
    """What the page lists, and operational in between."""
    lines: dict[int, list[Interval]] = {component: [] for component in COMPONENTS.values()}
    for row in rows("events"):
        window = Window(moment(row["from"]), moment(row["to"]))
        lines[COMPONENTS[row["component"]]].append(
            Interval(window, State[row["state"].upper()], row["state"])
        )
    return {component: filled(line) for component, line in lines.items()}


def filled(line: Sequence[Interval]) -> list[Interval]:
    gaps = (each for each in completed(line, WINDOW) if each not in line)
    return sorted(
        [*line, *(replace(gap, state=State.OPERATIONAL) for gap in gaps)], key=lambda each: each.window
    )


def maintenance() -> list[Maintenance]:
    return [
        Maintenance(
            number,
            Window(moment(row["from"]), moment(row["to"])),
            moment(row["announced"]),
            frozenset({COMPONENTS[row["component"]]}),
        )
        for number, row in enumerate(rows("maintenance"))
    ]


def accounted(**terms: Any) -> Statement:
    agreed = replace(Terms.of(AGREEMENT), **terms)
    return statement(timelines(), maintenance(), agreed, WINDOW, WINDOW.end)


def quantities(figure: Figure) -> dict[str, timedelta | str | None]:
    states = {state.label: figure.tally.of(state) for state in State}
    return {
        **states,
        "window": figure.tally.total,
        "excluded": figure.tally.excluded,
        "counted": figure.counted,
        "downtime": figure.downtime,
        "availability": percent_text(figure.availability),
    }


def test_the_month_is_that_of_the_end_of_summer_time() -> None:
    assert WINDOW.duration == timedelta(hours=745)


@pytest.mark.parametrize("row", rows("figures"), ids=lambda row: row["quantity"])
def test_the_figures_of_the_page_are_those_of_the_formula(row: dict[str, str]) -> None:
    found = accounted()
    figures = {name: found.by_component[component] for name, component in COMPONENTS.items()}
    for column, figure in {**figures, "together": found.figure}.items():
        stated = row[column] if row["quantity"] == "availability" else duration(row[column])
        assert quantities(figure)[row["quantity"]] == stated, column


@pytest.mark.parametrize("row", rows("terms"), ids=lambda row: f"{row['combine']}, {row['unknown']}")
def test_other_terms_give_what_the_page_says(row: dict[str, str]) -> None:
    found = accounted(combine=row["combine"], unknown=row["unknown"])
    assert found.figure.counted == duration(row["counted"])
    assert found.figure.downtime == duration(row["downtime"])
    assert percent_text(found.figure.availability) == row["availability"]
    assert found.budget.allowed == duration(row["budget"])
    assert found.budget.left == duration(row["left"])
    assert found.credit == Decimal(row["credit"])
    assert not found.met


def test_all_terms_are_shown_and_the_agreements_own_first() -> None:
    shown = [(row["combine"], row["unknown"]) for row in rows("terms")]
    assert shown[0] == (AGREEMENT.combine, AGREEMENT.unknown)
    assert len(set(shown)) == 6


def test_the_example_has_one_of_everything() -> None:
    assert {row["state"] for row in rows("events")} == {
        state.label for state in State if state not in (State.OPERATIONAL, State.RETIRED)
    }
    excluding = [each.excludes(COMPONENTS["website"], AGREEMENT.notice) for each in maintenance()]
    assert excluding == [True, False]


def test_the_page_names_the_formula_and_its_weights() -> None:
    assert f"`{FORMULA}`" in PAGE
    for state, weight in WEIGHTS.items():
        assert f"| {state.label.replace('_', ' ')} | {weight} |" in PAGE
