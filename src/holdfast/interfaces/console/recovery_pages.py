"""Recovery: the runs of playbooks, one of them live, and the playbooks that can be started."""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from holdfast.identity.model import Right
from holdfast.identity.roles import roles_of
from holdfast.interfaces.console.bodies import Form
from holdfast.interfaces.console.live import live_page
from holdfast.interfaces.console.shell import ConsolePage, actor_of, form, page, redirect
from holdfast.interfaces.recovery_desk import RecoveryDesk, check_may_work, may_work_with
from holdfast.interfaces.run_words import (
    SIGNS,
    decisive_of,
    left_text,
    length_text,
    remark_text,
    standing_text,
    usual_text,
)
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.ids import id_from
from holdfast.recovery.errors import NotThere, Refused
from holdfast.recovery.evidence import evidence_id
from holdfast.recovery.shelf import found_in
from holdfast.recovery.transitions import How
from holdfast.recovery.views import possible_for

SHOWN = 50
_RUN_ID = re.compile(r"[a-z0-9-]{1,64}")
WAYS = {"retry": How.RETRY, "by-hand": How.BY_HAND, "back": How.BACK}
_WORDS: dict[str, Any] = {
    "signs": SIGNS,
    "left_text": left_text,
    "length_text": length_text,
    "remark_text": remark_text,
    "standing_text": standing_text,
    "usual_text": usual_text,
}


class RecoveryPages:
    """Over the service that the command line uses, too: what is refused there is refused here."""

    def __init__(self, desk: RecoveryDesk) -> None:
        self._desk = desk
        self._recovery = desk.recovery

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(
                "/recovery",
                self.listed,
                Right.READ,
                title="Recovery",
                about="What is done in a disaster, step by step: start it, watch it, agree to it.",
            ),
            ConsolePage("/recovery/runs/{run_id}", self.run, Right.READ),
            ConsolePage("/recovery/runs/{run_id}/step", self.step, Right.READ, methods=("POST",)),
            ConsolePage("/recovery/playbooks/{name}", self.playbook, Right.READ),
            ConsolePage("/recovery/playbooks/{name}", self.start, Right.OPERATE, methods=("POST",)),
            ConsolePage("/recovery/playbooks/{name}/runbook", self.runbook, Right.READ),
        ]

    async def listed(self, request: Request) -> Response:
        """Runs, and playbooks to start."""
        views = await self._desk.newest(SHOWN)
        shelf = self._desk.shelf()
        return live_page(
            request,
            "recovery.html",
            title="Recovery",
            active=[each for each in views if not each.run.state.is_over],
            over=[each for each in views if each.run.state.is_over],
            shelf=[shelf[name] for name in sorted(shelf)],
            recoverable=bool(self._desk.recoverable()),
            **_WORDS,
        )

    async def run(self, request: Request) -> Response:
        """One run, live."""
        return await self._page(request)

    async def step(self, request: Request) -> Response:
        """One button of a run's page: approve, cancel, retry, by-hand, back."""
        run_id, fields = _run_id(request), form(request)
        try:
            said = await self._done(request, run_id, fields)
        except Refused as error:
            return await self._page(request, error)
        return redirect(request, f"/recovery/runs/{run_id}", told=said)

    async def _done(self, request: Request, run_id: str, fields: Form) -> str:
        actor, do = actor_of(request), fields.get("do", "")
        roles = roles_of(actor)
        if do == "approve":
            await self._recovery.approve(run_id, fields.get("gate", ""), actor.name, roles)
            return "You approved it."
        held = await self._recovery.get(run_id)
        check_may_work(actor, held.run.playbook)
        if do == "cancel":
            run = await self._recovery.cancel(run_id, actor.name, roles)
            return (
                "Noted. It is past its point of no return, and goes forward."
                if run.is_past_return
                else "It takes back what it did."
            )
        if do in WAYS:
            await self._recovery.resume(run_id, WAYS[do], actor.name, roles)
            return "It goes on."
        raise Refused("no button of this page was pressed")

    async def playbook(self, request: Request) -> Response:
        """A playbook's stages, and the form that starts it."""
        return self._playbook(request, {}, request.query_params.get("for", "")[:200])

    async def start(self, request: Request) -> Response:
        """Start it. What moves traffic is started only by who has written down what it moves."""
        name, fields, actor = request.path_params["name"], form(request), actor_of(request)
        playbook = found_in(self._desk.shelf(), name)
        check_may_work(actor, playbook)
        subject = fields.get("subject", "").strip()
        given = {key: fields.get(f"given-{key}", "").strip() for key in playbook.takes}
        given = {key: text for key, text in given.items() if text}
        try:
            self._desk.check_start(playbook, subject)
            if playbook.moves_traffic and fields.get("sure", "").strip() != subject:
                raise Refused("nothing was started: write the name of what it moves once more, to be sure")
            key = fields.get("key", "")
            run_id = id_from("console run", actor.name, key) if key else None
            run = await self._recovery.start(name, subject, given, actor.name, roles_of(actor), run_id)
        except HoldfastError as error:
            return self._playbook(request, given, subject, error)
        return redirect(request, f"/recovery/runs/{run.id}", told="It has begun.")

    async def runbook(self, request: Request) -> Response:
        """For printing, while there is light."""
        text = self._desk.runbook(request.path_params["name"], request.query_params.get("for", "")[:200])
        return PlainTextResponse(text)

    def _playbook(
        self,
        request: Request,
        given: Mapping[str, str],
        subject: str,
        trouble: HoldfastError | None = None,
    ) -> Response:
        name = request.path_params["name"]
        playbook = found_in(self._desk.shelf(), name)
        return page(
            request,
            "playbook.html",
            status=200 if trouble is None else 422,
            title=playbook.title,
            playbook=playbook,
            shelved=self._desk.shelf()[name],
            may_start=may_work_with(actor_of(request), playbook)
            and (not playbook.roles or not roles_of(actor_of(request)).isdisjoint(playbook.roles)),
            subjects=self._desk.subjects(),
            given=given,
            subject=subject,
            # Sent twice, it is started once.
            key=form(request).get("key", "") if trouble is not None else secrets.token_hex(16),
            trouble=trouble,
        )

    async def _page(self, request: Request, trouble: HoldfastError | None = None) -> Response:
        view = await self._desk.view(_run_id(request))
        actor = actor_of(request)
        possible = possible_for(view, actor.name, roles_of(actor))
        may_work = may_work_with(actor, view.run.playbook)
        return live_page(
            request,
            "run.html",
            live=view.run.state.is_active,
            status=200 if trouble is None else 409,
            title=f"{view.run.playbook.title}: {view.run.subject}",
            shown=view,
            run=view.run,
            possible=possible,
            may_cancel=may_work and possible.cancel,
            decisive=decisive_of(view),
            evidence=evidence_id(view.run.id) if view.run.state.is_over else "",
            ways=[way for way, how in WAYS.items() if how in possible.resume] if may_work else [],
            trouble=trouble,
            **_WORDS,
        )


def _run_id(request: Request) -> str:
    """Raises NotThere for what no database would take as one."""
    run_id: str = request.path_params["run_id"]
    if not _RUN_ID.fullmatch(run_id):
        raise NotThere("there is no such run")
    return run_id
