"""Keeps copies of the site up to date in several places, each on its own: one that is away delays no other.

    the site changed --quick crawl--> what the news touch -+
    every WHOLE_S    --whole crawl--> everything          -+--> shelf --each place at its own pace--> places

A quick crawl follows a change at once; a whole one makes the background (ranges, months, reports) current and
takes away what is no more. A place that was away gets the shelf as it is when it is back.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from holdfast.interfaces.site.app import StatusSite
from holdfast.interfaces.staticsite.addresses import Address
from holdfast.interfaces.staticsite.copying import Copy
from holdfast.interfaces.staticsite.exporting import copied
from holdfast.interfaces.staticsite.ports import Bucket
from holdfast.interfaces.staticsite.pushing import Prepared, prepared, push
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

MONTHS = 12

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, in seconds. `debounce` gathers a burst; `again` is the first wait after a failure."""

    look_s: float = 0.5
    debounce_s: float = 1.0
    quick_s: float = 60.0
    whole_s: float = 600.0
    again_s: float = 5.0
    longest_again_s: float = 300.0


@dataclass(frozen=True, slots=True)
class PlaceNamed:
    """A place by its region and its address."""

    region: str
    to: str


@dataclass(slots=True)
class Standing:
    """How one copy stands: what it shows is of `shown_at`; `failures` since it was last written."""

    shown_at: datetime | None = None
    failures: int = 0
    writes: int = 0


@dataclass(slots=True)
class Shelf:
    """The newest of every file. `whole`: nothing is missing, so that what is not here may go."""

    files: dict[str, Prepared] = field(default_factory=dict)
    known: Mapping[Address, str] | None = None
    at: datetime | None = None
    whole: bool = False
    version: int = 0


class Copies:
    """Follows the site and keeps its copies. `open_bucket` may raise HoldfastError, as any push may."""

    def __init__(
        self,
        site: StatusSite,
        places: Callable[[], Sequence[PlaceNamed]],
        open_bucket: Callable[[PlaceNamed], Bucket],
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self._site = site
        self._places = places
        self._open_bucket = open_bucket
        self._clock = clock
        self._pace = pace or Pace()
        self._shelf = Shelf()
        self._changed = asyncio.Event()
        self.standings: dict[PlaceNamed, Standing] = {}

    async def run(self) -> None:
        """Run until cancelled. While the estate names no place, nothing is made."""
        tasks: dict[PlaceNamed, asyncio.Task[None]] = {}
        making = asyncio.create_task(self._make())
        try:
            while not making.done():
                wanted = dict.fromkeys(self._places())
                for gone in [each for each in tasks if each not in wanted]:
                    tasks.pop(gone).cancel()
                    self.standings.pop(gone, None)
                for each in wanted:
                    if each not in tasks:
                        self.standings[each] = Standing()
                        tasks[each] = asyncio.create_task(self._keep(each, self.standings[each]))
                await asyncio.sleep(self._pace.look_s)
            making.result()
        finally:
            for task in (making, *tasks.values()):
                task.cancel()
            await asyncio.gather(making, *tasks.values(), return_exceptions=True)

    # Making

    async def _make(self) -> None:
        """Put the newest of the site on the shelf: at once after a change, and now and then anyway."""
        seen: object = None
        quick_at = whole_at = float("-inf")
        while True:
            now, signature = self._clock.monotonic(), self._site.publisher.signature
            edition = self._site.publisher.edition
            if edition.snapshot is None or not self._places():
                await asyncio.sleep(self._pace.look_s)
                continue
            due_whole = now - whole_at >= self._pace.whole_s and not edition.away
            if due_whole or signature != seen or now - quick_at >= self._pace.quick_s:
                if signature != seen and seen is not None:
                    await asyncio.sleep(self._pace.debounce_s)
                    signature = self._site.publisher.signature
                begun = self._clock.monotonic()
                if await self._made(quick=not due_whole and self._shelf.known is not None):
                    seen, quick_at = signature, begun
                    whole_at = begun if due_whole else whole_at
            await asyncio.sleep(self._pace.look_s)

    async def _made(self, *, quick: bool) -> bool:
        """One crawl onto the shelf; False when it failed, and the shelf is as it was."""
        shelf, at = self._shelf, self._clock.now()
        try:
            copy, crawl = await copied(
                self._site, at, MONTHS, known=shelf.known if quick else None, at_once=1
            )
            files = await asyncio.to_thread(_prepared, copy, at)
        except HoldfastError as error:
            log.error("site_copy_not_made", error=str(error), hint=error.hint)  # noqa: TRY400  a person's to put right
            await asyncio.sleep(self._pace.again_s)
            return False
        except Exception:
            log.exception("site_copy_failed_unexpectedly")
            await asyncio.sleep(self._pace.again_s)
            return False
        if quick or crawl.missing:
            # What could not be had now is on the shelf from before, and stays.
            files = {**shelf.files, **files}
        else:
            shelf.known = copy.known
        if shelf.known is None:
            shelf.known = copy.known
        shelf.files, shelf.at, shelf.version = files, at, shelf.version + 1
        shelf.whole = (shelf.whole and quick) or not (quick or crawl.missing)
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    # Keeping

    async def _keep(self, place: PlaceNamed, standing: Standing) -> None:
        """Bring one copy up to every new version of the shelf, as soon as it can take it."""
        done, again_s = 0, self._pace.again_s
        bucket: Bucket | None = None
        while True:
            if self._shelf.version == done:
                await self._changed.wait()
                continue
            version, at = self._shelf.version, self._shelf.at
            begun = self._clock.monotonic()
            try:
                bucket = bucket or self._open_bucket(place)
                pushed = await push(bucket, self._shelf.files, self._clock.now(), whole=self._shelf.whole)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this place's alone
                standing.failures += 1
                bucket = None
                told = str(error) or type(error).__name__
                log.warning(
                    "site_copy_not_written", region=place.region, to=place.to, error=told, again_s=again_s
                )
                await asyncio.sleep(again_s)
                again_s = min(again_s * 2, self._pace.longest_again_s)
                continue
            done, again_s = version, self._pace.again_s
            standing.shown_at, standing.failures = at, 0
            standing.writes += 1
            if pushed.written or pushed.removed:
                log.info(
                    "site_copy_written",
                    region=place.region,
                    to=place.to,
                    written=pushed.written,
                    removed=pushed.removed,
                    took_s=round(self._clock.monotonic() - begun, 2),
                )


def _prepared(copy: Copy, at: datetime) -> dict[str, Prepared]:
    return {file.path: prepared(file, at) for file in copy.files()}
