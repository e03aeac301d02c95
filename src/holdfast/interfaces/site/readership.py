"""Who may know of what: everybody, or the customers whose agreements cover a private cluster.

What is cut out here is in no page, feed, badge or figure: they are all made of the rest. A component of whose
privacy nothing is known (it came or went while the estate was being read) counts as private.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from holdfast.availability.model import Maintenance as CountedMaintenance
from holdfast.availability.model import State, worst
from holdfast.availability.views import (
    AgreementReport,
    Cause,
    ClusterStatus,
    ComponentHistory,
    ComponentReport,
    ComponentStatus,
    Day,
    Event,
    MonthHistory,
    Overview,
)
from holdfast.communication.directory import Directory, directory_of
from holdfast.communication.model import ComponentState, Incident, Maintenance, Place
from holdfast.communication.news import News, mentioned, told_states
from holdfast.estate.model import Estate
from holdfast.estate.ports import Registered
from holdfast.estate.scope import components_of

_TOLD = {
    ComponentState.OPERATIONAL: State.OPERATIONAL,
    ComponentState.DEGRADED: State.DEGRADED,
    ComponentState.PARTIAL_OUTAGE: State.PARTIAL_OUTAGE,
    ComponentState.MAJOR_OUTAGE: State.MAJOR_OUTAGE,
}
"""Maintenance and ignorance are told by their own means, and say nothing of how bad it is."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A customer: the components that its agreements cover, and those agreements' keys with their names."""

    key: str
    name: str
    component_ids: frozenset[int] = frozenset()
    agreements: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Readership:
    """Who there is to read, and what is not for everybody. `directory` is None where nothing is private."""

    directory: Directory | None = None
    holders: Mapping[str, Holder] = field(default_factory=dict)

    @property
    def places(self) -> Mapping[int, Place]:
        return self.directory.places if self.directory else {}

    @property
    def mark(self) -> int:
        """Another number whenever somebody may see more or less."""
        private = frozenset(self.directory.private.items()) if self.directory else None
        return hash((private, frozenset((each.key, each.component_ids) for each in self.holders.values())))

    def stricter(self, other: "Readership") -> "Readership":
        """This one, with what is private by `other` private too, as far as that knows anything."""
        if self.directory is None or other.directory is None or not other.directory.places:
            return self
        private = {**self.directory.private, **other.directory.private}
        return replace(self, directory=replace(self.directory, private=private))

    @property
    def has_secrets(self) -> bool:
        return self.directory is not None and bool(self.directory.private)

    def is_public(self, component_id: int) -> bool:
        directory = self.directory
        return directory is None or (
            component_id in directory.places and component_id not in directory.private
        )

    def is_for(self, told: Incident | Maintenance, customer: str | None = None) -> bool:
        """Whether that customer (None: everybody) may know of it."""
        audience = None if self.directory is None else self.directory.audience_of(mentioned(told))
        return audience is None or customer in audience


def readership_of(estate: Estate, registered: Registered) -> Readership:
    """The readership of an estate in force."""
    holders = {}
    for key, customer in estate.customers.items():
        theirs = {name: each for name, each in estate.agreements.items() if each.customer == key}
        pairs = {pair for each in theirs.values() for pair in components_of(each, estate)}
        ids = frozenset(registered.components[pair] for pair in pairs if pair in registered.components)
        holders[key] = Holder(key, customer.name, ids, {name: each.name for name, each in theirs.items()})
    return Readership(directory_of(estate, registered), holders)


def public_overview(overview: Overview, readership: Readership) -> Overview:
    """The overview without what is private: its clusters, maintenance, and causes that would name them."""
    if readership.directory is None:
        return overview
    return cut_overview(overview, readership.is_public)


def cut_overview(overview: Overview, keeps: Callable[[int], bool]) -> Overview:
    """The overview of the components that `keeps` keeps, and nothing that tells of others."""
    everything = [each.status for cluster in overview.clusters for each in cluster.components]
    ids = {status.id for status in everything if keeps(status.id)}
    if len(ids) == len(everything):
        return overview
    pairs = {status.identity for status in everything if status.id in ids}
    clusters = []
    for cluster in overview.clusters:
        kept = [_cut_history(each, ids, pairs) for each in cluster.components if each.status.id in ids]
        if kept:
            state = worst(each.status.state for each in kept)
            clusters.append(ClusterStatus(cluster.key, cluster.name, cluster.region, state, kept))
    return Overview(
        overview.at,
        worst(cluster.state for cluster in clusters),
        clusters,
        cut_maintenance(overview.maintenance, ids),
        any(day.sample for cluster in clusters for each in cluster.components for day in each.days),
    )


def cut_maintenance(
    planned: Sequence[CountedMaintenance], ids: set[int] | frozenset[int]
) -> list[CountedMaintenance]:
    """The ones that are about these components alone: a title may name any of those that it covers."""
    return [each for each in planned if each.component_ids <= ids]


def cut_status(
    status: ComponentStatus, ids: set[int] | frozenset[int], pairs: set[tuple[str, str]]
) -> ComponentStatus:
    causes = cut_causes(status.because_of, pairs)
    under_way = status.maintenance
    if under_way is not None and not under_way.component_ids <= ids:
        under_way = replace(under_way, title="", component_ids=under_way.component_ids & ids)
    if causes is status.because_of and under_way is status.maintenance:
        return status
    return replace(status, because_of=causes, maintenance=under_way)


def cut_causes(causes: tuple[Cause, ...], pairs: set[tuple[str, str]]) -> tuple[Cause, ...]:
    if all((each.cluster_key, each.key) in pairs for each in causes):
        return causes
    return tuple(each for each in causes if (each.cluster_key, each.key) in pairs)


def cut_events(events: Sequence[Event], pairs: set[tuple[str, str]]) -> Sequence[Event]:
    if not any(each.because_of for each in events):
        return events
    return [replace(each, because_of=cut_causes(each.because_of, pairs)) for each in events]


def _cut_history(history: ComponentHistory, ids: set[int], pairs: set[tuple[str, str]]) -> ComponentHistory:
    return replace(
        history,
        status=cut_status(history.status, ids, pairs),
        days=[_cut_day(day, pairs) for day in history.days],
    )


def _cut_day(day: Day, pairs: set[tuple[str, str]]) -> Day:
    events = cut_events(day.events, pairs)
    return day if events is day.events else replace(day, events=events)


def public_news(news: News, readership: Readership) -> News:
    """The news that everybody may know."""
    if readership.directory is None:
        return news
    return _news_for(news, readership, None)


def _news_for(news: News, readership: Readership, customer: str | None) -> News:
    return replace(
        news,
        incidents=[each for each in news.incidents if readership.is_for(each, customer)],
        maintenance=[each for each in news.maintenance if readership.is_for(each, customer)],
    )


def holders_news(news: News, readership: Readership, holder: Holder) -> News:
    """What concerns a customer: its agreements' components, or none in particular. No others are named."""
    theirs = _news_for(news, readership, holder.key)
    return replace(
        theirs,
        incidents=[
            _cut_incident(each, holder.component_ids)
            for each in theirs.incidents
            if not mentioned(each) or mentioned(each) & holder.component_ids
        ],
        maintenance=[
            replace(each, component_ids=each.component_ids & holder.component_ids)
            for each in theirs.maintenance
            if not each.component_ids or each.component_ids & holder.component_ids
        ],
    )


def incident_for(incident: Incident | None, readership: Readership, holder: Holder) -> Incident | None:
    """The incident as that customer may know it; None when it is none of theirs."""
    found = holders_news(News(incidents=[incident] if incident else []), readership, holder).incidents
    return found[0] if found else None


def _cut_incident(incident: Incident, ids: frozenset[int]) -> Incident:
    return replace(
        incident,
        affected={each: state for each, state in incident.affected.items() if each in ids},
        updates=tuple(
            replace(each, affected={one: state for one, state in each.affected.items() if one in ids})
            for each in incident.updates
        ),
    )


def with_told_states(overview: Overview, news: News) -> Overview:
    """The overview with what open incidents tell of its components beside what is measured."""
    told = {each: _TOLD[state] for each, (state, _) in told_states(news.incidents).items() if state in _TOLD}
    if not told:
        return overview
    return replace(
        overview,
        clusters=[
            replace(cluster, components=[_with_told(each, told) for each in cluster.components])
            if any(each.status.id in told for each in cluster.components)
            else cluster
            for cluster in overview.clusters
        ],
    )


def _with_told(history: ComponentHistory, told: Mapping[int, State]) -> ComponentHistory:
    if history.status.id not in told:
        return history
    return replace(history, status=replace(history.status, told=told[history.status.id]))


def cut_component(
    report: ComponentReport, known: ComponentHistory, overview: Overview | None
) -> ComponentReport:
    """The report with what is told of the component, and without causes that `overview` does not show.

    Without `overview` every cause may be named.
    """
    if overview is None:
        told = replace(report.history.status, told=known.status.told)
        return replace(report, history=replace(report.history, status=told))
    ids, pairs = _of(overview)
    status = replace(cut_status(report.history.status, ids, pairs), told=known.status.told)
    history = replace(
        report.history, status=status, days=[_cut_day(day, pairs) for day in report.history.days]
    )
    events = cut_events(report.events, pairs)
    return replace(
        report, history=history, events=events, maintenance=cut_maintenance(report.maintenance, ids)
    )


def cut_month(month: MonthHistory, readership: Readership, overview: Overview) -> MonthHistory:
    """The month without private components, and without causes that `overview` does not show."""
    if not readership.has_secrets:
        return month
    ids, pairs = _of(overview)
    kept = {each.id for each in month.components if readership.is_public(each.id)}
    return replace(
        month,
        components=[cut_status(each, ids, pairs) for each in month.components if each.id in kept],
        figures={each: figure for each, figure in month.figures.items() if each in kept},
        events=[
            (cut_status(status, ids, pairs), cut_events([event], pairs)[0])
            for status, event in month.events
            if status.id in kept
        ],
        maintenance=cut_maintenance(month.maintenance, ids),
    )


def cut_statement(report: AgreementReport, readership: Readership, overview: Overview) -> AgreementReport:
    """The report without causes that its customer may not know of, and without titles that name them."""
    if not readership.has_secrets:
        return report
    theirs = readership.holders.get(report.agreement.customer)
    covered = {each.id for each in report.components} | (theirs.component_ids if theirs else frozenset())

    def keeps(component_id: int) -> bool:
        return component_id in covered or readership.is_public(component_id)

    ids, pairs = _of(cut_overview(overview, keeps))
    return replace(
        report,
        components=[cut_status(each, ids, pairs) for each in report.components],
        events=[(cut_status(s, ids, pairs), cut_events([event], pairs)[0]) for s, event in report.events],
        maintenance=[
            each if each.component_ids <= ids else replace(each, title="") for each in report.maintenance
        ],
    )


def _of(overview: Overview) -> tuple[set[int], set[tuple[str, str]]]:
    """The ids and the keys of the components in an overview."""
    statuses = [each.status for cluster in overview.clusters for each in cluster.components]
    return {each.id for each in statuses}, {each.identity for each in statuses}
