"""Prepared texts with variables.

    The API in {{ cluster }} is {{ state }}.

A variable is one word in double braces. There are no conditions, loops or filters: who writes an incident at
night has to see at once what will come out.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from holdfast.communication.errors import NotPossible
from holdfast.communication.model import ComponentState, Impact, Place
from holdfast.communication.texts import literally
from holdfast.estate.communication import TEMPLATE_VARIABLE, IncidentTemplate
from holdfast.estate.suggest import did_you_mean

_BADNESS = (
    ComponentState.OPERATIONAL,
    ComponentState.UNDER_MAINTENANCE,
    ComponentState.UNKNOWN,
    ComponentState.DEGRADED,
    ComponentState.PARTIAL_OUTAGE,
    ComponentState.MAJOR_OUTAGE,
)
MOST_NAMED = 3
"""Of components in one line."""


def filled(text: str, variables: Mapping[str, str]) -> str:
    """`text` with each variable's value in its place; a value's own braces stay. Raises NotPossible."""

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in variables:
            hint = did_you_mean(name, variables, otherwise=f"give it with --set {name}=...")
            raise NotPossible(f"nothing is given for {{{{ {name} }}}}", hint=hint)
        return variables[name]

    return TEMPLATE_VARIABLE.sub(value, text)


def names_in(text: str) -> list[str]:
    """The variables that `text` asks for, each once, in their order."""
    return list(dict.fromkeys(TEMPLATE_VARIABLE.findall(text)))


def written(
    template: IncidentTemplate, known: Mapping[str, str], given: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Title and body, from what is `known` by itself and what a person has `given`, which goes first.

    What is known is names and measurements: in a body they are shown as they are, not read as Markdown.
    """
    given = given or {}
    plain = {name: literally(value) for name, value in known.items()}
    return filled(template.title, {**known, **given}), filled(template.body, {**plain, **given})


def variables_of(
    places: Mapping[int, Place], states: Mapping[int, ComponentState], since: datetime
) -> dict[str, str]:
    """What is known of components that are in these states. `component` is the one in the worst."""
    known = {"since": moment(since)}
    shown = [each for each in states if each in places]
    if shown:
        worst = worst_of({each: states[each] for each in shown})
        known |= {
            "component": places[worst].name,
            "components": listed([places[each].name for each in shown]),
            "cluster": places[worst].cluster,
            "state": spelt(states[worst]),
        }
    return known


def worst_of(states: Mapping[int, ComponentState]) -> int:
    """Of components, at least one, the first in the worst state."""
    return max(states, key=lambda each: _BADNESS.index(states[each]))


def impact_of(template: IncidentTemplate | None) -> Impact:
    """What a person who uses the template begins with: minor where it leaves that open."""
    return Impact.MINOR if template is None or template.impact is None else Impact(template.impact)


def spelt(state: ComponentState) -> str:
    """The state in words."""
    return state.value.replace("_", " ")


def moment(at: datetime) -> str:
    """A time for readers anywhere."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def listed(
    names: Sequence[str], most: int = MOST_NAMED, *, both: str = "{} and {}", more: str = "{} and {} more"
) -> str:
    """`API`, `API and Website`, `API, Website, Queue and 7 more`; `both` and `more` say so in other words."""
    if len(names) > most:
        return more.format(", ".join(names[:most]), len(names) - most)
    return both.format(", ".join(names[:-1]), names[-1]) if len(names) > 1 else "".join(names)
