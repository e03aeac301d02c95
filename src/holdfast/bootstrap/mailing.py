"""The controller's part in mailed reports: while it leads, it posts what is due."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.deliveries import PostgresLetterbox
from holdfast.adapters.postgres.months import PostgresMonths
from holdfast.bootstrap.leading import LOOK_EVERY_S, ControllerPart, Note
from holdfast.bootstrap.vault import vault_for
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.bootstrap.reports import Mailing

MAIL_EVERY_S = 15.0

log = structlog.get_logger()


class Reports(ControllerPart):
    """Mails reports while this controller leads."""

    def __init__(
        self,
        config: Path,
        data_dir: Path,
        conninfo: Conninfo,
        clock: Clock,
        *,
        leading: Callable[[], bool],
        note: Note,
    ) -> None:
        super().__init__(conninfo, clock, leading=leading, note=note)
        self._config = config
        self._data_dir = data_dir

    async def run(self) -> None:
        """Run until cancelled. The database may be away at any time."""
        async with open_pool(self._conninfo, "reports", max_size=2) as pool:
            mailing: Mailing | None = None
            while True:
                if self._is_idle():
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                try:
                    if self._in_force().estate.communication.reports:
                        mailing = mailing or self._mailing(pool)
                        await mailing.post_due()
                except HoldfastError as error:
                    log.warning("reports_postponed", error=str(error))
                await asyncio.sleep(MAIL_EVERY_S)

    def _mailing(self, pool: Pool) -> "Mailing":
        estate = self._in_force().estate
        # Templates and all: a controller that mails no report has no use for them.
        from holdfast.bootstrap.reports import Mailing, report_desk  # noqa: PLC0415

        letterbox = PostgresLetterbox(pool, vault_for(estate, self._config, self._data_dir))
        desk = report_desk(pool, self._clock, self._in_force)
        return Mailing(desk, PostgresMonths(pool), letterbox, self._clock, self._in_force, self._note)
