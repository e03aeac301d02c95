"""Evidence in the console: what drills and recoveries came to, each whole, and as files for an auditor."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from holdfast.identity.model import Right
from holdfast.interfaces.console.shell import ConsolePage, page, problem
from holdfast.interfaces.evidence_words import counted, kind, lasted, measure_words, size_words, verdict
from holdfast.recovery.errors import NotThere
from holdfast.recovery.evidence import Evidence, Remark

SHOWN = 100
TYPES = {"pdf": "application/pdf", "json": "application/json"}

Whole = tuple[int, Evidence, Sequence[tuple[int, Remark]]]
"""The leaf, the evidence, and the remarks on it with theirs."""


class EvidencePages:
    """The pages. `exported` makes a file, `pdf` or `json`; it and `whole` raise NotThere."""

    def __init__(
        self,
        newest: Callable[[int], Awaitable[Sequence[tuple[int, Evidence]]]],
        whole: Callable[[str], Awaitable[Whole]],
        exported: Callable[[str, str], Awaitable[bytes]],
    ) -> None:
        self._newest = newest
        self._whole = whole
        self._exported = exported

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
        found = [
            (it, kind(it), verdict(it), lasted(it.rpo.measured_ms), lasted(it.rto.measured_ms))
            for _, it in await self._newest(SHOWN)
        ]
        return page(request, "evidence.html", title="Evidence", found=found, most=SHOWN)

    async def shown(self, request: Request) -> Response:
        try:
            leaf, it, remarks = await self._whole(request.path_params["evidence"])
        except NotThere as error:
            return problem(request, HTTPStatus.NOT_FOUND, str(error), "The list shows what there is.")
        return page(
            request,
            "evidence_of.html",
            title=f"Evidence: {it.subject}",
            it=it,
            leaf=leaf,
            remarks=remarks,
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
            content = await self._exported(which, type_)
        except NotThere as error:
            return problem(request, HTTPStatus.NOT_FOUND, str(error), "The list shows what there is.")
        # The id is one of ours: it was found under it.
        disposition = f'attachment; filename="evidence-{which}.{type_}"'
        headers = {"content-disposition": disposition, "cache-control": "no-store"}
        return Response(content, media_type=TYPES[type_], headers=headers)
