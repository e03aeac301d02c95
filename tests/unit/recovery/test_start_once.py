"""The same request, sent twice or twice at once, starts one run; one person counts once, however named."""

import asyncio

import pytest

from holdfast.identity.model import EVERYTHING, Actor, Right
from holdfast.identity.roles import labels, roles_of
from holdfast.kernel.people import person_of
from holdfast.recovery.errors import Refused
from holdfast.recovery.model import Run
from rehearsed import Rehearsed

ROLES = {"commander"}


@pytest.fixture
def rehearsed() -> Rehearsed:
    return Rehearsed()


@pytest.mark.parametrize("name", ["moving", "harmless"])
async def test_a_request_that_is_sent_twice_at_once_starts_one_run(rehearsed: Rehearsed, name: str) -> None:
    given = {"why": "smoke"} if name == "moving" else {}

    async def sent() -> Run:
        return await rehearsed.recovery.start(name, "eu", given, "ada", ROLES, "k3x9q2m7w1zd")

    first, second = await asyncio.gather(sent(), sent())
    assert first == second
    await rehearsed.drive(first.id)
    assert (await sent()).id == first.id, "also when it has gone on meanwhile"
    assert len(await rehearsed.runs.newest(9)) == 1
    assert [note.event for _, note in rehearsed.runs.notes].count("run.started") == 1


async def test_an_id_that_stands_for_another_request_is_refused(rehearsed: Rehearsed) -> None:
    await rehearsed.recovery.start("harmless", "eu", {}, "ada", ROLES, "k3x9q2m7w1zd")
    for name, subject, who in (
        ("harmless", "usa", "ada"),
        ("harmless", "eu", "ben"),
        ("moving", "eu", "ada"),
    ):
        given = {"why": "x"} if name == "moving" else {}
        with pytest.raises(Refused, match="something else"):
            await rehearsed.recovery.start(name, subject, given, who, ROLES, "k3x9q2m7w1zd")


async def test_one_person_approves_once_from_wherever(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start(by="command line (ada)")
    await rehearsed.drive(run.id)
    for name in ("ada", "Ada", "command line (ada)"):
        with pytest.raises(Refused, match="whoever started"):
            await rehearsed.recovery.approve(run.id, "agree", name, {"operator"})
    for name in ("ben", "command line (ben)", "BEN"):
        await rehearsed.recovery.approve(run.id, "agree", name, {"operator"})
    view = await rehearsed.drive(run.id)
    assert view.waits_at is not None
    assert [each.who for each in view.waits_at.approvals] == ["ben"]


def test_a_person_is_one_in_the_console_and_on_the_command_line() -> None:
    assert {person_of(each) for each in ("ada", "Ada ", "command line (ada)")} == {"ada"}
    assert person_of("token command line (ada)") != "ada"


def test_whoever_may_more_holds_the_roles_below() -> None:
    assert roles_of(Actor("ada", EVERYTHING)) == labels()
    assert roles_of(Actor("token x", frozenset({Right.READ, Right.COMMAND}))) == {"viewer", "commander"}
    assert roles_of(Actor("nobody", frozenset())) == frozenset()
