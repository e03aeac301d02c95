"""What several answers hold: components as they were told of, what was changed, who would be told."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

from holdfast.communication.directory import Directory
from holdfast.communication.lead_times import LeadTime
from holdfast.communication.model import Audience, Change, Channel, ComponentState, Event
from holdfast.interfaces.api.words import Told


class Affected(BaseModel):
    """A component with the state that readers were told of it."""

    id: int = Field(description="the component's number", examples=[3])
    component: str | None = Field(
        description="cluster/component; null once it is not in the estate any more", examples=["eu/api"]
    )
    name: str | None = Field(description="as readers see it", examples=["EU API"])
    state: ComponentState

    @classmethod
    def all_of(cls, affected: Mapping[int, ComponentState], directory: Directory) -> list["Affected"]:
        return [
            cls(id=each, component=pair_of(each, directory), name=name_of(each, directory), state=state)
            for each, state in sorted(affected.items())
        ]


class Concerned(BaseModel):
    """A component that something is about."""

    id: int = Field(examples=[3])
    component: str | None = Field(
        description="cluster/component; null once it is not in the estate any more", examples=["eu/api"]
    )
    name: str | None = Field(examples=["EU API"])


def concerned(component_ids: frozenset[int], directory: Directory) -> list[Concerned]:
    return [
        Concerned(id=each, component=pair_of(each, directory), name=name_of(each, directory))
        for each in sorted(component_ids)
    ]


def pair_of(component_id: int, directory: Directory) -> str | None:
    place = directory.places.get(component_id)
    return f"{place.cluster_key}/{place.key}" if place else None


def name_of(component_id: int, directory: Directory) -> str | None:
    place = directory.places.get(component_id)
    return place.full_name if place else None


class Changed(BaseModel):
    """Something that was changed: which field, from what, to what, by whom."""

    at: Told
    actor: str
    field: str
    before: str
    after: str

    @classmethod
    def all_of(cls, changes: tuple[Change, ...]) -> list["Changed"]:
        return [
            cls(at=each.at, actor=each.actor, field=each.field, before=each.before, after=each.after)
            for each in changes
        ]


class Recipients(BaseModel):
    """Who would be told: subscribers, by channel."""

    total: int = Field(ge=0, examples=[1250])
    by_channel: dict[Channel, int] = Field(examples=[{"mail": 1200, "webhook": 50}])
    customers: list[str] | None = Field(
        description="null when everybody may know; else only these customers may, by key"
    )

    @classmethod
    def of(cls, audience: Audience, customers: tuple[str, ...] | None) -> "Recipients":
        return cls(
            total=audience.total,
            by_channel=dict(audience.by_channel),
            customers=None if customers is None else list(customers),
        )


class NoticeGiven(BaseModel):
    """An agreement that work concerns: the notice that it asks for, and what it gets when announced now."""

    agreement: str = Field(examples=["acme-gold"])
    customer: str
    asked_s: float
    given_s: float
    suffices: bool = Field(description="whether the work would leave the agreement's counted time")

    @classmethod
    def of(cls, lead: LeadTime) -> "NoticeGiven":
        return cls(
            agreement=lead.agreement,
            customer=lead.customer,
            asked_s=lead.asked.total_seconds(),
            given_s=lead.given.total_seconds(),
            suffices=lead.suffices,
        )


class Previewed(BaseModel):
    """What would be told, and to whom. Nothing was stored, and nobody was told."""

    event: Event
    recipients: Recipients
