"""The logs as static resources, for who verifies them. Sources: C2SP tlog-tiles, tlog-proof.

    GET /v1/logs/TENANT/checkpoint            the newest published one; anybody may have it
    GET /v1/logs/TENANT/tile/0/x001/234       hashes, for the tenant's readers
    GET /v1/logs/TENANT/tile/entries/000      entries, for the tenant's readers
    GET /v1/logs/TENANT/proofs/LEAF           that the newest checkpoint holds an entry
    GET /v1/logs/TENANT/listed                that the log over all logs holds one of this log's checkpoints
    GET /v1/checkpoint                        of the log over all logs; anybody may have it

Only what is below a published checkpoint is told. A tile never changes, a checkpoint is replaced by the next.
Who is handed entries stands in the access trail before.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from holdfast.interfaces.ledger.problems import Problem
from holdfast.interfaces.ledger.services import Services
from holdfast.ledger.errors import EntriesPruned, ProofRefused
from holdfast.ledger.find.access import Act, Caller, Reading, Way
from holdfast.ledger.find.finding import Filter
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note
from holdfast.ledger.log.tiles import TILE_HEIGHT, TILE_WIDTH, TileName
from holdfast.ledger.publish import proving
from holdfast.ledger.publish.laying_out import tile
from holdfast.ledger.publish.publishing import OVERALL
from holdfast.ledger.sources import Reader

FOR_EVER = {"cache-control": "private, max-age=31536000, immutable", "x-content-type-options": "nosniff"}
FOR_NOW = {"cache-control": "max-age=1", "x-content-type-options": "nosniff"}
BYTES = "application/octet-stream"
MOST_LEAF_DIGITS = 19


def routes(services: Services) -> list[BaseRoute]:
    logs = _Logs(services)
    offered: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/v1/checkpoint": logs.overall,
        "/v1/logs/{tenant}/checkpoint": logs.checkpoint,
        "/v1/logs/{tenant}/tile/{name:path}": logs.tile,
        "/v1/logs/{tenant}/proofs/{leaf}": logs.proof,
        "/v1/logs/{tenant}/listed": logs.listed,
    }
    return [Route(path, answer, methods=["GET"]) for path, answer in offered.items()]


class _Logs:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def overall(self, request: Request) -> Response:
        del request
        return await self._checkpoint(OVERALL)

    async def checkpoint(self, request: Request) -> Response:
        return await self._checkpoint(request.path_params["tenant"])

    async def _checkpoint(self, tenant: str) -> Response:
        _, note, _ = await self._published(tenant)
        return PlainTextResponse(note, headers=FOR_NOW)

    async def tile(self, request: Request) -> Response:
        tenant = request.path_params["tenant"]
        reader = await self._services.callers.reader(request, tenant)
        try:
            name = TileName.parsed(request.path_params["name"])
        except ProofRefused as error:
            raise Problem(HTTPStatus.NOT_FOUND, str(error)) from error
        log_id, _, size = await self._published(tenant)
        level = name.level or 0
        if name.index * TILE_WIDTH + name.width > size >> TILE_HEIGHT * level:
            raise Problem(HTTPStatus.NOT_FOUND, f"the published log of {size:,} leaves has no such tile")
        if name.level is None and self._services.trail is not None:
            await self._services.trail.begin(_reading(reader, name))
        try:
            content = await tile(self._services.logs, log_id, name)
        except EntriesPruned as error:
            raise Problem(HTTPStatus.GONE, "these entries are no longer kept; their hashes are") from error
        return Response(content, headers=FOR_EVER | {"content-type": BYTES})

    async def proof(self, request: Request) -> Response:
        tenant, leaf = request.path_params["tenant"], request.path_params["leaf"]
        await self._services.callers.reader(request, tenant)
        log_id, note, size = await self._published(tenant)
        if not (leaf.isascii() and leaf.isdigit() and len(leaf) <= MOST_LEAF_DIGITS) or int(leaf) >= size:
            raise Problem(HTTPStatus.NOT_FOUND, f"the published log of {size:,} leaves has no such leaf")
        found = await proving.inclusion(self._services.logs, log_id, int(leaf), note, size)
        return PlainTextResponse(found.text, headers=FOR_NOW)

    async def listed(self, request: Request) -> Response:
        """The entry is the checkpoint's three lines: what the reader holds is looked for by its size."""
        tenant = request.path_params["tenant"]
        await self._services.callers.reader(request, tenant)
        log_id, note, size = await self._published(OVERALL)
        origin = self._services.origin_of(tenant)
        leaf = await self._services.published.listed(log_id, origin, size)
        if leaf is None:
            raise Problem(HTTPStatus.NOT_FOUND, "the log over all logs holds no checkpoint of this log yet")
        found = await proving.inclusion(self._services.logs, log_id, leaf, note, size)
        [entry] = await self._services.logs.entries(log_id, leaf, 1)
        return PlainTextResponse(f"{entry.decode()}\n{found.text}", headers=FOR_NOW)

    async def _published(self, tenant: str) -> tuple[int, str, int]:
        found = await self._services.published.handed(tenant)
        log_id, note = found or (0, None)
        if note is None:
            raise Problem(HTTPStatus.NOT_FOUND, "nothing of this log was published yet")
        return log_id, note, Checkpoint.parsed(Note.parsed(note).body).size


def _reading(reader: Reader, name: TileName) -> Reading:
    caller = Caller(reader.name or f"reader's token {reader.token_id}", Way.API)
    first = name.index * TILE_WIDTH
    return Reading(reader.tenant, caller, Act.READ, Filter(), first, first + name.width, rows=name.width)
