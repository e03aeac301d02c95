"""`/runs` and `/playbooks`: start a playbook, follow it, cancel and resume it.

A gate asks for people, and a token is nobody: gates are approved in the console and on the command line.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from holdfast.identity.model import Actor
from holdfast.identity.roles import roles_of
from holdfast.interfaces.api.callers import Operator, Reader, Served
from holdfast.interfaces.api.exchange import IdempotencyKey, id_for
from holdfast.interfaces.api.paging import Cursor, Limit, read, written
from holdfast.interfaces.api.problems import (
    CONFLICT,
    INVALID,
    NOT_FOUND,
    ROOT,
    Problem,
    described,
)
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.api.shapes.recovery import (
    PlaybookList,
    PlaybookTold,
    RunList,
    RunResume,
    RunStart,
    RunTold,
)
from holdfast.interfaces.api.words import ToldId
from holdfast.interfaces.recovery_desk import RecoveryDesk, check_may_work
from holdfast.recovery.shelf import found_in
from holdfast.recovery.transitions import How

router = APIRouter(tags=["recovery"])


def _desk(services: Services) -> RecoveryDesk:
    if services.runs is None:
        raise Problem(NOT_FOUND, "there are no runs here")
    return services.runs


@router.get("/playbooks", operation_id="listPlaybooks", responses=described(NOT_FOUND))
async def list_playbooks(services: Served, _: Reader) -> PlaybookList:
    """All playbooks, by name: Holdfast's own, and those of the estate."""
    shelf = _desk(services).shelf()
    return PlaybookList(items=[PlaybookTold.of(shelf[name]) for name in sorted(shelf)])


@router.get("/runs", operation_id="listRuns", responses=described(NOT_FOUND))
async def list_runs(
    services: Served,
    _: Reader,
    state: Annotated[Literal["active", "over", "all"], Query(description="active: not over yet")] = "all",
    limit: Limit = 20,
    cursor: Cursor = None,
) -> RunList:
    """Runs, the newest first. Those that are over go after `recovery.keep_runs`; their evidence stays."""
    before = None if cursor is None else read(cursor)
    over = None if state == "all" else state == "over"
    views = await _desk(services).newest(limit + 1, before, over=over)
    following = written(views[limit - 1].run.id) if len(views) > limit else None
    return RunList(items=[RunTold.of(each) for each in views[:limit]], next=following)


@router.get("/runs/{run_id}", operation_id="getRun", responses=described(NOT_FOUND))
async def get_run(services: Served, _: Reader, run_id: ToldId) -> RunTold:
    """One run, as it stands."""
    return RunTold.of(await _desk(services).view(run_id))


@router.post(
    "/runs", operation_id="startRun", status_code=201, responses=described(NOT_FOUND, CONFLICT, INVALID)
)
async def start_run(
    services: Served, actor: Operator, response: Response, new: RunStart, key: IdempotencyKey = None
) -> RunTold:
    """Start a playbook. One that moves traffic needs the scope `command` as well.

    With an `Idempotency-Key` the same request sent again answers with the same run, as it is by then.
    """
    desk = _desk(services)
    playbook = found_in(desk.shelf(), new.playbook)
    check_may_work(actor, playbook)
    desk.check_start(playbook, new.subject)
    run_id = id_for(actor, "run", key) if key is not None else None
    run = await desk.recovery.start(new.playbook, new.subject, new.given, actor.name, roles_of(actor), run_id)
    response.headers["location"] = f"{ROOT}/runs/{run.id}"
    return RunTold.of(await desk.view(run.id))


@router.post("/runs/{run_id}/cancel", operation_id="cancelRun", responses=described(NOT_FOUND, CONFLICT))
async def cancel_run(services: Served, actor: Operator, run_id: ToldId) -> RunTold:
    """Have it take back what it did. Past its point of no return it goes forward all the same."""
    desk = await _allowed(services, actor, run_id)
    await desk.recovery.cancel(run_id, actor.name, roles_of(actor))
    return RunTold.of(await desk.view(run_id))


@router.post("/runs/{run_id}/resume", operation_id="resumeRun", responses=described(NOT_FOUND, CONFLICT))
async def resume_run(services: Served, actor: Operator, run_id: ToldId, asked: RunResume) -> RunTold:
    """Have it go on that stands still."""
    desk = await _allowed(services, actor, run_id)
    await desk.recovery.resume(run_id, How(asked.how), actor.name, roles_of(actor))
    return RunTold.of(await desk.view(run_id))


async def _allowed(services: Services, actor: Actor, run_id: str) -> RecoveryDesk:
    """Raises NotAllowed when this token may not work with that run."""
    desk = _desk(services)
    check_may_work(actor, (await desk.recovery.get(run_id)).run.playbook)
    return desk
