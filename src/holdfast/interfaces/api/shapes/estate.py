"""The estate as it is now: clusters, components, agreements, templates."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from holdfast.availability.sla import MEASURED, Figure, percent_text
from holdfast.availability.views import AgreementReport, ClusterStatus, ComponentHistory
from holdfast.communication.model import ComponentState, Impact, Incident, Phase
from holdfast.communication.templates import impact_of, names_in
from holdfast.estate.communication import IncidentTemplate
from holdfast.estate.model import Agreement, Estate
from holdfast.interfaces.api.shapes.incidents import AffectedStates
from holdfast.interfaces.api.words import Asked, Moment, Text, Told
from holdfast.interfaces.site.wording import shown, worst_shown
from holdfast.kernel.durations import format_duration


class ComponentTold(BaseModel):
    """A component as it is now, and its availability over the days that are looked at."""

    id: int = Field(examples=[3])
    component: str = Field(examples=["eu/api"])
    cluster: str = Field(examples=["eu"])
    key: str = Field(examples=["api"])
    name: str
    description: str
    state: ComponentState = Field(description="with maintenance laid over what is measured")
    measured: ComponentState
    since: Told | None
    reason: str
    because_of: list[str] = Field(description="dependencies that explain it", examples=[["eu/database"]])
    availability_percent: str | None = Field(description="rounded down", examples=["99.95123"])
    days: int
    formula: str
    private: bool = Field(description="shown to the customers of its cluster only")

    @classmethod
    def of(cls, history: ComponentHistory, *, private: bool) -> "ComponentTold":
        status = history.status
        return cls(
            id=status.id,
            component=f"{status.cluster_key}/{status.key}",
            cluster=status.cluster_key,
            key=status.key,
            name=status.name,
            description=status.description,
            state=ComponentState(shown(status).label),
            measured=ComponentState(status.state.label if status.state in MEASURED else "unknown"),
            since=status.since,
            reason=status.reason,
            because_of=[f"{each.cluster_key}/{each.key}" for each in status.because_of],
            availability_percent=percent_text(history.figure.availability, 5),
            days=len(history.days),
            formula=history.figure.formula,
            private=private,
        )


class ClusterTold(BaseModel):
    """A cluster as it is now."""

    key: str = Field(examples=["eu"])
    name: str
    region: str
    state: ComponentState
    private: bool
    components: list[ComponentTold]

    @classmethod
    def of(cls, cluster: ClusterStatus, estate: Estate) -> "ClusterTold":
        declared = estate.clusters.get(cluster.key)
        # What is not in the file any more was somebody's: it counts as private until it is gone here too.
        private = declared is None or declared.private
        return cls(
            key=cluster.key,
            name=cluster.name,
            region=cluster.region,
            state=ComponentState(worst_shown(cluster.components).label),
            private=private,
            components=[ComponentTold.of(each, private=private) for each in cluster.components],
        )


class StatusTold(BaseModel):
    """The whole estate as it is now."""

    as_of: Told
    state: ComponentState
    sample: bool = Field(description="whether sample history is in it")
    clusters: list[ClusterTold]


class ClusterPage(BaseModel):
    """Clusters, in the estate's order."""

    items: list[ClusterTold]
    next: str | None


class ComponentPage(BaseModel):
    """Components, in the estate's order."""

    items: list[ComponentTold]
    next: str | None


class TemplateTold(BaseModel):
    """A prepared incident or update."""

    key: str
    name: str
    title: str = Field(description="empty for one that is an update only")
    body: str = Field(description="Markdown, with variables in {{ }}")
    impact: Impact
    phase: Phase
    variables: list[str] = Field(description="what must be given to fill it in", examples=[["cluster"]])

    @classmethod
    def of(cls, key: str, template: IncidentTemplate) -> "TemplateTold":
        return cls(
            key=key,
            name=template.name,
            title=template.title,
            body=template.body,
            impact=impact_of(template),
            phase=Phase(template.phase),
            variables=list(dict.fromkeys([*names_in(template.title), *names_in(template.body)])),
        )


class TemplatePage(BaseModel):
    """Templates, in the estate's order."""

    items: list[TemplateTold]
    next: str | None


class Fill(Asked):
    """What the text is about: the components give most variables, others are given by name."""

    affected: AffectedStates = Field(default_factory=dict)
    began_at: Moment | None = Field(None, description="for `since`; now when left out")
    variables: dict[Text, Text] = Field(
        default_factory=dict,
        max_length=50,
        description="go before what the components give",
        examples=[{"ticket": "OPS-4711"}],
    )


class Filled(BaseModel):
    """A template with its variables filled in, ready to be declared or posted."""

    title: str
    body: str
    impact: Impact
    phase: Phase


class AgreementTold(BaseModel):
    """An agreement with a customer."""

    key: str
    name: str
    customer: str = Field(description="the customer's key")
    customer_name: str
    components: list[str] = Field(examples=[["eu/*"]])
    objective_percent: str = Field(examples=["99.9"])
    window: str = Field(description="calendar_month, or the length of a rolling window", examples=["30d"])
    time_zone: str

    @classmethod
    def of(cls, key: str, agreement: Agreement, estate: Estate) -> "AgreementTold":
        window = agreement.window
        return cls(
            key=key,
            name=agreement.name,
            customer=agreement.customer,
            customer_name=estate.customers[agreement.customer].name,
            components=list(agreement.components),
            objective_percent=str(agreement.objective),
            window=window if isinstance(window, str) else format_duration(window),
            time_zone=agreement.time_zone,
        )


class AgreementPage(BaseModel):
    """Agreements, in the estate's order."""

    items: list[AgreementTold]
    next: str | None


class FigureTold(BaseModel):
    """Availability with all that it was made of. Durations are in seconds."""

    availability_percent: str | None = Field(description="rounded down; null when nothing counted")
    counted_s: float
    weighted_downtime_s: float
    excluded_maintenance_s: float
    by_state_s: dict[str, float]

    @classmethod
    def of(cls, figure: Figure) -> "FigureTold":
        return cls(
            availability_percent=percent_text(figure.availability, 5),
            counted_s=figure.counted.total_seconds(),
            weighted_downtime_s=figure.downtime.total_seconds(),
            excluded_maintenance_s=figure.tally.excluded.total_seconds(),
            by_state_s={state.label: figure.tally.of(state).total_seconds() for state in MEASURED},
        )


class IncidentNamed(BaseModel):
    """An incident, named."""

    id: str = Field(examples=["k3x9q2m7w1zd"])
    title: str


class EventTold(BaseModel):
    """A stretch of time in which a component was not operational."""

    component: str
    state: str
    start: Told = Field(serialization_alias="from")
    end: Told = Field(serialization_alias="to")
    reason: str
    because_of: list[str]
    sample: bool
    incident: IncidentNamed | None = Field(description="what was declared of it; null when nothing was")


class FrozenTold(BaseModel):
    """A month as it was written down when it closed; the newest correction is first."""

    frozen_at: Told | None
    formula: str
    intervals_sha256: str
    figures: dict[str, Any]


class ReportTold(BaseModel):
    """An agreement over one of its windows."""

    agreement: AgreementTold
    formula: str
    start: Told = Field(serialization_alias="from")
    end: Told = Field(serialization_alias="to")
    elapsed_to: Told = Field(description="the figures cover the window up to here")
    sample: bool
    met: bool | None = Field(description="whether the objective holds so far; null while there is no figure")
    total: FigureTold
    components: dict[str, FigureTold]
    budget_allowed_s: float
    budget_spent_s: float
    budget_left_s: float
    credit_percent: str = Field(description="of the fee, owed")
    events: list[EventTold]
    frozen: list[FrozenTold]

    @classmethod
    def of(cls, report: AgreementReport, declared: Sequence[Incident | None], estate: Estate) -> "ReportTold":
        """`declared` has one incident, or None, for each of the report's events."""
        statement = report.statement
        return cls(
            agreement=AgreementTold.of(report.key, report.agreement, estate),
            formula=statement.figure.formula,
            start=statement.window.start,
            end=statement.window.end,
            elapsed_to=statement.elapsed.end,
            sample=report.sample,
            met=statement.met,
            total=FigureTold.of(statement.figure),
            components={
                f"{each.cluster_key}/{each.key}": FigureTold.of(statement.by_component[each.id])
                for each in report.components
            },
            budget_allowed_s=statement.budget.allowed.total_seconds(),
            budget_spent_s=statement.budget.spent.total_seconds(),
            budget_left_s=statement.budget.left.total_seconds(),
            credit_percent=str(statement.credit),
            events=[
                EventTold(
                    component=f"{status.cluster_key}/{status.key}",
                    state=event.state.label,
                    start=event.window.start,
                    end=event.window.end,
                    reason=event.reason,
                    because_of=[f"{each.cluster_key}/{each.key}" for each in event.because_of],
                    sample=event.sample,
                    incident=incident and IncidentNamed(id=incident.id, title=incident.title),
                )
                for (status, event), incident in zip(report.events, declared, strict=True)
            ],
            frozen=[
                FrozenTold(
                    frozen_at=row.frozen_at,
                    formula=row.formula,
                    intervals_sha256=row.intervals_sha256,
                    figures=dict(row.figures),
                )
                for row in report.frozen
            ],
        )
