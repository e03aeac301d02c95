"""What `holdfast incident` asks for, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from holdfast.communication.model import Audience, Incident

IncidentStep = Literal["declare", "open", "update", "edit", "change", "merge"]


@dataclass(frozen=True, slots=True)
class IncidentRequest:
    """One step. What is left out is as it was, or as the template says.

    `components` maps patterns (eu/api, eu/*) to a state's value, or to an empty text: as the impact suggests.
    `variables` are for the template. With `dry_run` nothing is stored and nobody is told.
    """

    step: IncidentStep
    incident_id: str = ""
    title: str | None = None
    body: str | None = None
    impact: str | None = None
    phase: str | None = None
    components: Mapping[str, str] = field(default_factory=dict)
    began_at: datetime | None = None
    at: datetime | None = None
    draft: bool = False
    template: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    update_id: str = ""
    into: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class IncidentOutcome:
    """The incident as it is, or with a dry run as it would be. `names` has its components: eu/api by id.

    `audience` says who is told of the step, or with `dry_run` would be; None when the step changed nothing,
    or tells nobody ever.
    """

    incident: "Incident"
    names: Mapping[int, str]
    audience: "Audience | None" = None
    dry_run: bool = False
