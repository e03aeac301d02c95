"""Reading for a page that is made on request: bounded in time, and honest about a database that is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from holdfast.communication.news import News
from holdfast.interfaces.site.ports import NewsSource
from holdfast.interfaces.site.snapshot import Snapshot
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.kernel.windows import Window

_TIMEOUT_S = 15.0


class AwayError(Exception):
    """The database is away."""


class GoneError(Exception):
    """It is no longer in the estate, though the snapshot still has it."""


@contextlib.asynccontextmanager
async def reading(*, away: bool = False) -> AsyncIterator[None]:
    """Bounds a read in time, and turns a database that is away into AwayError.

    `away`: it is known to be. A page would wait for it in vain, and in the place of others.
    """
    if away:
        raise AwayError
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except (TimeoutError, OSError) as error:
        raise AwayError from error
    except HoldfastError as error:
        if error.remedy is Remedy.TRANSIENT:
            raise AwayError from error
        raise


async def told_in(window: Window, whole: Snapshot | None, source: NewsSource, *, away: bool = False) -> News:
    """All news of that window, private ones too: from memory where that goes back so far."""
    if whole is not None and whole.news.since <= window.start:
        return whole.news.within(window)
    async with reading(away=away):
        return await source.month(window)
