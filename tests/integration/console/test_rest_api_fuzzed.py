"""The REST API over real PostgreSQL, fuzzed: what a database will not take must have been refused before."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import schemathesis
import uvicorn
from schemathesis import GenerationMode
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.conftest import Database
from tests.unit.api.rest_fuzzing import fuzz
from tests.unit.api.rest_served import ADMIN, ALL, DECLARED, ESTATE, PLANNED

from holdfast.adapters.memory.identity import MemoryIdentity
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.bootstrap.api import rest_api
from holdfast.bootstrap.following import FollowedEstate
from holdfast.bootstrap.recovery.pages import recovery_desk
from holdfast.estate.recovery import Recovery
from holdfast.identity.tokens import TokenDesk
from holdfast.interfaces.api.callers import Gate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import SystemClock

EXAMPLES = 8


class Serving:
    """The API with the console's login, behind a real server in a thread of its own."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.url = ""
        self.token = ""
        self._database = database
        self._folder = folder
        self._server: uvicorn.Server | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(120)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(120)

    async def _serve(self) -> None:
        clock = SystemClock()
        registry = PostgresRegistry(self._database.conninfo(Role.CONTROLLER))
        await registry.apply(ESTATE, source_sha256="", at=clock.now(), actor="test")
        inventory = FollowedEstate(
            PostgresRegistry(self._database.conninfo(Role.CONSOLE)), self._folder / "copy.json", ESTATE
        )
        await inventory.refresh()
        identity = _Bearers(clock)
        _, self.token = await identity.desk.create("fuzz", ALL, ADMIN)
        async with open_pool(self._database.conninfo(Role.CONSOLE), "console", max_size=4) as pool:
            gate = Gate(clock, per_second=1e6, burst=10**9, guesses=10**9)
            declared = ESTATE.model_copy(update={"recovery": Recovery()})
            runs = recovery_desk(pool, lambda: declared, Place(self._folder / "holdfast.yaml", self._folder))
            api = rest_api(pool, clock, inventory, identity, gate=gate, runs=runs)  # type: ignore[arg-type]
            app = Starlette(routes=[Mount("/api/v1", app=api)])
            self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
            serving = asyncio.create_task(self._server._serve())
            while not self._server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}/api/v1"
            self._ready.set()
            await serving


class _Bearers:
    """Tokens in memory: this is not about them, and they would be one more look for every call."""

    def __init__(self, clock: SystemClock) -> None:
        self.desk = TokenDesk(MemoryIdentity(), clock)

    async def actor_of_token(self, token: str) -> Any:
        return await self.desk.actor_of(token)


@pytest.fixture
def serving(migrated_database: Database, tmp_path: Path) -> Iterator[Serving]:
    with Serving(migrated_database, tmp_path) as serving:
        yield serving


def test_the_database_is_never_given_what_it_will_not_take(serving: Serving) -> None:
    headers = {"Authorization": f"Bearer {serving.token}"}
    with httpx.Client(base_url=serving.url, headers=headers, timeout=60) as api:
        incidents = [api.post("/incidents", json=DECLARED).json() for _ in range(2)]
        work = {**PLANNED, "starts_at": "2031-01-11T02:00:00Z", "ends_at": "2031-01-11T04:00:00Z"}
        planned = [api.post("/maintenances", json=work).json() for _ in range(2)]
        runs = [
            api.post("/runs", json={"playbook": "rehearsal", "subject": each}).json()
            for each in ("eu", "usa")
        ]
        document = api.get("/openapi.json").json()
    known = {
        "incident_id": [each["id"] for each in incidents],
        "update_id": [each["updates"][0]["id"] for each in incidents],
        "maintenance_id": [each["id"] for each in planned],
        "run_id": [each["id"] for each in runs],
        "cluster": ["eu", "usa", "gov"],
        "key": ["api", "premium", "secret", "outage"],
    }
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=serving.url)
    called = fuzz(schema, GenerationMode.POSITIVE, headers, known, examples=EXAMPLES)
    assert len(called) >= 30, called
