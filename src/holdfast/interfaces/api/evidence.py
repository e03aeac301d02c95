"""`/evidence` and `/drills`: what drills and recoveries came to, and which drills prove something still."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from holdfast.interfaces.api.callers import Reader, Served
from holdfast.interfaces.api.paging import Cursor, Limit, no_cursor, page_of, read, written
from holdfast.interfaces.api.problems import NOT_FOUND, Problem, described
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.api.shapes.evidence import (
    DrillPage,
    DrillTold,
    EvidenceLine,
    EvidencePage,
    EvidenceTold,
    log_told,
)
from holdfast.interfaces.api.words import EstateKey, ToldId
from holdfast.interfaces.evidence_desk import EvidenceDesk
from holdfast.recovery.errors import EvidenceRefused

router = APIRouter(tags=["recovery"])
Filter = Annotated[str | None, Query(pattern=r"^[a-z0-9-]{1,64}$")]
FILE: dict[int | str, dict[str, Any]] = {
    **described(NOT_FOUND),
    200: {"description": "The file", "content": {"application/json": {}}},
}


def _desk(services: Services) -> EvidenceDesk:
    if services.evidence is None:
        raise Problem(NOT_FOUND, "there is no evidence here")
    return services.evidence


@router.get("/evidence", operation_id="listEvidence", responses=described(NOT_FOUND))
async def list_evidence(
    services: Served,
    _: Reader,
    subject: Annotated[Filter, Query(description="only of this cluster or database")] = None,
    scenario: Annotated[Filter, Query(description="only of this scenario")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> EvidencePage:
    """Evidence, the newest first; and how far a witness vouches for the log of it."""
    desk = _desk(services)
    before = None if cursor is None else _leaf(cursor)
    found = await desk.newest(limit + 1, subject=subject, scenario=scenario, before=before)
    grown = await desk.grown()
    following = written(str(found[limit - 1][0])) if len(found) > limit else None
    items = [EvidenceLine.of(leaf, it, grown) for leaf, it in found[:limit]]
    return EvidencePage(items=items, next=following, log=log_told(grown))


@router.get("/evidence/bundle", operation_id="exportEvidenceLog", response_class=Response, responses=FILE)
async def export_evidence_log(services: Served, _: Reader) -> Response:
    """All there is in one file, which proves itself to whoever has the log's verifier key."""
    try:
        content = await _desk(services).exported_log()
    except EvidenceRefused as error:
        raise Problem(NOT_FOUND, str(error), hint=error.hint) from error
    return _file(content, "evidence.json")


@router.get("/evidence/{evidence_id}", operation_id="getEvidence", responses=described(NOT_FOUND))
async def get_evidence(services: Served, _: Reader, evidence_id: ToldId) -> EvidenceTold:
    """One evidence whole, with the remarks on it."""
    desk = _desk(services)
    return EvidenceTold.whole(await desk.whole(evidence_id), await desk.grown())


@router.get(
    "/evidence/{evidence_id}/bundle", operation_id="exportEvidence", response_class=Response, responses=FILE
)
async def export_evidence(services: Served, _: Reader, evidence_id: ToldId) -> Response:
    """One evidence with its remarks in a file, which proves itself to whoever has the log's verifier key."""
    return _file(await _desk(services).exported(evidence_id, "json"), f"evidence-{evidence_id}.json")


@router.get("/drills", operation_id="listDrills", responses=described(NOT_FOUND))
async def list_drills(services: Served, _: Reader, cursor: Cursor = None, limit: Limit = 50) -> DrillPage:
    """The declared drills, by key: when each passed last, until when that proves anything, what is next."""
    drills = sorted(await _desk(services).drills(), key=lambda each: each.standing.key)
    page, following = page_of(drills, lambda each: each.standing.key, cursor, limit)
    return DrillPage(items=[DrillTold.of(each) for each in page], next=following)


@router.get("/drills/{key}", operation_id="getDrill", responses=described(NOT_FOUND))
async def get_drill(services: Served, _: Reader, key: EstateKey) -> DrillTold:
    """One declared drill."""
    for each in await _desk(services).drills():
        if each.standing.key == key:
            return DrillTold.of(each)
    raise Problem(NOT_FOUND, f"there is no drill {key!r}", hint="see GET /drills")


def _leaf(cursor: str) -> int:
    text = read(cursor)
    if not text.isdigit() or len(text) > 15:
        raise no_cursor()
    return int(text)


def _file(content: bytes, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(content, media_type="application/json", headers=headers)
