"""What people do with runs: start, approve, cancel, resume, and watch them.

Whoever calls has found out who somebody is and which roles they hold; here it is decided whether the run and
its playbook allow it. Each change is in the journal under the person's name, in the same transaction.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from holdfast.recovery import transitions
from holdfast.recovery.errors import NotThere, Refused
from holdfast.recovery.giving import taken_from
from holdfast.recovery.model import Playbook, Run
from holdfast.recovery.ports import Held, Note, PlaybookBook, RunStore
from holdfast.recovery.transitions import How

LOOK_EVERY_S = 1.0
"""While a run is watched, for what no word came of."""


class Recovery:
    """The runs, for people. `playbooks` are those that can be started now, by name: checked ones."""

    def __init__(
        self,
        store: RunStore,
        book: PlaybookBook,
        playbooks: Callable[[], Mapping[str, Playbook]],
        new_id: Callable[[], str],
    ) -> None:
        self._store = store
        self._book = book
        self._playbooks = playbooks
        self._new_id = new_id

    def playbooks(self) -> Mapping[str, Playbook]:
        """By name, as they would be started now."""
        return self._playbooks()

    async def start(
        self,
        name: str,
        subject: str,
        given: Mapping[str, str],
        who: str,
        roles: AbstractSet[str],
        run_id: str | None = None,
    ) -> Run:
        """Start a playbook on a cluster or a database; `given` is what the playbook takes.

        With a `run_id` that the request determines, the same request sent twice starts one run.

        Raises NotThere for a playbook that nobody wrote, PlaybookWrong when something that it takes is
        missing or is no text, and Refused when `roles` may not start it, or another run moves the traffic of
        the same subject.
        """
        found = self._playbooks().get(name)
        if found is None:
            raise NotThere(f"there is no playbook {name!r}", hint="holdfast playbook list shows them")
        transitions.must_be_allowed(found, roles)
        given = taken_from(found, subject, given)
        if run_id is not None and (known := await self._sent_before(run_id, name, subject, given, who)):
            return known
        playbook = await self._book.revised(found)
        run = Run(
            id=run_id or self._new_id(),
            playbook=playbook,
            subject=subject,
            given=given,
            started_by=who,
            started_at=datetime.fromtimestamp(0, UTC),  # the store says when it began
        )
        facts = {"playbook": name, "revision": playbook.revision, "subject": subject, "given": given}
        try:
            return await self._store.start(run, Note(who, "run.started", {"run": run.id, **facts}))
        except Refused:
            # The same request, at the same time: the other one was first.
            if run_id is not None and (known := await self._sent_before(run_id, name, subject, given, who)):
                return known
            raise

    async def _sent_before(
        self, run_id: str, name: str, subject: str, given: Mapping[str, str], who: str
    ) -> Run | None:
        try:
            run = (await self._store.get(run_id)).run
        except NotThere:
            return None
        if (run.playbook.name, run.subject, run.given, run.started_by) != (name, subject, given, who):
            raise Refused(f"run {run_id} was started for something else")
        return run

    async def approve(self, run_id: str, gate: str, who: str, roles: AbstractSet[str]) -> Run:
        """Approve a gate. Raises Refused for the wrong role, the wrong person, or too late; and NotThere."""
        held = await self._store.change(
            run_id,
            lambda run, at: transitions.approved(run, gate, who, roles, at),
            Note(who, "run.approved", {"run": run_id, "gate": gate}),
        )
        return held.run

    async def cancel(self, run_id: str, who: str, roles: AbstractSet[str]) -> Run:
        """Go back, where that is possible yet; else it is only noted. Raises Refused and NotThere."""

        def cancelled(run: Run, _: datetime) -> Run:
            transitions.must_be_allowed(run.playbook, roles)
            return transitions.cancelled(run, who)

        held = await self._store.change(run_id, cancelled, Note(who, "run.cancel_asked", {"run": run_id}))
        return held.run

    async def resume(self, run_id: str, how: How, who: str, roles: AbstractSet[str]) -> Run:
        """Have a run go on that stands still. Raises Refused and NotThere."""

        def resumed(run: Run, at: datetime) -> Run:
            transitions.must_be_allowed(run.playbook, roles)
            return transitions.resumed(run, who, how, at)

        held = await self._store.change(
            run_id, resumed, Note(who, "run.resumed", {"run": run_id, "how": how.value})
        )
        return held.run

    async def get(self, run_id: str) -> Held:
        """The run, its epoch, and the time by the store's clock. Raises NotThere."""
        return await self._store.get(run_id)

    async def newest(
        self, most: int = 50, before: str | None = None, *, over: bool | None = None
    ) -> Sequence[Run]:
        """The newest first: those that began before that run; all, or those that are over, or are not."""
        return await self._store.newest(most, before, over=over)

    async def unfinished(self) -> Sequence[Run]:
        """Those that are not over, the newest first."""
        return await self._store.unfinished()

    async def watch(self, run_id: str) -> AsyncIterator[Held]:
        """The run as it stands, and again whenever it may have changed; ends when it is over.

        Comes at least every `LOOK_EVERY_S`, so that a display may go on counting. Raises NotThere.
        """
        while True:
            heard = self._store.heard
            held = await self._store.get(run_id)
            yield held
            if held.run.state.is_over:
                return
            await self._store.woken(heard, LOOK_EVERY_S)
