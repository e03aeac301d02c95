"""Keeps the site's snapshot: reads, renders the pages that everybody asks for, and says how old it all is."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from holdfast.estate.model import Site
from holdfast.interfaces.site.assets import assets_of, favicon
from holdfast.interfaces.site.events import Streams
from holdfast.interfaces.site.feed_shelf import FeedShelf
from holdfast.interfaces.site.ports import Changes, NewsSource, StatusReader
from holdfast.interfaces.site.readership import Readership
from holdfast.interfaces.site.rendering import Assets, Renderers, Staleness, renderers
from holdfast.interfaces.site.responses import HTML, Answer
from holdfast.interfaces.site.snapshot import DAYS, Snapshot, SnapshotFile
from holdfast.interfaces.site.statusjson import status_json
from holdfast.interfaces.site.statuspage import StatuspageShelf
from holdfast.interfaces.site.wording import Shown, all_components, shown, whole_state
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError

_log = structlog.get_logger(__name__)
_VARY = "accept-encoding, accept-language"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often, in seconds. `debounce` gathers a burst of changes; `store` spares the disk."""

    refresh_s: float = 5.0
    debounce_s: float = 0.2
    read_timeout_s: float = 10.0
    store_s: float = 15.0
    listen_again_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Edition:
    """All that is served from memory, as of one reading. Replaced as a whole.

    `snapshot` is what everybody may see. `whole` is what was read, for the pages of customers alone. `mark`
    is another number whenever anything told has changed: pages kept elsewhere are kept under it.
    """

    site: Site
    assets: Assets
    renderers: Renderers
    pages: dict[str, Answer]
    snapshot: Snapshot | None = None
    away: bool = False
    whole: Snapshot | None = None
    mark: int = 0

    def stale(self, now: datetime) -> Staleness | None:
        """How old the snapshot is, when the database is away; None while it is current."""
        return Staleness(self.snapshot.at, now - self.snapshot.at) if self.away and self.snapshot else None


@dataclass(slots=True)
class Counts:
    """What the publisher did, for /metrics. `turned_at` is on the monotonic clock."""

    renders: int = 0
    read_failures: int = 0
    render_failures: int = 0
    store_failures: int = 0
    turned_at: float = field(default=0.0)


class Publisher:
    """Owns the current edition and the task that renews it."""

    def __init__(
        self,
        reader: StatusReader,
        settings: Callable[[], Site],
        clock: Clock,
        streams: Streams,
        *,
        news: NewsSource,
        readership: Callable[[], Readership],
        changes: Changes,
        snapshot_file: Path | None,
        logo_folder: Path | None,
        rhythm: Rhythm,
        subscribable: Callable[[], bool] = bool,
    ) -> None:
        self._reader = reader
        self._news = news
        self._readership = readership
        self._settings = settings
        self._clock = clock
        self._streams = streams
        self._changes = changes
        self._file = SnapshotFile(snapshot_file) if snapshot_file else None
        self._logo_folder = logo_folder
        self._rhythm = rhythm
        self._subscribable = subscribable
        self._poke = asyncio.Event()
        self._signature: object = None
        self._feeds = FeedShelf()
        self._statuspage = StatuspageShelf()
        self._in_use: tuple[Site, Assets, Renderers] | None = None
        self._stored_at = float("-inf")
        self.counts = Counts(turned_at=clock.monotonic())
        stored = self._file.load() if self._file else None
        self.edition = self._composed(stored, away=True)

    async def run(self) -> None:
        """Renew the edition at every change, and every few seconds anyway. Runs until cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                await self._pause(await self.turn())
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _pause(self, spent_s: float) -> None:
        """Wait for a change or the next turn. A large estate takes long to render: it turns less often."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(self._rhythm.refresh_s, 4 * spent_s)):
                await self._poke.wait()
                await asyncio.sleep(max(self._rhythm.debounce_s, spent_s))
        self._poke.clear()

    async def turn(self) -> float:
        """Read, render, publish, store: once. Whatever goes wrong is counted, and the site answers on.

        Returns how many seconds of work that was. To have waited for a database that does not answer is none:
        else its return would be noticed late, and the later the longer it kept us waiting.
        """
        begun = self._clock.monotonic()
        read = await self._read()
        away = read is None
        if away:
            begun = self._clock.monotonic()
        snapshot = self.edition.whole if read is None else read
        try:
            # Rendering and compressing take tens of milliseconds: in a thread, so that no request waits.
            self.edition = await asyncio.to_thread(self._composed, snapshot, away=away)
            self.counts.renders += 1
        except Exception:  # noqa: BLE001 - the old edition goes on serving; this one is counted
            self.counts.render_failures += 1
            _log.exception("site_render_failed")
            return self._clock.monotonic() - begun
        finally:
            self.counts.turned_at = self._clock.monotonic()
        changed = self._note_change()
        if not away:
            await self._store(changed)
        return self._clock.monotonic() - begun

    async def _read(self) -> Snapshot | None:
        try:
            async with asyncio.timeout(self._rhythm.read_timeout_s):
                overview, news = await self._reader.overview(days=DAYS), await self._news.news()
                # Asked last: what became private while this was read is private.
                return Snapshot(overview, news, self._readership())
        except (HoldfastError, TimeoutError, OSError) as error:
            self._failed_reading(str(error) or type(error).__name__)
        except Exception:  # noqa: BLE001
            # A defect in reading must not silence the site: the snapshot is shown as old, and this is logged.
            self._failed_reading("unexpected")
            _log.exception("site_read_failed_unexpectedly")
        return None

    def _failed_reading(self, error: str) -> None:
        self.counts.read_failures += 1
        if not self.edition.away:
            _log.warning("site_lost_its_database", error=error)

    def _composed(self, whole: Snapshot | None, *, away: bool) -> Edition:
        site = self._settings()
        assets, pages = assets_of(site, self._logo_folder)
        assets = replace(assets, subscribable=self._subscribable())
        in_languages = self._renderers(site, assets)
        if whole and away:
            # What became private since it was read is private in it, whichever of the two is the newer.
            whole = replace(whole, readership=whole.readership.stricter(self._readership()))
        snapshot = whole.for_everybody() if whole else None
        mark = hash((whole.news.versions, whole.readership.mark)) if whole else 0
        edition = Edition(site, assets, in_languages, pages, snapshot, away, whole, mark)
        if snapshot is None:
            pages["/favicon.svg"] = favicon(Shown.UNKNOWN)
            return edition
        overview, news, stale = snapshot.overview, snapshot.news, edition.stale(self._clock.now())
        for language, renderer in in_languages.items():
            overall = _page(renderer.overall(overview, stale, news), language)
            pages[f"/{language}/"] = pages[f"/{language}"] = overall
            for cluster in overview.clusters:
                page = _page(renderer.cluster(overview, cluster, stale, news), language)
                pages[f"/{language}/clusters/{cluster.key}"] = page
        pages |= self._feeds.pages(snapshot, in_languages)
        pages |= self._statuspage.pages(overview, news, site, unknown=bool(stale and stale.loud))
        state = Shown.UNKNOWN if stale and stale.loud else whole_state(overview, news)
        pages["/favicon.svg"] = favicon(state)
        pages["/api/v1/status.json"] = status_json(overview, stale, news)
        return edition

    def _renderers(self, site: Site, assets: Assets) -> Renderers:
        """The ones in use, unless the settings changed: pages kept elsewhere are known by their renderer."""
        if self._in_use is None or self._in_use[:2] != (site, assets):
            self._in_use = (site, assets, renderers(site, assets))
        return self._in_use[2]

    @property
    def signature(self) -> object:
        """Another value whenever something changed that is worth telling at once."""
        return self._signature

    def _note_change(self) -> bool:
        signature = _signature(self.edition)
        changed = signature != self._signature
        if changed:
            self._signature = signature
            self._streams.announce()
        return changed

    async def _store(self, changed: bool) -> None:
        due = self._clock.monotonic() - self._stored_at >= self._rhythm.store_s
        if self._file is None or self.edition.whole is None or not (changed or due):
            return
        try:
            await asyncio.to_thread(self._file.store, self.edition.whole)
            self._stored_at = self._clock.monotonic()
        except (OSError, msgspec.MsgspecError) as error:
            self.counts.store_failures += 1
            _log.warning("site_snapshot_not_stored", error=str(error))

    async def _listen(self) -> None:
        while True:
            try:
                async for _ in self._changes():
                    self._poke.set()
            except (HoldfastError, OSError) as error:
                _log.info("site_listening_lost", error=str(error))
            except Exception:  # noqa: BLE001 - the site lives on its rhythm meanwhile
                _log.exception("site_listening_failed")
            await asyncio.sleep(self._rhythm.listen_again_s)


def _page(html: str, language: str) -> Answer:
    return Answer(html, HTML, headers=[(b"content-language", language.encode())], vary=_VARY)


def _signature(edition: Edition) -> object:
    """What, when it changes, is worth telling open pages at once. Figures drift without being news.

    Nothing private is in it: the moment of a change alone would tell strangers something.
    """
    overview = edition.snapshot.overview if edition.snapshot else None
    return (
        edition.away,
        edition.site,
        overview
        and (
            [
                (
                    cluster.key,
                    each.status.key,
                    each.status.name,
                    shown(each.status),
                    each.status.since,
                    each.status.reason,
                    each.status.because_of,
                )
                for cluster, each in all_components(overview)
            ],
            edition.snapshot and edition.snapshot.news.versions,
        ),
    )
