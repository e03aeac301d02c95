"""Actions by name, each subject's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from holdfast.bootstrap.recovery.actions import MAKERS, actions_for
from holdfast.bootstrap.recovery.known import known_actions
from holdfast.bootstrap.recovery.practice import Failing, Telling, Waiting
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.ports import Action, Fence

AROUND = cast("Surroundings", None)


def one(around: Surroundings) -> Mapping[str, Action]:
    del around
    return {"one": Telling()}


def broken(around: Surroundings) -> Mapping[str, Action]:
    del around
    raise KeyError("a secret is missing")


def test_one_subject_that_cannot_be_made_leaves_the_others() -> None:
    heard = list[tuple[str, str]]()
    actions = actions_for(AROUND, lambda name, error: heard.append((name, str(error))), (broken, one))
    assert list(actions) == ["one"]
    assert heard == [("broken", "'a secret is missing'")]
    with pytest.raises(KeyError):
        actions_for(AROUND, makers=(broken, one))


def test_a_name_is_one_subjects() -> None:
    with pytest.raises(ValueError, match="two actions are called one"):
        actions_for(AROUND, lambda *_: None, (one, one))


def test_every_subject_has_its_own_kind_of_names() -> None:
    """Whatever the estate declares, and connecting to nothing."""
    estate = Estate.model_validate(
        {
            "regions": {"here": {"name": "Here"}},
            "clusters": {
                "eu": {
                    "name": "Europe",
                    "region": "here",
                    "components": {"api": {"name": "API", "checks": {"up": {"url": "https://e.example/"}}}},
                }
            },
        }
    )
    names = list(known_actions(estate, Place(Path("none.yaml"), Path("none"))))
    assert {each.split(".")[0] for each in names} >= {"practice", "region", "data", "drill", "evidence"}
    assert len(names) > len(MAKERS)


async def test_practice_harms_nothing_and_says_what_is_wrong() -> None:
    fence = Fence("r", 1, 1)
    assert await Telling().observe({"text": "hello"}) == {"text": "hello"}
    await Waiting().act({"seconds": "0"}, fence)
    for given in ({"seconds": "soon"}, {"seconds": ""}):
        with pytest.raises(StepFailed, match="no number"):
            await Waiting().act(given, fence)
    with pytest.raises(StepFailed, match="because"):
        await Failing().act({"why": "because"}, fence)
    nothing: Any = None
    assert await Failing().observe({}) is nothing
