"""Incidents, as requests declare them and answers tell them."""

from typing import Annotated

from pydantic import BaseModel, Field, StrictBool

from holdfast.communication.directory import Directory
from holdfast.communication.incident_desk import NewIncident, NewUpdate
from holdfast.communication.model import ComponentState, Impact, Incident, Phase, Revision, Update
from holdfast.interfaces.api.problems import INVALID, Problem
from holdfast.interfaces.api.shapes.common import Affected, Changed, Previewed
from holdfast.interfaces.api.words import (
    MOST_COMPONENTS,
    Asked,
    Markdown,
    Moment,
    Pattern,
    Title,
    Told,
    component_ids,
)

AffectedStates = Annotated[
    dict[Pattern, ComponentState],
    Field(
        max_length=MOST_COMPONENTS,
        description="components, as cluster/component with * for all or by number, each with its state; "
        "what is named later wins",
        examples=[{"eu/api": "major_outage", "eu/website": "degraded"}],
    ),
]


class Declare(Asked):
    """A new incident."""

    title: Title = Field(examples=["The API in the EU is down"])
    body: Markdown = Field(examples=["We see failing requests since 08:30 and are looking into it."])
    impact: Impact = Impact.MINOR
    phase: Phase = Field(Phase.INVESTIGATING, description="any but `postmortem`")
    affected: AffectedStates = Field(default_factory=dict)
    began_at: Moment | None = Field(None, description="when it really began; now when left out")
    draft: StrictBool = Field(False, description="a draft is seen by nobody outside until it is published")

    def incident(self, directory: Directory) -> NewIncident:
        return NewIncident(
            self.title,
            self.impact,
            self.phase,
            self.body,
            states_of(self.affected, directory, "body/affected"),
            self.began_at,
            self.draft,
        )


class Post(Asked):
    """Something more to say of an incident."""

    phase: Phase = Field(description="`resolved` resolves it; `postmortem` closes it for good")
    body: Markdown = Field(examples=["A fix is in place; we are watching it."])
    affected: AffectedStates | None = Field(
        None, description="left out: as it was, and all operational when this resolves it"
    )
    at: Moment | None = Field(None, description="the time that is shown; now when left out")

    def update(self, directory: Directory) -> NewUpdate:
        affected = None
        if self.affected is not None:
            affected = states_of(self.affected, directory, "body/affected")
        return NewUpdate(self.phase, self.body, affected, self.at)


def states_of(
    affected: dict[str, ComponentState], directory: Directory, where: str
) -> dict[int, ComponentState]:
    """The states by component. Raises Problem for a pattern that names none."""
    found: dict[int, ComponentState] = {}
    for pattern, state in affected.items():
        found |= dict.fromkeys(component_ids([pattern], directory, where), state)
    return found


class Edit(Asked):
    """An update in other words. What it said stays readable."""

    body: Markdown
    shown_at: Moment | None = Field(None, description="another time to show; as it was when left out")


class Change(Asked):
    """What is to be changed; the rest stays as it is."""

    title: Title | None = None
    impact: Impact | None = None
    began_at: Moment | None = None

    def must_say_something(self) -> None:
        if self.title is None and self.impact is None and self.began_at is None:
            raise Problem(INVALID, "nothing is to be changed", hint="give title, impact or began_at")


class Merge(Asked):
    """Into which incident."""

    into: Annotated[str, Field(pattern=r"^[a-z0-9]{12}$", examples=["k3x9q2m7w1zd"])]


class RevisionTold(BaseModel):
    """What an update said before it was edited."""

    body: str
    shown_at: Told
    at: Told = Field(description="when it was replaced")
    actor: str

    @classmethod
    def of(cls, revision: Revision) -> "RevisionTold":
        return cls(body=revision.body, shown_at=revision.shown_at, at=revision.at, actor=revision.actor)


class UpdateTold(BaseModel):
    """One thing that was said."""

    id: str
    at: Told = Field(description="the time that is shown")
    recorded_at: Told | None = Field(description="when it was really written")
    step: str = Field(description="the phase, or the stage of a maintenance, that it brought")
    body: str = Field(description="Markdown")
    author: str
    affected: list[Affected] = Field(description="the components as they were then")
    revisions: list[RevisionTold]

    @classmethod
    def of(cls, update: Update, directory: Directory) -> "UpdateTold":
        return cls(
            id=update.id,
            at=update.at,
            recorded_at=update.recorded_at,
            step=update.step,
            body=update.body,
            author=update.author,
            affected=Affected.all_of(update.affected, directory),
            revisions=[RevisionTold.of(each) for each in update.revisions],
        )


class IncidentTold(BaseModel):
    """An incident with all that was said, oldest first."""

    id: str = Field(examples=["k3x9q2m7w1zd"])
    title: str
    impact: Impact
    phase: Phase
    open: bool
    draft: bool
    began_at: Told
    declared_at: Told | None
    declared_by: str
    published_at: Told | None
    resolved_at: Told | None
    merged_into: str | None = Field(description="the incident that this one lives on in")
    rule: str = Field(description="the estate's rule that opened it; empty when a person did")
    affected: list[Affected]
    updates: list[UpdateTold]
    changes: list[Changed]
    version: int = Field(description="counts stored changes; the ETag", examples=[3])

    @classmethod
    def of(cls, incident: Incident, directory: Directory) -> "IncidentTold":
        return cls(
            id=incident.id,
            title=incident.title,
            impact=incident.impact,
            phase=incident.phase,
            open=incident.is_open,
            draft=incident.draft,
            began_at=incident.began_at,
            declared_at=incident.declared_at,
            declared_by=incident.declared_by,
            published_at=incident.published_at,
            resolved_at=incident.resolved_at,
            merged_into=incident.merged_into,
            rule=incident.rule,
            affected=Affected.all_of(incident.affected, directory),
            updates=[UpdateTold.of(each, directory) for each in incident.updates],
            changes=Changed.all_of(incident.changes),
            version=incident.version,
        )


class IncidentPage(BaseModel):
    """Incidents, newest beginning first."""

    items: list[IncidentTold]
    next: str | None = Field(description="the cursor of the next page; null on the last one")


class IncidentPreviewed(Previewed):
    """What would be told of an incident, and to whom."""

    incident: IncidentTold
