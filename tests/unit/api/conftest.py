from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import structlog
from rest_served import Served


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
async def served() -> Served:
    made = Served()
    await made.measure()
    return made


@pytest.fixture
async def api(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who may do everything."""
    async with await served.client() as client:
        yield client
