"""Runs as the command line starts, watches and steers them, on the database of a running Holdfast."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.recovery.addresses import facts_of
from holdfast.bootstrap.recovery.people import (
    EARLIER_RUNS,
    check_start,
    found_run,
    recovery_for_people,
    shelf_of,
)
from holdfast.identity.roles import labels
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.recovery.runs import Show, StartRequest, Way
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.recovery.errors import Refused
from holdfast.recovery.model import Run
from holdfast.recovery.ports import Held
from holdfast.recovery.runbook import hands_for
from holdfast.recovery.service import Recovery
from holdfast.recovery.shelf import found_in
from holdfast.recovery.transitions import How
from holdfast.recovery.views import RunView, view_of

AGAIN_IN_S = 1.0
T = TypeVar("T")
HOWS = {Way.RETRY: How.RETRY, Way.BY_HAND: How.BY_HAND, Way.BACK: How.BACK}


class LocalRuns:
    """RunCommands on this machine. Whoever has the database holds every role, under their account here."""

    def start(self, place: Place, request: StartRequest) -> RunView:
        async def start(recovery: Recovery, inventory: Inventory) -> RunView:
            # What is wrong with the file is said here, and not that there is no such playbook.
            playbook = found_in(shelf_of(inventory.estate, place), request.playbook)
            check_start(inventory.estate, playbook, request.subject)
            started = await recovery.start(
                request.playbook, request.subject, request.given, command_line(), labels()
            )
            return await _view(recovery, inventory, await recovery.get(started.id))

        return run(_with_runs(place, start))

    def newest(self, place: Place, most: int, *, over: bool, before: str | None = None) -> Sequence[RunView]:
        async def read(recovery: Recovery, _: Inventory) -> Sequence[RunView]:
            if before is not None:
                await recovery.get(before)  # raises NotThere
            shown = await recovery.newest(most, before, over=None if over else False)
            earlier = await recovery.newest(EARLIER_RUNS)
            if not shown:
                return []
            now = (await recovery.get(shown[0].id)).now
            return [view_of(each, now, earlier) for each in shown]

        return run(_with_runs(place, read))

    def get(self, place: Place, which: str | None) -> RunView:
        async def read(recovery: Recovery, inventory: Inventory) -> RunView:
            return await _view(recovery, inventory, await found_run(recovery, which, over=True))

        return run(_with_runs(place, read))

    def watch(self, place: Place, which: str | None, show: Show) -> RunView:
        async def watch(recovery: Recovery, inventory: Inventory) -> RunView:
            held = await found_run(recovery, which, over=True)
            earlier = await recovery.newest(EARLIER_RUNS)
            view = view_of(held.run, held.now, earlier)
            while True:
                try:
                    async for each in recovery.watch(held.run.id):
                        view = _with_hands(view_of(each.run, each.now, earlier), inventory)
                        show(view)
                        if not each.run.state.is_active:
                            return view
                except HoldfastError as error:
                    # Holdfast's own database may be in what is lost: it comes back, or Ctrl-C ends this.
                    if error.remedy is not Remedy.TRANSIENT:
                        raise
                    show(replace(view, away=str(error)))
                    await asyncio.sleep(AGAIN_IN_S)

        return run(_with_runs(place, watch))

    def approve(self, place: Place, which: str | None, gate: str | None) -> RunView:
        async def approve(recovery: Recovery, inventory: Inventory) -> RunView:
            held = await found_run(recovery, which)
            waits_at = view_of(held.run, held.now).waits_at
            name = gate or (waits_at.name if waits_at is not None else None)
            if name is None:
                raise Refused(f"run {held.run.id} waits at no gate", hint=f"it is {held.run.state.value}")
            await recovery.approve(held.run.id, name, command_line(), labels())
            return await _view(recovery, inventory, await recovery.get(held.run.id))

        return run(_with_runs(place, approve))

    def cancel(self, place: Place, which: str | None) -> RunView:
        return self._steered(place, which, lambda all_, each: all_.cancel(each, command_line(), labels()))

    def resume(self, place: Place, which: str | None, way: Way) -> RunView:
        return self._steered(
            place, which, lambda all_, each: all_.resume(each, HOWS[way], command_line(), labels())
        )

    def _steered(
        self, place: Place, which: str | None, do: Callable[[Recovery, str], Awaitable[Run]]
    ) -> RunView:
        async def steer(recovery: Recovery, inventory: Inventory) -> RunView:
            held = await found_run(recovery, which)
            await do(recovery, held.run.id)
            return await _view(recovery, inventory, await recovery.get(held.run.id))

        return run(_with_runs(place, steer))


async def _with_runs(place: Place, work: Callable[[Recovery, Inventory], Awaitable[T]]) -> T:
    async def do(pool: Pool, inventory: Inventory) -> T:
        return await work(recovery_for_people(pool, lambda: inventory.estate, place), inventory)

    return await with_database(place, Role.CONSOLE, do)


async def _view(recovery: Recovery, inventory: Inventory, held: Held) -> RunView:
    return _with_hands(view_of(held.run, held.now, await recovery.newest(EARLIER_RUNS)), inventory)


def _with_hands(view: RunView, inventory: Inventory) -> RunView:
    """With how people do what has failed, filled in with the estate's addresses."""
    return replace(view, by_hand=hands_for(view.run, facts_of(inventory.estate, view.run.subject)))
