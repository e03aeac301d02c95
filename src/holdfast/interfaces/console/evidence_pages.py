"""Evidence in the console: what drills and recoveries came to, each whole, and as files for an auditor."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from holdfast.identity.model import Right
from holdfast.interfaces.console.shell import ConsolePage, page, problem
from holdfast.interfaces.evidence_desk import EvidenceDesk
from holdfast.interfaces.evidence_words import (
    cosigned_words,
    counted,
    kind,
    lasted,
    measure_words,
    size_words,
    verdict,
)
from holdfast.recovery.errors import NotThere

SHOWN = 100
TYPES = {"pdf": "application/pdf", "json": "application/json"}


class EvidencePages:
    """The pages."""

    def __init__(self, desk: EvidenceDesk) -> None:
        self._desk = desk

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(
                "/evidence",
                self.listed,
                Right.READ,
                title="Evidence",
                about="What drills and recoveries came to, signed.",
            ),
            ConsolePage("/evidence/{evidence}", self.shown, Right.READ),
            ConsolePage("/evidence/{evidence}/file.{type}", self.file, Right.READ),
        ]

    async def listed(self, request: Request) -> Response:
        before = _before(request.query_params.get("before", ""))
        entries = await self._desk.newest(SHOWN + 1, before=before)
        found = [
            (it, kind(it), verdict(it), lasted(it.rpo.measured_ms), lasted(it.rto.measured_ms))
            for _, it in entries[:SHOWN]
        ]
        grown = await self._desk.grown()
        return page(
            request,
            "evidence.html",
            title="Evidence",
            found=found,
            older=entries[SHOWN - 1][0] if len(entries) > SHOWN else None,
            newest=before is None,
            drills=await self._desk.drills() if before is None else [],
            cosigned=cosigned_words(grown),
            stuck=grown.waiting is not None,
        )

    async def shown(self, request: Request) -> Response:
        try:
            whole = await self._desk.whole(request.path_params["evidence"])
        except NotThere as error:
            return problem(request, HTTPStatus.NOT_FOUND, str(error), "The list shows what there is.")
        it, seen = whole.evidence, (await self._desk.grown()).cosigned
        return page(
            request,
            "evidence_of.html",
            title=f"Evidence: {it.subject}",
            it=it,
            leaf=whole.leaf,
            remarks=whole.remarks,
            cosigned=seen is not None and whole.leaf < seen.size,
            kind=kind(it),
            verdict=verdict(it),
            measures=[("RPO", measure_words(it.rpo)), ("RTO", measure_words(it.rto))],
            size=size_words(it.data_bytes),
            lost=[
                ("Transactions", counted(it.loss.transactions)),
                ("Ledger entries", counted(it.loss.entries)),
            ],
            lasted=lasted,
        )

    async def file(self, request: Request) -> Response:
        """A download."""
        which, type_ = request.path_params["evidence"], request.path_params["type"]
        if type_ not in TYPES:
            return problem(request, HTTPStatus.NOT_FOUND, "There is no such file", "pdf, or json")
        try:
            content = await self._desk.exported(which, type_)
        except NotThere as error:
            return problem(request, HTTPStatus.NOT_FOUND, str(error), "The list shows what there is.")
        # The id is one of ours: it was found under it.
        disposition = f'attachment; filename="evidence-{which}.{type_}"'
        headers = {"content-disposition": disposition, "cache-control": "no-store"}
        return Response(content, media_type=TYPES[type_], headers=headers)


def _before(text: str) -> int | None:
    """The leaf below which a page begins; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
