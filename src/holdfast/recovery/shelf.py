"""The playbooks there are, as their files were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.estate.errors import Problem
from holdfast.estate.suggest import did_you_mean
from holdfast.recovery.errors import NotThere, PlaybookWrong
from holdfast.recovery.model import Playbook


@dataclass(frozen=True, slots=True)
class Shelved:
    """A playbook's file. `playbook` is None when there are problems."""

    name: str
    where: str
    """Its path, or that it is Holdfast's own."""
    playbook: Playbook | None
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    replaces: bool = False
    """It stands for one of Holdfast's own."""


Shelf = Mapping[str, Shelved]
"""By name."""


def startable(shelf: Shelf) -> Mapping[str, Playbook]:
    """Those that are right."""
    return {name: each.playbook for name, each in shelf.items() if each.playbook is not None}


def found_in(shelf: Shelf, name: str) -> Playbook:
    """Raises NotThere, and PlaybookWrong with the first thing that is wrong with it."""
    shelved = shelf.get(name)
    if shelved is None:
        raise NotThere(f"there is no playbook {name!r}", hint=did_you_mean(name, shelf))
    if shelved.playbook is None:
        first = shelved.problems[0].as_text().splitlines()[0]
        raise PlaybookWrong(
            f"the playbook {name!r} is wrong: {first}", hint=f"holdfast playbook check {name}"
        )
    return shelved.playbook
