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
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.unit.api.rest_served import DECLARED, PLANNED, Served, subscriber_id

MOST_EXAMPLES = 30
ALWAYS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
TOKEN: dict[str, str] = {}
KNOWN: dict[str, list[str]] = {}
"""What there is, by path parameter: half of the calls are about something that exists."""


@pytest.fixture(scope="module")
def openapi() -> Iterator[Any]:
    served = Served(per_second=1e6, burst=10**9, guesses=10**9)
    asyncio.run(_furnish(served))
    mount = Mount("/api/v1", app=served.app)
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)  # as the console mounts it
    console = Starlette(routes=[mount])
    with structlog.testing.capture_logs():
        yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", console)


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
    called = []
    for found in openapi.get_all_operations():
        operation = found.ok()
        try:
            _fuzz(operation, mode)
        except Unsatisfiable:
            continue  # without parameters there is nothing to get wrong
        called.append(operation.label)
    assert len(called) >= 30, called


def _fuzz(operation: Any, mode: GenerationMode) -> None:
    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=MOST_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def call(case: schemathesis.Case) -> None:
        checks = [*ALWAYS]
        if mode is GenerationMode.POSITIVE:
            checks.append(ignored_auth)
            _about_what_exists(case)
        answer = case.call(headers=TOKEN)
        if answer.status_code in {413, 414}:
            assert answer.headers["content-type"] == ["application/problem+json"]
        elif mode is GenerationMode.NEGATIVE and _is_wrong_beside_the_token(case):
            checks.append(negative_data_rejection)
        case.validate_response(answer, checks=checks, headers=TOKEN)

    call()


def _is_wrong_beside_the_token(case: schemathesis.Case) -> bool:
    """The token is always sent: a request that lacked only that is right again."""
    assert case.meta is not None
    parts = case.meta.components.items()
    return any(
        each.mode is GenerationMode.NEGATIVE and where is not ParameterLocation.HEADER
        for where, each in parts
    )


def _about_what_exists(case: schemathesis.Case) -> None:
    parameters = case.path_parameters or {}
    for name, value in list(parameters.items()):
        choices = KNOWN.get(name, [])
        # Decided by what was generated, so that the same case is the same request again.
        mark = sum(str(value).encode(errors="replace"))
        if choices and mark % 2:
            parameters[name] = choices[mark // 2 % len(choices)]
