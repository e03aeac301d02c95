"""A run as people look at it, and what each of them may do with it."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console

from holdfast.interfaces.cli.recovery.watching import Lines, picture
from holdfast.interfaces.run_documents import run_document
from holdfast.interfaces.run_words import (
    SIGNS,
    decisive_of,
    left_text,
    length_text,
    remark_text,
    standing_text,
    usual_text,
)
from holdfast.recovery.model import RunState
from holdfast.recovery.transitions import How
from holdfast.recovery.views import Mark, RunView, letter, possible_for
from rehearsed import Rehearsed


@pytest.fixture
def rehearsed() -> Rehearsed:
    return Rehearsed()


def marks(view: RunView) -> dict[str, Mark]:
    return {row.name: row.mark for row in view.rows}


async def test_a_run_is_shown_from_its_beginning_to_its_end(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start()
    at_gate = await rehearsed.drive(run.id)
    assert [(row.number, row.mark) for row in at_gate.rows] == [
        ("1", Mark.DONE),
        ("2", Mark.WAITS_FOR_PEOPLE),
        ("3", Mark.LATER),
        ("4", Mark.LATER),
        ("5", Mark.LATER),
        ("5a", Mark.LATER),
        ("5b", Mark.LATER),
        ("6", Mark.LATER),
    ]
    assert at_gate.waits_at is not None
    assert standing_text(at_gate) == "waits for people"
    assert "waits for 2 of: operator, commander, and not who started it" in remark_text(at_gate.waits_at)
    assert (at_gate.done, at_gate.total) == (1, 6)
    assert left_text(at_gate) == "at least 1m00s and 1 gate"

    view = await rehearsed.through(run.id)
    assert view.run.state is RunState.DONE
    assert set(marks(view).values()) == {Mark.DONE}
    assert (view.done, view.left) == (6, None)
    assert remark_text(view.rows[1]) == "approved by ben; approved by cat"


async def test_steps_side_by_side_stand_for_what_concerns_people_most(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start()
    await rehearsed.drive(run.id)
    for who in ("ben", "cat"):
        await rehearsed.recovery.approve(run.id, "agree", who, {"operator"})
    await rehearsed.drive(run.id)
    rehearsed.clock.advance(60)
    view = await rehearsed.drive(run.id, fails={"left"})
    assert (marks(view)["left"], marks(view)["sides"]) == (Mark.WAITS, Mark.WAITS)
    assert "it <i>broke" in remark_text(next(row for row in view.rows if row.name == "left"))
    rehearsed.clock.advance(5)
    view = await rehearsed.drive(run.id, fails={"left", "undo fence"})
    assert marks(view)["left"] is Mark.FAILED
    rehearsed.clock.advance(3600)
    view = await rehearsed.drive(run.id, fails={"undo fence"})
    assert marks(view)["fence"] is Mark.NOT_UNDONE
    assert marks(view)["promote"] is Mark.NEVER


async def test_a_cancel_at_a_gate_leaves_it_not_passed_and_the_rest_not_begun(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start()
    await rehearsed.drive(run.id)
    await rehearsed.recovery.cancel(run.id, "ada", {"commander"})
    view = await rehearsed.drive(run.id)
    assert view.run.state is RunState.CANCELLED
    assert marks(view)["agree"] is Mark.NOT_PASSED
    assert marks(view)["fence"] is Mark.NEVER
    assert left_text(view) == ""


async def test_what_a_person_may_do_follows_the_runs_own_rules(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start(by="ada")
    before = await rehearsed.view(run.id)
    assert possible_for(before, "ben", {"operator"}).approve is False

    view = await rehearsed.drive(run.id)
    assert possible_for(view, "ben", {"operator"}).approve
    assert "operator" in possible_for(view, "vic", {"viewer"}).why_not
    assert "started the run" in possible_for(view, "ada", {"operator"}).why_not
    assert "started the run" in possible_for(view, "command line (Ada)", {"operator"}).why_not
    await rehearsed.recovery.approve(run.id, "agree", "ben", {"operator"})
    view = await rehearsed.view(run.id)
    assert possible_for(view, "ben", {"operator"}).why_not == "you have approved it"
    assert possible_for(view, "command line (ben)", {"operator"}).approve is False
    assert possible_for(view, "ben", {"operator"}).cancel
    rehearsed.clock.advance(31 * 60)
    view = await rehearsed.view(run.id)
    assert "expired" in possible_for(view, "cat", {"operator"}).why_not


async def test_a_run_that_stands_still_offers_the_ways_that_there_are(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start()
    view = await rehearsed.through(run.id, fails={"promote"})
    for _ in range(3):
        rehearsed.clock.advance(60)
        view = await rehearsed.drive(run.id, fails={"promote"})
    assert view.run.state is RunState.NEEDS_OPERATOR
    possible = possible_for(view, "ada", {"commander"})
    assert possible.resume == (How.RETRY, How.BY_HAND)
    assert possible.cancel is False, "it would only be noted"
    await rehearsed.recovery.resume(run.id, How.BY_HAND, "ada", {"commander"})
    view = await rehearsed.drive(run.id)
    assert view.run.state is RunState.DONE
    assert "done by hand by ada" in remark_text(view.rows[-1])
    assert possible_for(view, "ada", {"commander"}).cancel is False


async def test_a_document_says_all_of_it(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start()
    document = run_document(await rehearsed.drive(run.id))
    assert document["state"] == "running"
    assert document["waits_at"] == "agree"
    assert document["left"] == {
        "at_least_s": 60.0,
        "gates": 1,
        "unknown": ["fence", "left", "right", "promote"],
        "over": [],
    }
    gate = document["stages"][1]
    assert (gate["kind"], gate["approvals_wanted"], gate["four_eyes"]) == ("gate", 2, True)
    assert document["stages"][0]["found"] == {"text": "<look>"}


async def test_lines_tell_each_change_once(rehearsed: Rehearsed) -> None:
    said = list[str]()
    lines = Lines(said.append)
    run = await rehearsed.start()
    lines.show(await rehearsed.view(run.id))
    for _ in range(3):
        lines.show(await rehearsed.drive(run.id))
    waits = "waits for 2 of: operator, commander, and not who started it"
    assert [each.split(" ", 1)[1] for each in said[1:]] == [
        "  1 Look: done in 1.0s",
        f"  2 Two agree: waits for people ({waits}; until 03:30:01 UTC)",
    ]
    await rehearsed.recovery.approve(run.id, "agree", "ben", {"operator"})
    lines.show(await rehearsed.view(run.id))
    assert "waits for one of" in said[-1]


async def test_a_database_that_is_away_is_told_once_and_when_it_is_back(rehearsed: Rehearsed) -> None:
    said = list[str]()
    lines = Lines(said.append)
    run = await rehearsed.start()
    view = await rehearsed.drive(run.id)
    lines.show(view)
    before = len(said)
    for away in ("connection refused", "connection refused", "timed out"):
        lines.show(replace(view, away=away))
    lines.show(view)
    assert [each.split(" ", 1)[1] for each in said[before:]] == [
        "the database does not answer: connection refused",
        "the database answers again",
    ]
    console = Console(width=120, record=True, file=StringIO())
    console.print(picture(replace(view, away="connection refused")))
    assert "this is how it was: connection refused" in console.export_text()
    assert run_document(replace(view, away="x"))["away"] == "x"


async def test_the_picture_is_drawn_with_whatever_a_step_said(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start()
    view = await rehearsed.through(run.id, fails={"left"})
    console = Console(width=120, record=True, file=StringIO())
    console.print(picture(view))
    text = console.export_text()
    assert "Move <eu>: eu" in text
    assert "it <i>broke" in text
    assert SIGNS[Mark.DONE] in text


def test_lengths_are_told_as_exactly_as_people_can_use_them() -> None:
    told = {0.04: "0.0s", 8.31: "8.3s", 42.4: "42s", 59.6: "1m00s", 125: "2m05s", 3725: "1h02m"}
    assert {seconds: length_text(timedelta(seconds=seconds)) for seconds in told} == told


def test_letters_go_on_behind_z() -> None:
    assert [letter(n) for n in (0, 25, 26, 31)] == ["a", "z", "aa", "af"]


async def test_what_is_usual_is_told_with_how_often_it_was_measured(rehearsed: Rehearsed) -> None:
    first = await rehearsed.start("harmless")
    await rehearsed.drive(first.id, took={"one": 12})
    second = await rehearsed.start("harmless")
    view = await rehearsed.view(second.id)
    assert usual_text(view.rows[0]) == "12s (1 run, 12s at most)"
    assert left_text(view) == "13s"


async def test_whoever_is_woken_reads_why_it_was_begun(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start(why="drilled: unknown (no drill of this is known)")
    view = await rehearsed.drive(run.id)
    console = Console(width=120, record=True, file=StringIO())
    console.print(picture(view))
    assert "begun because: drilled: unknown (no drill of this is known)" in console.export_text()
    assert decisive_of(view)[0] == ("Begun because", "drilled: unknown (no drill of this is known)")
    harmless = await rehearsed.start("harmless")
    assert not [words for words, _ in decisive_of(await rehearsed.view(harmless.id)) if "because" in words]


async def test_a_gate_that_is_open_until_another_day_says_which(rehearsed: Rehearsed) -> None:
    rehearsed.clock.advance(20.75 * 60 * 60)  # a quarter to midnight
    run = await rehearsed.start()
    gate = (await rehearsed.drive(run.id)).waits_at
    assert gate is not None
    assert "until 2026-11-24 00:15:01 UTC" in remark_text(gate)
