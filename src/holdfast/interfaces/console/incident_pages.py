"""Incidents in the console: what is open, how to say what is known, and who would be told before they are.

Every form can be looked at first (`preview`), which stores nothing and tells nobody. What somebody wrote is
never lost to a refusal: the form comes back as it was sent, with what is wrong above it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from holdfast.communication.directory import Directory
from holdfast.communication.errors import ChangedMeanwhile, NotPossible
from holdfast.communication.incident_desk import IncidentDesk, Preview, fresh_id
from holdfast.communication.markdown import html_of
from holdfast.communication.model import ComponentState, Impact, Incident, Phase, Place
from holdfast.estate.communication import IncidentTemplate
from holdfast.estate.model import zone
from holdfast.identity.model import Right
from holdfast.interfaces.console.incident_forms import IncidentForm, UpdateForm, chosen, ids_of, trouble_of
from holdfast.interfaces.console.moments import local_text, moment_of
from holdfast.interfaces.console.shell import ConsolePage, actor_of, form, page, redirect, shell_of
from holdfast.kernel.errors import HoldfastError

RECENT = timedelta(days=90)
STATES = (
    ComponentState.DEGRADED,
    ComponentState.PARTIAL_OUTAGE,
    ComponentState.MAJOR_OUTAGE,
    ComponentState.OPERATIONAL,
)
PHASES = (Phase.INVESTIGATING, Phase.IDENTIFIED, Phase.MONITORING, Phase.RESOLVED)

Templates = Callable[[], Mapping[str, IncidentTemplate]]


class IncidentPages:
    """The pages over an `IncidentDesk`. `templates` and `directory` are asked anew each time."""

    def __init__(self, desk: IncidentDesk, directory: Callable[[], Directory], templates: Templates) -> None:
        self._desk = desk
        self._directory = directory
        self._templates = templates

    def pages(self) -> Sequence[ConsolePage]:
        write = Right.INCIDENTS
        one = "/incidents/{incident_id}"
        return [
            ConsolePage(
                "/incidents",
                self.listed,
                Right.READ,
                title="Incidents",
                about="Say what is wrong, and what is being done.",
            ),
            ConsolePage("/incidents/new", self.declare, write, methods=("GET", "POST")),
            ConsolePage(one, self.shown, Right.READ),
            ConsolePage(f"{one}/updates", self.post, write, methods=("GET", "POST")),
            ConsolePage(f"{one}/publish", self.publish, write, methods=("GET", "POST")),
            ConsolePage(f"{one}/details", self.change, write, methods=("GET", "POST")),
            ConsolePage(f"{one}/merge", self.merge, write, methods=("GET", "POST")),
            ConsolePage(f"{one}/updates/{{update_id}}", self.edit, write, methods=("GET", "POST")),
        ]

    # --- looking

    async def listed(self, request: Request) -> Response:
        """Drafts and what is open first, then what ended in the last 90 days."""
        since = shell_of(request).clock.now() - RECENT
        found = await self._desk.incidents(since=since)
        living = [each for each in found if each.merged_into is None]
        return page(
            request,
            "incidents.html",
            title="Incidents",
            drafts=[each for each in living if each.draft],
            open=[each for each in living if each.is_open and not each.draft],
            over=[each for each in living if not each.is_open and not each.draft],
            names=self._names,
        )

    async def shown(self, request: Request) -> Response:
        incident = await self._incident(request)
        return self._page(request, incident, UpdateForm.of(incident))

    # --- saying something

    async def declare(self, request: Request) -> Response:
        """A new incident. GET with `?template=` begins with its words."""
        if request.method == "GET":
            return self._declaring(request, self._begun(request))
        fields = form(request)
        try:
            sent = IncidentForm.sent(fields)
        except NotPossible as error:
            return self._declaring(request, IncidentForm(fresh_id()), trouble=error)
        step = fields.get("do", "")
        try:
            now = shell_of(request).clock.now()
            new = sent.new(self._directory(), _zone(request), now, draft=step == "draft")
            if step == "preview":
                return self._declaring(
                    request, sent, preview=await self._desk.preview(new, actor_of(request).name)
                )
            made = await self._desk.declare(new, actor_of(request).name, incident_id=sent.key)
        except HoldfastError as error:
            return self._declaring(request, sent, trouble=error)
        said = "It is kept as a draft. Nobody outside sees it." if made.draft else "It is public."
        return redirect(request, f"/incidents/{made.id}", told=said)

    async def post(self, request: Request) -> Response:
        """The next update. Somebody else's that its writer has not seen is shown first."""
        incident = await self._incident(request)
        if request.method == "GET":
            return redirect(request, f"/incidents/{incident.id}")
        try:
            sent = UpdateForm.sent(form(request))
        except NotPossible as error:
            return self._page(request, incident, UpdateForm.of(incident), trouble=error)
        desk = self._desk.as_read(incident.id, sent.seen)
        try:
            new = sent.new(incident, self._directory(), _zone(request))
            if form(request).get("do") == "preview":
                preview = await desk.preview((incident.id, new), actor_of(request).name)
                return self._page(request, incident, sent, preview=preview)
            await desk.post(incident.id, new, actor_of(request).name)
        except ChangedMeanwhile:
            trouble = NotPossible(
                "somebody changed this incident while you were writing",
                hint="look at what is new below; your text is still here, to be sent again if it holds",
            )
            return self._page(request, await self._incident(request), sent, trouble=trouble)
        except HoldfastError as error:
            return self._page(request, incident, sent, trouble=error)
        return redirect(request, f"/incidents/{incident.id}", told="Said.")

    async def publish(self, request: Request) -> Response:
        """From a draft to everybody: who would be told, then one button."""
        incident = await self._incident(request)
        if request.method == "GET":
            preview = await self._desk.preview_publication(incident.id)
            return self._confirming(request, incident, "Make it public", "publish", preview)
        await self._desk.publish(incident.id, actor_of(request).name)
        return redirect(request, f"/incidents/{incident.id}", told="It is public.")

    async def change(self, request: Request) -> Response:
        """Title, impact and beginning. They show with their trail, and nobody is told."""
        incident = await self._incident(request)
        if request.method == "GET":
            return self._changing(request, incident)
        fields = form(request)
        try:
            await self._desk.change(
                incident.id,
                title=fields.get("title", ""),
                impact=chosen(Impact, fields.get("impact", ""), "the impact"),
                began_at=moment_of(fields.get("began", ""), _zone(request), "since when"),
                actor=actor_of(request).name,
            )
        except HoldfastError as error:
            return self._changing(request, incident, fields, error)
        return redirect(request, f"/incidents/{incident.id}", told="Changed. What it was stays readable.")

    async def merge(self, request: Request) -> Response:
        """Into another one, which is chosen first and looked at then."""
        incident = await self._incident(request)
        into = request.query_params.get("into", "")
        if request.method == "POST":
            target = await self._desk.merge(
                incident.id, form(request).get("into", ""), actor_of(request).name
            )
            return redirect(request, f"/incidents/{target.id}", told="Merged. Its updates are in here now.")
        if into:
            preview = await self._desk.preview_merge(incident.id, into, actor_of(request).name)
            title = f"Merge it into “{preview.notice.incident.title if preview.notice.incident else into}”"
            return self._confirming(request, incident, title, "merge", preview, into=into)
        others = [
            each
            for each in await self._desk.incidents(since=shell_of(request).clock.now() - RECENT)
            if each.id != incident.id and each.merged_into is None and not each.draft
        ]
        return page(
            request,
            "incident_merge.html",
            title=f"Merge: {incident.title}",
            incident=incident,
            others=others,
        )

    async def edit(self, request: Request) -> Response:
        """What an update says, and the time that it shows. What it said stays readable."""
        incident = await self._incident(request)
        update = next(
            (each for each in incident.updates if each.id == request.path_params["update_id"]), None
        )
        if update is None:
            return redirect(
                request, f"/incidents/{incident.id}", told="There is no such update.", trouble=True
            )
        fields, trouble = None, None
        if request.method == "POST":
            fields = form(request)
            try:
                await self._desk.edit(
                    incident.id,
                    update.id,
                    body=fields.get("body", ""),
                    shown_at=moment_of(fields.get("at", ""), _zone(request), "the time"),
                    actor=actor_of(request).name,
                )
            except HoldfastError as error:
                trouble = error
            else:
                return redirect(request, f"/incidents/{incident.id}", told="Edited.")
        return page(
            request,
            "incident_edit.html",
            status=200 if trouble is None else 422,
            title=f"Edit an update: {incident.title}",
            incident=incident,
            body=update.body if fields is None else fields.get("body", ""),
            at=local_text(update.at, _zone(request)) if fields is None else fields.get("at", ""),
            update=update,
            trouble=trouble and trouble_of(trouble),
        )

    # --- parts

    async def _incident(self, request: Request) -> Incident:
        return await self._desk.incident(request.path_params["incident_id"])

    def _begun(self, request: Request) -> IncidentForm:
        """An empty form, or one that a link filled in: `?template=outage&component=3`."""
        offered = set(self._directory().places)
        asked = frozenset(ids_of(request.query_params.getlist("component")))
        begun = IncidentForm(fresh_id(), components=asked & offered)
        template = self._templates().get(request.query_params.get("template", ""))
        return begun if template is None else begun.from_template(template)

    def _names(self, incident: Incident) -> list[str]:
        return [place.full_name for place in self._directory().places_of(incident.affected).values()]

    def _declaring(
        self,
        request: Request,
        begun: IncidentForm,
        *,
        preview: Preview | None = None,
        trouble: HoldfastError | None = None,
    ) -> Response:
        return page(
            request,
            "incident_new.html",
            status=200 if trouble is None else 422,
            title="Declare an incident",
            form=begun,
            clusters=by_cluster(self._directory()),
            impacts=tuple(Impact),
            phases=PHASES,
            states=STATES,
            templates={key: each for key, each in self._templates().items() if each.title},
            preview=preview,
            html_of=html_of,
            trouble=trouble and trouble_of(trouble),
        )

    def _page(
        self,
        request: Request,
        incident: Incident,
        update: UpdateForm,
        *,
        preview: Preview | None = None,
        trouble: HoldfastError | None = None,
    ) -> Response:
        phases = (*PHASES, Phase.POSTMORTEM) if incident.phase.is_over else PHASES
        return page(
            request,
            "incident.html",
            status=200 if trouble is None else 422,
            title=incident.title,
            incident=incident,
            form=update,
            phases=phases,
            states=STATES,
            clusters=by_cluster(self._directory()),
            places=self._directory().places,
            templates=self._templates(),
            chosen_template=self._templates().get(request.query_params.get("template", "")),
            public_url=_public_url(request, incident),
            preview=preview,
            html_of=html_of,
            trouble=trouble and trouble_of(trouble),
        )

    def _changing(
        self,
        request: Request,
        incident: Incident,
        fields: Mapping[str, str] | None = None,
        trouble: HoldfastError | None = None,
    ) -> Response:
        as_it_is = {
            "title": incident.title,
            "impact": str(incident.impact),
            "began": local_text(incident.began_at, _zone(request)),
        }
        return page(
            request,
            "incident_details.html",
            status=200 if trouble is None else 422,
            title=f"Correct: {incident.title}",
            incident=incident,
            fields=as_it_is if fields is None else {name: fields.get(name, "") for name in as_it_is},
            impacts=tuple(Impact),
            trouble=trouble and trouble_of(trouble),
        )

    def _confirming(
        self, request: Request, incident: Incident, title: str, step: str, preview: Preview, into: str = ""
    ) -> Response:
        return page(
            request,
            "incident_confirm.html",
            title=title,
            incident=incident,
            step=step,
            into=into,
            preview=preview,
            html_of=html_of,
        )


def by_cluster(directory: Directory) -> Mapping[str, Mapping[int, Place]]:
    """The components by the name of their cluster, in the file's order."""
    found: dict[str, dict[int, Place]] = {}
    for component_id, place in directory.places.items():
        found.setdefault(place.cluster, {})[component_id] = place
    return found


def _zone(request: Request) -> ZoneInfo:
    return zone(shell_of(request).site().time_zone)


def _public_url(request: Request, incident: Incident) -> str:
    """Where readers find it; empty while they do not."""
    site = shell_of(request).site()
    if not incident.is_public or site.url is None:
        return ""
    return f"{site.url.rstrip('/')}/{site.languages[0]}/incidents/{incident.id}"
