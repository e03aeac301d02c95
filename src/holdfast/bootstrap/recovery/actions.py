"""All actions that playbooks can name."""

from collections.abc import Callable, Mapping, Sequence

from holdfast.bootstrap.recovery.corruption import corruption_actions
from holdfast.bootstrap.recovery.drilling import drill_actions
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
    corruption_actions,
    region_actions,
)
"""Each subject's own: region.*, data.*, drill.*."""


def actions_for(around: Surroundings) -> Mapping[str, Action]:
    """By name. Raises ValueError when two subjects have the same one."""
    actions = dict[str, Action]()
    for make in MAKERS:
        made = make(around)
        if twice := sorted(set(actions) & set(made)):
            raise ValueError(f"two actions are called {', '.join(twice)}")
        actions |= made
    return actions
