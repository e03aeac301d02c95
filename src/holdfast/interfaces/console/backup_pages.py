"""Databases that are backed up: what each region restores, drawn on a line of time, and what is wrong."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response

from holdfast.backup.recoverable.drawn import Drawn, drawn
from holdfast.backup.recoverable.points import RegionPoints
from holdfast.backup.recoverable.standing import Reported
from holdfast.backup.retention.approvals import PEOPLE, Change, InForce, NotApproved
from holdfast.backup.retention.keeping import keep_text
from holdfast.identity.model import Right
from holdfast.interfaces.console.shell import ConsolePage, actor_of, check_right, form, page, redirect

SILENT_AFTER = timedelta(minutes=15)
"""A region that nobody reported for so long is said to be silent."""


@dataclass(frozen=True, slots=True)
class RegionRow:
    """A region of a database, as the page shows it."""

    points: RegionPoints
    line: Drawn
    rpo: timedelta | None
    silent_since: datetime | None
    rects: tuple[tuple[float, float, bool], ...]
    """Of its line: from, wide, suspect; of a thousand."""


class BackupPages:
    """The page over what was reported, and the approvals of changes that keep less.

    `names` are the databases' names by key; `changes` tells what is asked for, and `approve` agrees to it.
    """

    def __init__(
        self,
        statuses: Callable[[], Awaitable[Sequence[Reported]]],
        names: Callable[[], Mapping[str, str]],
        changes: Callable[[str], Awaitable[Sequence[InForce]]],
        approve: Callable[[str, str, str, int], Awaitable[InForce]],
    ) -> None:
        self._statuses = statuses
        self._names = names
        self._changes = changes
        self._approve = approve

    def pages(self) -> Sequence[ConsolePage]:
        return [
            ConsolePage(
                "/backups",
                self.listed,
                Right.READ,
                title="Backups",
                about="Which moments can be restored, and from where.",
            ),
            ConsolePage(
                "/backups/{database}/{region}/approve", self.approve, Right.COMMAND, methods=("POST",)
            ),
        ]

    async def listed(self, request: Request) -> Response:
        names = self._names()
        reported = [each for each in await self._statuses() if each.points.database in names]
        by_database = {
            key: rows_of(list(rows)) for key, rows in groupby(reported, lambda each: each.points.database)
        }
        asked: list[tuple[InForce, Change]] = [
            (known, known.change)
            for key in names
            for known in await self._changes(key)
            if known.change is not None
        ]
        return page(
            request,
            "backups.html",
            title="Backups",
            databases=[(name, by_database.get(key, [])) for key, name in names.items()],
            asked=asked,
            names=names,
            people=PEOPLE,
            keep_text=keep_text,
        )

    async def approve(self, request: Request) -> Response:
        """Agree to keeping less, for the change that the page showed."""
        check_right(request, Right.COMMAND)
        database, region = request.path_params["database"], request.path_params["region"]
        shown = form(request).get("change", "")
        # What is no number is no change that was ever open.
        change = int(shown) if shown.isdecimal() and len(shown) < 18 else 0
        try:
            await self._approve(database, region, actor_of(request).name, change)
        except NotApproved as error:
            return redirect(request, "/backups", told=str(error), trouble=True)
        return redirect(request, "/backups", told="You approved it.")


def rows_of(reported: Sequence[Reported]) -> list[RegionRow]:
    """A database's regions, drawn with the same ends."""
    if not reported:
        return []
    now = max(each.now for each in reported)
    lines = drawn([each.points for each in reported], now)
    return [
        RegionRow(
            each.points,
            line,
            each.points.rpo(now),
            each.at if now - each.at > SILENT_AFTER else None,
            tuple(
                (
                    round(part.left * 1000, 1),
                    round(max(part.right - part.left, 0.004) * 1000, 1),
                    part.suspect,
                )
                for part in line.windows
            ),
        )
        for each, line in zip(reported, lines, strict=True)
    ]
