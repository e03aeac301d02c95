"""`holdfast incident` on the database of a running Holdfast."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from holdfast.adapters.postgres.announcements import PostgresAnnouncements
from holdfast.adapters.postgres.connect import Pool
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.communication import directory_in, incident_desk
from holdfast.communication.errors import NotPossible, NotThere
from holdfast.communication.incident_desk import NewIncident, NewUpdate, Preview
from holdfast.communication.model import ComponentState, Impact, Incident, Phase
from holdfast.communication.templates import impact_of, variables_of, written
from holdfast.estate.communication import IncidentTemplate
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.declaring import IncidentOutcome, IncidentRequest
from holdfast.kernel.clock import SystemClock

LOOK_BACK = timedelta(days=90)
MOST_LISTED = 500
_SUGGESTED = {
    Impact.NONE: ComponentState.OPERATIONAL,
    Impact.MINOR: ComponentState.DEGRADED,
    Impact.MAJOR: ComponentState.PARTIAL_OUTAGE,
    Impact.CRITICAL: ComponentState.MAJOR_OUTAGE,
}


class IncidentCommands:
    """Steps as this machine's user takes them."""

    def __init__(self, pool: Pool, inventory: Inventory) -> None:
        self._templates = inventory.estate.communication.templates
        self._directory = directory_in(inventory)
        self._announcements = PostgresAnnouncements(pool)
        self._desk = incident_desk(pool, SystemClock(), lambda: self._directory)
        self._actor = command_line()

    async def listed(self, *, over: bool) -> Sequence[IncidentOutcome]:
        """The open ones, drafts too; with `over` also those that ended in the last 90 days."""
        now = datetime.now(UTC)
        since = now - LOOK_BACK if over else now
        found = await self._desk.incidents(since=since, limit=MOST_LISTED)
        return [self._outcome(each) for each in found if over or each.is_open]

    async def show(self, incident_id: str) -> IncidentOutcome:
        return self._outcome(await self._desk.incident(incident_id))

    async def do(self, request: IncidentRequest) -> IncidentOutcome:
        """Take the step, or with a dry run find out what it would tell, and whom."""
        match request.step:
            case "declare":
                return await self._declare(request)
            case "update":
                return await self._update(request)
            case "open":
                before = await self._desk.incident(request.incident_id)
                foreseen = await self._desk.preview_publication(before.id)
                act = self._desk.publish(before.id, self._actor)
                return await self._taken(request, before, foreseen, act)
            case "merge":
                before = await self._desk.incident(request.into)
                foreseen = await self._desk.preview_merge(request.incident_id, before.id, self._actor)
                act = self._desk.merge(request.incident_id, before.id, self._actor)
                return await self._taken(request, before, foreseen, act)
            case _:
                return await self._correct(request)

    async def _declare(self, request: IncidentRequest) -> IncidentOutcome:
        template = self._template(request.template)
        impact = _impact(request.impact) if request.impact else impact_of(template)
        affected = self._affected(request.components, impact)
        now = datetime.now(UTC)
        began = request.began_at or request.at
        title, body = _written(request, template, self._known(affected, began or now))
        new = NewIncident(
            title,
            impact,
            _phase(request.phase or ("investigating" if template is None else template.phase)),
            body,
            affected,
            request.began_at,
            draft=request.draft,
            at=request.at,
        )
        foreseen = await self._desk.preview(new, self._actor)
        return await self._taken(request, None, foreseen, self._desk.declare(new, self._actor))

    async def _update(self, request: IncidentRequest) -> IncidentOutcome:
        incident = await self._desk.incident(request.incident_id)
        template = self._template(request.template)
        affected = {**incident.affected, **self._affected(request.components, incident.impact)}
        known = self._known(affected, incident.began_at)
        _, body = _written(request, template, known)
        phase = request.phase or (incident.phase.value if template is None else template.phase)
        # Without a word on components a resolution means that all are well.
        new = NewUpdate(_phase(phase), body, affected if request.components else None, request.at)
        foreseen = await self._desk.preview((incident.id, new), self._actor)
        act = self._desk.post(incident.id, new, self._actor)
        return await self._taken(request, incident, foreseen, act)

    async def _correct(self, request: IncidentRequest) -> IncidentOutcome:
        """What changes what was said, and tells nobody: the page shows the trail."""
        if request.step == "edit":
            incident = await self._desk.incident(request.incident_id)
            said = {each.id: each.body for each in incident.updates}
            body = request.body if request.body is not None else said.get(request.update_id, "")
            edited = await self._desk.edit(
                incident.id, request.update_id, body=body, shown_at=request.at, actor=self._actor
            )
            return self._outcome(edited)
        changed = await self._desk.change(
            request.incident_id,
            title=request.title,
            impact=None if request.impact is None else _impact(request.impact),
            began_at=request.began_at,
            actor=self._actor,
        )
        return self._outcome(changed)

    def _template(self, key: str | None) -> IncidentTemplate | None:
        if key is None:
            return None
        found = self._templates.get(key)
        if found is None:
            hint = did_you_mean(key, self._templates, otherwise="declare it under `communication.templates`")
            raise NotThere(f"there is no template {key!r}", hint=hint)
        return found

    def _affected(self, patterns: Mapping[str, str], impact: Impact) -> dict[int, ComponentState]:
        """Of several patterns that name a component, the last one counts."""
        return {
            component_id: _state(state) if state else _SUGGESTED[impact]
            for pattern, state in patterns.items()
            for component_id in self._directory.named([pattern])
        }

    def _known(self, affected: Mapping[int, ComponentState], since: datetime) -> dict[str, str]:
        return variables_of(self._directory.places, affected, since)

    def _outcome(self, incident: Incident) -> IncidentOutcome:
        places = self._directory.places
        names = {each: f"{place.cluster_key}/{place.key}" for each, place in places.items()}
        return IncidentOutcome(incident, names)

    async def _taken(
        self,
        request: IncidentRequest,
        before: Incident | None,
        foreseen: Preview,
        act: Coroutine[None, None, Incident],
    ) -> IncidentOutcome:
        """The step taken by awaiting `act`, or with a dry run as it is foreseen, and who is told of it."""
        assert foreseen.notice.incident is not None, "an incident's notice has it"  # noqa: S101
        if request.dry_run:
            act.close()
            after = foreseen.notice.incident
            return replace(self._outcome(after), audience=foreseen.audience, dry_run=True)
        after = await act
        return replace(self._outcome(after), audience=None if after == before else foreseen.audience)


def _written(
    request: IncidentRequest, template: IncidentTemplate | None, known: Mapping[str, str]
) -> tuple[str, str]:
    """What is given goes before what the template says."""
    if template is None:
        return request.title or "", request.body or ""
    # What is not asked for need not be filled in.
    left = {"title": "" if request.title is not None else template.title}
    asked = template.model_copy(update=left if request.body is None else {**left, "body": ""})
    title, body = written(asked, known, request.variables)
    return request.title or title, request.body or body


def _impact(text: str) -> Impact:
    try:
        return Impact(text)
    except ValueError as error:
        raise _unknown("impact", text, [each.value for each in Impact]) from error


def _phase(text: str) -> Phase:
    try:
        return Phase(text)
    except ValueError as error:
        raise _unknown("phase", text, [each.value for each in Phase]) from error


def _state(text: str) -> ComponentState:
    try:
        return ComponentState(text)
    except ValueError as error:
        raise _unknown("state", text, [each.value for each in ComponentState]) from error


def _unknown(what: str, text: str, possible: Sequence[str]) -> NotPossible:
    return NotPossible(f"there is no {what} {text!r}", hint=did_you_mean(text, possible))
