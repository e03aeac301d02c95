"""Damaged data: the form that has it put back. What follows is a run, with a page, a gate and evidence."""

import secrets
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from holdfast.identity.model import Right
from holdfast.identity.roles import roles_of
from holdfast.interfaces.console.bodies import Form
from holdfast.interfaces.console.shell import ConsolePage, actor_of, form, page, redirect
from holdfast.interfaces.recover_request import LONGEST_CHECK, PLAYBOOK, WAYS, RecoverRequest
from holdfast.interfaces.recovery_desk import RecoveryDesk, check_may_work
from holdfast.kernel.errors import HoldfastError
from holdfast.kernel.ids import id_from
from holdfast.recovery.errors import NotThere
from holdfast.recovery.shelf import found_in

ADDRESS = "/recovery/damaged"


class RecoverPages:
    """Over the service that `holdfast recover` uses, too."""

    def __init__(self, desk: RecoveryDesk) -> None:
        self._desk = desk

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(ADDRESS, self.asked, Right.OPERATE),
            ConsolePage(ADDRESS, self.start, Right.OPERATE, methods=("POST",)),
        ]

    async def asked(self, request: Request) -> Response:
        """The form. `for` in the address chooses the database."""
        subject = request.query_params.get("for", "")[:200]
        return self._page(request, RecoverRequest(""), subject, secrets.token_hex(16))

    async def start(self, request: Request) -> Response:
        """Sent twice, it is started once."""
        fields, actor = form(request), actor_of(request)
        wanted, subject, key = _wanted(fields), fields.get("database", ""), fields.get("key", "")
        try:
            playbook = found_in(self._desk.shelf(), PLAYBOOK)
            check_may_work(actor, playbook)
            if subject not in self._desk.recoverable():
                raise NotThere(
                    f"the estate does not say who owns the tables of {subject[:200]!r}",
                    hint="declare it under `recovery.databases`",
                )
            self._desk.check_start(playbook, subject)
            run_id = id_from("console run", actor.name, key) if key else None
            run = await self._desk.recovery.start(
                PLAYBOOK, subject, wanted.given(), actor.name, roles_of(actor), run_id
            )
        except HoldfastError as error:
            return self._page(request, wanted, subject, key, error)
        return redirect(request, f"/recovery/runs/{run.id}", told="It has begun.")

    def _page(
        self,
        request: Request,
        wanted: RecoverRequest,
        subject: str,
        key: str,
        trouble: HoldfastError | None = None,
    ) -> Response:
        playbook = found_in(self._desk.shelf(), PLAYBOOK)
        return page(
            request,
            "recover.html",
            status=200 if trouble is None else 422,
            title="Put damaged data back",
            playbook=playbook,
            databases=self._desk.recoverable(),
            subject=subject,
            wanted=wanted,
            ways=WAYS,
            most=LONGEST_CHECK,
            key=key,
            trouble=trouble,
        )


def _wanted(fields: Form) -> RecoverRequest:
    return RecoverRequest(
        fields.get("check", ""),
        fields.get("tables", ""),
        fields.get("since", ""),
        fields.get("until", ""),
        fields.get("way", ""),
        freeze="freeze" in fields,
        drop_new="drop_new" in fields,
    )
