"""The REST API against its own OpenAPI document: whatever is sent, the answer is one that it describes.

Schemathesis makes requests that fit the document and requests that do not, and checks status, media type,
headers and body of every answer, that what does not fit is refused, and that nothing is our fault (5xx).
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import structlog
from schemathesis import GenerationMode
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.unit.api.rest_fuzzing import fuzz
from tests.unit.api.rest_served import DECLARED, PLANNED, Served, subscriber_id

MOST_EXAMPLES = 30
TOKEN: dict[str, str] = {}
KNOWN: dict[str, list[str]] = {}


@pytest.fixture(scope="module")
def openapi() -> Iterator[Any]:
    served = Served(per_second=1e6, burst=10**9, guesses=10**9)
    asyncio.run(_furnish(served))
    mount = Mount("/api/v1", app=served.app)
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)  # as the console mounts it
    with structlog.testing.capture_logs():
        yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", Starlette(routes=[mount]))


async def _furnish(served: Served) -> None:
    await served.measure()
    TOKEN["Authorization"] = f"Bearer {await served.token()}"
    async with served.stranger(TOKEN) as api:
        incidents = [(await api.post("/incidents", json=DECLARED)).json() for _ in range(3)]
        work = [(await api.post("/maintenances", json=PLANNED)).json() for _ in range(3)]
    KNOWN.update(
        incident_id=[each["id"] for each in incidents],
        update_id=[each["updates"][0]["id"] for each in incidents],
        maintenance_id=[each["id"] for each in work],
        subscriber_id=[subscriber_id(3)],
        cluster=["eu", "usa", "gov"],
        key=["api", "premium", "secret", "outage"],
    )


@pytest.mark.parametrize("mode", [GenerationMode.NEGATIVE, GenerationMode.POSITIVE])
def test_every_answer_is_one_that_is_described(openapi: Any, mode: GenerationMode) -> None:
    """Of every operation, for requests that fit its description and for ones that do not."""
    called = fuzz(openapi, mode, TOKEN, KNOWN, examples=MOST_EXAMPLES)
    assert len(called) >= 30, called
