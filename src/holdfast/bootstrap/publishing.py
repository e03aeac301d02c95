"""Copies of the site: pushed by its process to where the estate says, or written by the command line."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import structlog

from holdfast.adapters.objectstore.bucket import Bucket, open_bucket
from holdfast.bootstrap.estates import secret_of
from holdfast.estate.communication import Publish
from holdfast.estate.model import Estate, Site
from holdfast.estate.values import SecretRef
from holdfast.interfaces.cli.ports import Finding, Progress, Report
from holdfast.interfaces.site.app import StatusSite
from holdfast.interfaces.site.metrics import CopyAge
from holdfast.interfaces.site.publisher import Edition
from holdfast.interfaces.staticsite.exporting import Exported, copied, extent_of
from holdfast.interfaces.staticsite.folder import CopyFolder
from holdfast.interfaces.staticsite.publishing import Copies, Pace, PlaceNamed
from holdfast.interfaces.staticsite.pushing import NOTE
from holdfast.kernel.clock import Clock
from holdfast.kernel.errors import HoldfastError, Remedy

READY_WITHIN_S = 60.0
MAKE_AGAIN_S = 10.0
REPORT_MONTHS = 12
"""Of an export: reports cost most of it."""

log = structlog.get_logger()


class NothingToCopy(HoldfastError):  # noqa: N818  a state of affairs more than an error
    """Neither a database nor a snapshot says anything."""

    remedy = Remedy.TRANSIENT


class Publishing:
    """Keeps the copies that `site.publish` names, from the site's own process."""

    def __init__(
        self, config: Path, clock: Clock, settings: Callable[[], Site], pace: Pace | None = None
    ) -> None:
        self._config = config
        self._clock = clock
        self._settings = settings
        self._pace = pace
        self._copies: Copies | None = None

    async def run(self, site: StatusSite) -> None:
        """Run until cancelled. Nothing of it ever ends the site."""
        while True:
            self._copies = Copies(site, self._places, self._open, self._clock, self._pace)
            try:
                await self._copies.run()
            except Exception:
                log.exception("site_copies_failed_unexpectedly")
            await asyncio.sleep(MAKE_AGAIN_S)

    def ages(self) -> Sequence[CopyAge]:
        """How old each copy is, for /metrics."""
        now = self._clock.now()
        standings = self._copies.standings if self._copies else {}
        return [
            CopyAge(
                place.region,
                place.to,
                None if each.shown_at is None else max(0.0, (now - each.shown_at).total_seconds()),
                each.failures,
            )
            for place, each in standings.items()
        ]

    def _places(self) -> list[PlaceNamed]:
        return [PlaceNamed(each.region, each.to) for each in self._settings().publish]

    def _open(self, place: PlaceNamed) -> Bucket:
        found = next(
            each for each in self._settings().publish if (each.region, each.to) == (place.region, place.to)
        )
        return open_bucket(found.to, options_of(found, self._config))


def options_of(place: Publish, config: Path) -> Mapping[str, str]:
    """The options with their secrets. Raises what a secret that cannot be had raises."""
    return {
        name: secret_of(config, value) if isinstance(value, SecretRef) else value
        for name, value in place.options.items()
    }


async def place_findings(estate: Estate, config: Path) -> list[Finding]:
    """What trying each place of `site.publish` came to. Reads one object, and writes nothing."""
    return [await _tried(each, config) for each in estate.site.publish]


async def _tried(place: Publish, config: Path) -> Finding:
    subject, began = f"copy of the site in {place.region}", time.monotonic()
    try:
        bucket = open_bucket(place.to, options_of(place, config))
        found = await bucket.get(NOTE)
    except HoldfastError as error:
        return Finding(subject, ok=False, text=str(error))
    text = "no copy yet" if found is None else "there is a copy"
    return Finding(subject, ok=True, text=text, took_ms=(time.monotonic() - began) * 1000)


async def export(site: StatusSite, folder: Path, clock: Clock, months: int, report: Report) -> Exported:
    """Write a copy of what the site shows into a folder. Raises NothingToCopy, FolderRefused and OSError."""
    target = CopyFolder(folder)
    target.check()
    async with site.router.lifespan_context(site):
        report(Progress("reading what the site shows"))
        edition = await _ready(site)
        copy, crawl = await copied(
            site,
            clock.now(),
            extent_of(edition, clock.now(), months=months, report_months=min(months, REPORT_MONTHS)),
            lambda done, known: report(Progress(f"copied {done} of {known} pages", done, known)),
        )
        report(Progress(f"writing {len(copy)} files to {folder}"))
        written = await asyncio.to_thread(target.replace, copy.files())
    at = edition.snapshot.at if edition.snapshot else clock.now()
    return Exported(folder, written, at, live=not edition.away, left_out=len(crawl.missing))


async def _ready(site: StatusSite) -> Edition:
    """The site's first edition, of the database or, where that is away, of the snapshot."""
    publisher = site.publisher
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_WITHIN_S):
            while not publisher.counts.renders and not publisher.counts.render_failures:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    if publisher.edition.snapshot is None:
        raise NothingToCopy(
            "there is nothing to copy: no database answers, and no snapshot is there",
            hint="start Holdfast, or name the data folder of a site that ran: --data-dir",
        )
    return publisher.edition
