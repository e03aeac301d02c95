"""Keeps copies of the site up to date in several places, each on its own: one that is away delays no other.

    the site changed   --quick crawl--> what the news touch -+
    every ten minutes  --> ranges and past months           -+--> shelf --each place at its own pace--> places
    every day          --> reports                          -+

What a crawl does not look at stays on the shelf. What a deep one looked at and did not find goes: at once
when the set of public components changes, as nobody may find in a copy what has become private. A site that
is too large for its reports, or for its ranges, is copied without. A place that was away gets the shelf as it
is when it is back.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from holdfast.interfaces.site.app import StatusSite
from holdfast.interfaces.site.snapshot import Snapshot
from holdfast.interfaces.staticsite.addresses import Address, Depth, depth_of
from holdfast.interfaces.staticsite.copying import Copy
from holdfast.interfaces.staticsite.crawling import TooLarge
from holdfast.interfaces.staticsite.exporting import copied, extent_of
from holdfast.interfaces.staticsite.ports import Bucket
from holdfast.interfaces.staticsite.pushing import Prepared, prepared, push
from holdfast.kernel.clock import Clock

MONTHS = 12
REPORT_MONTHS = 3
FEW_COMPONENTS = 60
"""So many components' pages follow a change at once; those of more do with the ranges."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, in seconds. `debounce` gathers a burst; `again` is the first wait after a failure."""

    look_s: float = 0.5
    debounce_s: float = 1.0
    quick_s: float = 60.0
    pages_s: float = 600.0
    all_s: float = 86_400.0
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
    """The newest of every file, and their addresses. `whole`: what is not here may go from a copy."""

    files: dict[str, Prepared] = field(default_factory=dict)
    known: Mapping[Address, str] = field(default_factory=dict)
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
        self._public: object = None
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
        done_at = dict.fromkeys(Depth, float("-inf"))
        while True:
            publisher = self._site.publisher
            if publisher.edition.snapshot is None or not self._places():
                await asyncio.sleep(self._pace.look_s)
                continue
            public = _public(publisher.edition.snapshot)
            depth = self._due(done_at, changed=publisher.signature != seen, anew=public != self._public)
            if depth is not None:
                if publisher.signature != seen and seen is not None:
                    await asyncio.sleep(self._pace.debounce_s)
                signature, begun = publisher.signature, self._clock.monotonic()
                if await self._made(depth):
                    seen, self._public = signature, public
                    done_at |= {each: begun for each in Depth if each <= depth}
            await asyncio.sleep(self._pace.look_s)

    def _due(self, done_at: Mapping[Depth, float], *, changed: bool, anew: bool) -> Depth | None:
        """How deep to look now; None: not at all. A database that is away has no background to look at."""
        now, edition = self._clock.monotonic(), self._site.publisher.edition
        overview = edition.snapshot.overview if edition.snapshot else None
        few = (
            overview is not None and sum(len(each.components) for each in overview.clusters) <= FEW_COMPONENTS
        )
        quick = Depth.STATES if few else Depth.NEWS
        if not edition.away:
            if anew or now - done_at[Depth.ALL] >= self._pace.all_s:
                # Readers wait for the state, not for reports: these come once everything else is there.
                return Depth.ALL if self._shelf.version else Depth.PAGES
            if now - done_at[Depth.PAGES] >= self._pace.pages_s:
                return Depth.PAGES
        return quick if changed or now - done_at[quick] >= self._pace.quick_s else None

    async def _made(self, depth: Depth) -> bool:
        """One crawl onto the shelf; False when it failed, and the shelf is as it was."""
        while True:
            try:
                await self._look(depth)
            except TooLarge as error:
                log.error("site_copy_too_large", without=depth.name.lower(), error=str(error))  # noqa: TRY400
                if depth is Depth.NEWS:
                    await asyncio.sleep(self._pace.longest_again_s)
                    return False
                depth = Depth(depth - 1)
            except Exception:
                log.exception("site_copy_not_made")
                await asyncio.sleep(self._pace.again_s)
                return False
            else:
                return True

    async def _look(self, depth: Depth) -> None:
        shelf, at, edition = self._shelf, self._clock.now(), self._site.publisher.edition
        extent = extent_of(edition, at, months=MONTHS, report_months=REPORT_MONTHS, depth=depth)
        # A quick look finds less than there is: what only past months link to is not gone.
        known = shelf.known if depth < Depth.PAGES else _beyond(shelf.known, depth)
        copy, crawl = await copied(self._site, at, extent, known=known, at_once=1)
        fresh = await asyncio.to_thread(_prepared, copy, at)
        if crawl.missing:
            # What could not be had now is on the shelf from before, and stays.
            kept, shelf.known = shelf.files, {**shelf.known, **copy.known}
        else:
            there = set(known.values())
            kept = {path: file for path, file in shelf.files.items() if path in there}
            shelf.known = copy.known
        shelf.files = {**kept, **fresh}
        # Before the first look at reports nobody can say that a copy has too many.
        shelf.whole = not crawl.missing and (depth is Depth.ALL or shelf.whole)
        shelf.at, shelf.version = at, shelf.version + 1
        self._changed.set()
        self._changed = asyncio.Event()

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


def _beyond(known: Mapping[Address, str], depth: Depth) -> dict[Address, str]:
    """What a crawl of that depth does not look at."""
    return {each: file for each, file in known.items() if depth_of(each) > depth}


def _public(snapshot: Snapshot | None) -> object:
    """The components that everybody may see."""
    clusters = snapshot.overview.clusters if snapshot else ()
    return frozenset((each.key, one.status.key) for each in clusters for one in each.components)


def _prepared(copy: Copy, at: datetime) -> dict[str, Prepared]:
    return {file.path: prepared(file, at) for file in copy.files()}
