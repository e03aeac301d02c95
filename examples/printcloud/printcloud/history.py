"""A register and a set, for whoever checks what becomes of acknowledged writes over a failover.

    GET  /register   {"value": "x"}      PUT  /register   {"value": "x"}, or {"value": "x", "was": "w"}
    GET  /set        {"members": [...]}  POST /set        {"member": "x"}

Answered with 200 or 201, a write is as durable as the database promises. With `was`, the register is changed
only from that value: 409 otherwise. A read is a write, too: it is answered when the synchronous standby has
it, so an old primary that was left alone does not answer with what is no longer true.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from printcloud.bodies import read_bounded
from printcloud.jobs import InvalidJobError, decoded
from printcloud.store import Connection, Store

LOOK = "update register set seen = seen + 1 returning value"
WRITE = "update register set value = %s"
SWAP = "update register set value = %s where value is not distinct from %s"
ADD = "insert into member (name) values (%s) on conflict do nothing"
MEMBERS = "select name from member order by added_at, name limit %s"
MAX_MEMBERS = 200_000


def history_routes(store: Store) -> list[Route]:
    async def look(_: Request) -> Response:
        async def work(connection: Connection) -> object:
            row = await (await connection.execute(LOOK)).fetchone()
            return row[0] if row else None

        return JSONResponse({"value": await store.run(work)})

    async def write(request: Request) -> Response:
        asked = await _object(request)
        if asked is None or (value := _text(asked.get("value"))) is None:
            return JSONResponse({"error": 'send {"value": "a text of 1 to 200 characters"}'}, 400)

        async def work(connection: Connection) -> int:
            if "was" in asked:
                return (await connection.execute(SWAP, (value, asked["was"]))).rowcount
            return (await connection.execute(WRITE, (value,))).rowcount

        changed = await store.once(work)
        return JSONResponse(
            {"value": value} if changed else {"error": "it has another value"}, 200 if changed else 409
        )

    async def add(request: Request) -> Response:
        asked = await _object(request)
        if asked is None or (member := _text(asked.get("member"))) is None:
            return JSONResponse({"error": 'send {"member": "a text of 1 to 200 characters"}'}, 400)

        async def work(connection: Connection) -> None:
            await connection.execute(ADD, (member,))

        await store.run(work)
        return JSONResponse({"member": member}, 201)

    async def members(_: Request) -> Response:
        async def work(connection: Connection) -> list[str]:
            await connection.execute(LOOK)
            return [
                str(row[0]) for row in await (await connection.execute(MEMBERS, (MAX_MEMBERS,))).fetchall()
            ]

        return JSONResponse({"members": await store.run(work)})

    return [
        Route("/register", look),
        Route("/register", write, methods=["PUT"]),
        Route("/set", members),
        Route("/set", add, methods=["POST"]),
    ]


async def _object(request: Request) -> Mapping[str, object] | None:
    try:
        asked = decoded(await read_bounded(request))
    except InvalidJobError:
        return None
    return asked if isinstance(asked, Mapping) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 1 <= len(value) <= 200 and value.isprintable() else None
