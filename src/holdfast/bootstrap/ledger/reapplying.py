"""What `holdfast ledger reapply` does: entries that a lost primary's tail held are taken in again.

Each goes in through the same sequencer and gate as what its source posts, under its own source, epoch and
number: what is there already is absorbed, whoever posted it first, and a number that has gone to another job
since becomes a conflict entry, as it would for the source itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.ledger.at_hand import with_ledger
from holdfast.bootstrap.ledger.files import LogFile
from holdfast.bootstrap.ledger.importers import Importing, opened_importing
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.interfaces.cli.ledger.reapply import ReappliedSource, ReapplyOutcome
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.ledger.intake.feeding import MOST_LINES, FeedRecords
from holdfast.ledger.intake.files import Line, Lines, marker
from holdfast.ledger.intake.persons import Cleared, anonymised, in_place
from holdfast.ledger.intake.reading import Form, Sender
from holdfast.ledger.model import Refusal
from holdfast.ledger.sources import SourceKind

IMPORTED = "an importer's files are read again instead, which gives the same numbers: holdfast ledger ingest"
NOT_IN_FORCE = "there is no such source in force: holdfast ledger source add"


class _Whose(msgspec.Struct):
    tenant: str
    source: str


_WHOSE = msgspec.json.Decoder(_Whose)


class LocalReapplying:
    """ReapplyCommands on this machine."""

    def reapply(self, place: Place, file: Path, report: Report, *, dry_run: bool) -> ReapplyOutcome:
        async def work(ledger: Ledger, conninfo: Conninfo) -> ReapplyOutcome:
            del conninfo
            async with opened_importing(ledger, place) as importing:
                again = _Again(importing, PostgresSources(ledger.pool), str(file), dry_run)
                with LogFile(file) as opened:
                    lines = Lines(opened.content, marker(b""))
                    while found := lines.read(MOST_LINES):
                        await again.take(found)
                        report(Progress("taking in", opened.position, max(opened.size, 1)))
                    await again.take(lines.finish())
                return again.outcome()

        return run(with_ledger(place, work, signing=not dry_run))


@dataclass
class _Again:
    importing: Importing
    sources: PostgresSources
    file: str
    dry_run: bool
    _feeds: dict[Sender, FeedRecords | str] = field(default_factory=dict)
    """Or why nothing is fed."""
    _left: dict[Sender, int] = field(default_factory=dict)
    _unread: list[Refusal] = field(default_factory=list)

    async def take(self, lines: Sequence[Line | Refusal]) -> None:
        of_each = dict[Sender, list[Line]]()
        for line in lines:
            if isinstance(line, Refusal):
                self._unread.append(line)
                continue
            try:
                whose = _WHOSE.decode(line.content)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                self._unread.append(Refusal(line.number, f"it is no entry: {error}"))
                continue
            of_each.setdefault(Sender(whose.tenant, whose.source), []).append(line)
        for sender, its in of_each.items():
            if sender not in self._feeds:
                self._feeds[sender] = await self._feed_of(sender)
            feed = self._feeds[sender]
            if isinstance(feed, str):
                self._left[sender] = self._left.get(sender, 0) + len(its)
            else:
                await feed.feed(self.file, its)

    async def _feed_of(self, sender: Sender) -> FeedRecords | str:
        source = await self.sources.source(sender.tenant, sender.source)
        if source is None or source.revoked_at is not None:
            return NOT_IN_FORCE
        if source.kind is SourceKind.IMPORTER:
            return IMPORTED
        book = self.importing.book

        async def cleared(body: bytes) -> Cleared:
            return await anonymised(body, Form.NDJSON, sender.tenant, book, in_place)

        return FeedRecords(
            sender, self.importing.sequencer, cleared, self.importing.passed, dry_run=self.dry_run
        )

    def outcome(self) -> ReapplyOutcome:
        found = [
            ReappliedSource(sender.tenant, sender.source, left=self._left.get(sender, 0), why_left=feed)
            if isinstance(feed, str)
            else ReappliedSource(sender.tenant, sender.source, feed.total)
            for sender, feed in sorted(self._feeds.items())
        ]
        return ReapplyOutcome(tuple(found), tuple((each.line, each.reason) for each in self._unread))
