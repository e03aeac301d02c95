"""What a process that works on runs has in its hands, and the duties that it keeps running."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.recovery.news import News
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.ports import RunStore
from holdfast.recovery.service import Recovery

AGAIN_IN_S = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Working:
    """For the duties of the process, as long as the estate in force says the same.

    Several processes may have the same duties at the same time: what must be done once is done under a lock,
    or is such that a second time comes to nothing.
    """

    estate: Estate
    place: Place
    """Absolute."""
    conninfo: Conninfo
    pool: Pool
    news: News
    runs: RunStore
    recovery: Recovery
    """With every playbook that can be started now."""
    clock: Clock


Duty = Callable[[Working], Awaitable[None]]


async def kept(name: str, duty: Duty, working: Working) -> None:
    """Run a duty for ever: what ends it is told, and it begins anew. One that returns has nothing to do."""
    told = ""
    while True:
        try:
            await duty(working)
        except HoldfastError as error:
            if str(error) != told:
                told = str(error)
                log.warning("recovery_duty_waits", duty=name, error=told, hint=error.hint)
        except Exception:  # a fault of ours in one duty leaves the others alone
            log.exception("recovery_duty_failed", duty=name)
        else:
            return
        await asyncio.sleep(AGAIN_IN_S)
