"""All actions that playbooks can name."""

from collections.abc import Callable, Mapping, Sequence

from holdfast.bootstrap.recovery.corruption import corruption_actions
from holdfast.bootstrap.recovery.corruption_measured import measuring_actions
from holdfast.bootstrap.recovery.drilling import drill_actions
from holdfast.bootstrap.recovery.drilling_damage import damage_drill_actions
from holdfast.bootstrap.recovery.drilling_regions import region_drill_actions
from holdfast.bootstrap.recovery.practice import practice_actions
from holdfast.bootstrap.recovery.recording import evidence_actions
from holdfast.bootstrap.recovery.region import region_actions
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.recovery.ports import Action

Maker = Callable[[Surroundings], Mapping[str, Action]]

MAKERS: Sequence[Maker] = (
    practice_actions,
    evidence_actions,
    drill_actions,
    region_drill_actions,
    damage_drill_actions,
    corruption_actions,
    measuring_actions,
    region_actions,
)
"""Each subject's own: region.*, data.*, drill.*."""


Troubled = Callable[[str, Exception], None]
"""Hears of a subject whose actions could not be made, and why."""


def actions_for(
    around: Surroundings, troubled: Troubled | None = None, makers: Sequence[Maker] = MAKERS
) -> Mapping[str, Action]:
    """By name. With `troubled` a subject that cannot be made is left out, and the others are there.

    Raises ValueError when two subjects have the same name; else, without `troubled`, what a maker raises.
    """
    actions = dict[str, Action]()
    for make in makers:
        try:
            made = make(around)
        except Exception as error:
            if troubled is None:
                raise
            troubled(make.__name__, error)
            continue
        if twice := sorted(set(actions) & set(made)):
            raise ValueError(f"two actions are called {', '.join(twice)}")
        actions |= made
    return actions
