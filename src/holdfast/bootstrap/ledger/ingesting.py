"""What `holdfast ledger ingest` does: files into the log, through the same sequencer as everything else.

It works on the database itself, beside the process that serves the ledger: who comes second to append waits
for his turn.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.ledger.at_hand import with_ledger
from holdfast.bootstrap.ledger.files import STANDARD_INPUT, LogFile
from holdfast.bootstrap.ledger.importers import Importing, opened_importing
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.sources import tenant_of
from holdfast.bootstrap.signals import Signals
from holdfast.interfaces.cli.ledger.ingest import IngestOutcome, IngestRequest
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError, Remedy
from holdfast.ledger.errors import NotThere, Unsuitable
from holdfast.ledger.intake.cups import STANDARD, PageLog
from holdfast.ledger.intake.drafts import Reads, encoding_of
from holdfast.ledger.intake.feeding import MOST_LINES, Feed, FeedDrafts, FeedRecords, Insisting, at_once
from holdfast.ledger.intake.files import Lines, marker
from holdfast.ledger.intake.importing import Outcome
from holdfast.ledger.intake.ndjson import NumberlessRecords
from holdfast.ledger.intake.papercut import PrintLogger
from holdfast.ledger.intake.persons import Cleared, anonymised, in_place
from holdfast.ledger.intake.reading import Form, Sender
from holdfast.ledger.sources import Source, SourceKind, Tenant, zone_of

LOOK_EVERY_S = 1.0
AGAIN_IN_S = 2.0
LINGER_LOOKS = 3
"""After a rotation a writer may still have the old file open for a moment."""


class LocalIngesting:
    """IngestCommands on this machine."""

    def __init__(self, signals: Callable[[], Signals] | None = None) -> None:
        """`signals` for tests: what ends `--follow`."""
        self._signals = signals
        self._clock: Clock = SystemClock()

    def ingest(self, place: Place, request: IngestRequest, report: Report) -> IngestOutcome:
        if STANDARD_INPUT in request.files and (request.follow or len(request.files) > 1):
            raise Unsuitable("standard input is read alone, and to its end")

        async def work(ledger: Ledger, conninfo: Conninfo) -> IngestOutcome:
            del conninfo
            signals = self._stopped_by() if request.follow else Signals()
            began = time.monotonic()
            async with opened_importing(ledger, place) as importing:
                sources = PostgresSources(ledger.pool)
                tenant = await tenant_of(sources, request.tenant)
                source = await _source(sources, request)
                insisting = _insisting(signals.stop, report) if request.follow else at_once
                opened = _Opened(importing, tenant, source, insisting)
                feed, notes = await opened.feed_for(request)
                mark = marker(importing.mark_key(tenant))
                walk = _Walk(request, feed, mark, signals.stop, report, self._clock)
                await walk.run()
            took = timedelta(seconds=time.monotonic() - began)
            return IngestOutcome(feed.total, took, feed.held_back, tuple(walk.half_written), tuple(notes))

        return run(with_ledger(place, work, signing=not request.dry_run))

    def _stopped_by(self) -> Signals:
        if self._signals is not None:
            return self._signals()
        signals = Signals()
        signals.install()
        return signals


@dataclass
class _Opened:
    """What there is to take a source's files in with."""

    importing: Importing
    tenant: Tenant
    source: Source
    insisting: Insisting

    async def feed_for(self, request: IngestRequest) -> tuple[Feed, list[str]]:
        """What takes the lines, and what the user should know of it."""
        importing, book, notes = self.importing, self.importing.book, list[str]()
        if self.source.kind is SourceKind.IMPORTER:
            importer = await importing.importer_for(self.tenant, self.source)
            if book is None and request.form != "ndjson":
                notes.append("users were left out: the estate has no `ledger.pseudonym_key`")
            reads = self._reads(request)
            return FeedDrafts(reads, importer, dry_run=request.dry_run, insisting=self.insisting), notes
        if request.form != "ndjson":
            raise Unsuitable(
                f"{self.source.key!r} is a {self.source.kind}, and numbers its records itself",
                hint="make a source of the kind importer for these files",
            )
        sender = Sender(self.tenant.key, self.source.key)

        async def cleared(body: bytes) -> Cleared:
            return await anonymised(body, Form.NDJSON, sender.tenant, book, in_place)

        feed = FeedRecords(
            sender,
            importing.sequencer,
            cleared,
            importing.passed,
            dry_run=request.dry_run,
            insisting=self.insisting,
        )
        return feed, notes

    def _reads(self, request: IngestRequest) -> Reads:
        encoding = encoding_of(request.encoding)
        match request.form:
            case "cups":
                return PageLog(request.log_format or STANDARD, encoding)
            case "papercut":
                zone = zone_of(request.time_zone) if request.time_zone else self.tenant.time_zone
                return PrintLogger(ZoneInfo(zone), encoding)
            case _:
                takes_persons = self.importing.book is not None
                return NumberlessRecords(self.tenant.key, self.source.key, takes_persons=takes_persons)


@dataclass
class _Walk:
    """Through the files, one after the other, and at the end of the last one as long as it is followed."""

    request: IngestRequest
    feed: Feed
    mark: Callable[[bytes], bytes]
    stop: asyncio.Event
    report: Report
    clock: Clock
    half_written: list[str] = field(default_factory=list)
    _done_bytes: int = 0
    _all_bytes: int = 0

    async def run(self) -> None:
        files = self.request.files
        for path in files:  # before anything is taken in: one that is not there is said at once
            with LogFile(path) as file:
                self._all_bytes += file.size
        for path in files:
            following = self.request.follow and path == files[-1]
            await (self._follow(path) if following else self._once(path))
        await self.feed.flush(None if self.request.whole else self.clock.now())

    async def _once(self, path: Path) -> None:
        with LogFile(path) as file:
            lines = Lines(file.content, self.mark)
            await self._to_end(file, lines)
            await self._end(file, lines, finished=self.request.whole)
            self._done_bytes += file.size

    async def _follow(self, path: Path) -> None:
        while not self.stop.is_set():
            with LogFile(path) as file:
                if not file.plain:
                    raise Unsuitable(f"{path} is packed, and cannot be followed")
                lines = Lines(file.content, self.mark)
                gone = 0
                while gone < LINGER_LOOKS and not self.stop.is_set() and not file.begun_anew(lines.head):
                    await self._to_end(file, lines)
                    await self.feed.flush(self.clock.now())
                    gone = gone + 1 if file.replaced() else 0
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S):
                            await self.stop.wait()
                # What was rotated away is finished: what stands behind its last line's end is a line.
                await self._end(file, lines, finished=gone >= LINGER_LOOKS)

    async def _to_end(self, file: LogFile, lines: Lines) -> None:
        while found := lines.read(MOST_LINES):
            await self.feed.feed(str(file.path), found)
            self._tell(file)
            if self.stop.is_set():
                break

    async def _end(self, file: LogFile, lines: Lines, *, finished: bool) -> None:
        if finished:
            await self.feed.feed(str(file.path), lines.finish())
        elif lines.half_written:
            self.half_written.append(str(file.path))
        self.feed.next_file()

    def _tell(self, file: LogFile) -> None:
        total = self.feed.total
        self.report(
            Progress(
                f"{total.lines:,} lines, {total.taken:,} jobs",
                self._done_bytes + file.position if self._all_bytes else None,
                max(self._all_bytes, self._done_bytes + file.position) if self._all_bytes else None,
            )
        )


def _insisting(stop: asyncio.Event, report: Report) -> Insisting:
    """Try again what failed in passing, such as while the database or the second region is away."""

    async def insist(work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        while True:
            try:
                return await work()
            except HoldfastError as error:
                if error.remedy is not Remedy.TRANSIENT or stop.is_set():
                    raise
                report(Progress(f"waiting: {error}"))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_IN_S):
                    await stop.wait()

    return insist


async def _source(sources: PostgresSources, request: IngestRequest) -> Source:
    found = await sources.source(request.tenant, request.source)
    if found is None or found.revoked_at is not None:
        raise NotThere(
            f"tenant {request.tenant!r} has no source {request.source!r} that is in force",
            hint=f"holdfast ledger source list --tenant {request.tenant}",
        )
    return found
