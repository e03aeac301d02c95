"""Completeness in memory, for tests and simulation: reckoned anew from the logs whenever it is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.kernel.journal import JournalEntry
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.completeness.concerns import Clash, Concern, StandsStill
from holdfast.ledger.completeness.judging import ACTOR, MOST_OF_A_SOURCE, ClaimMade, LogStanding, Settling
from holdfast.ledger.completeness.meters import Reading, Stretch, Taken, jobs_of, told
from holdfast.ledger.completeness.missing import Book, Claim, ClockMarked, Settled, Standing, arrivals, clocks
from holdfast.ledger.following import FollowedLog, GrowthRead
from holdfast.ledger.model import Conflict, Gap, Record

METERS = "meters"


class MemoryCompleteness:
    """Completeness over MemoryLogs. `now` is what claims are dated with; the test moves it."""

    def __init__(self, logs: MemoryLogs, following: MemoryFollowing, now: datetime) -> None:
        self.now = now
        self.journal: list[JournalEntry] = []
        self.following = following
        self.books: dict[str, dict[tuple[str, int], Book]] = {}
        self.marked: dict[str, dict[tuple[str, str], ClockMarked]] = {}
        self.metered: dict[str, dict[str, datetime]] = {}
        self.metered_to: dict[int, int] = {}
        self._logs = logs
        self._claims: dict[tuple[str, str, int], dict[int, Claim]] = {}
        self._readings: dict[tuple[str, str, str, str, datetime], Reading] = {}
        self._behind = set[tuple[str, str, str, str, datetime]]()
        """Readings from which on jobs are not collected any more."""
        self._settled: list[tuple[Settling, str, datetime]] = []
        self._standing: dict[tuple[str, str, str], Concern] = {}
        self._told: dict[tuple[str, str, str], datetime] = {}

    async def tenants(self) -> Sequence[str]:
        said = {key[0] for key in self._claims} | {key[0] for key in self._readings}
        return sorted(({*self._logs.all} | said) - {""})

    async def claim(self, tenant: str, source: str, claims: Sequence[ClaimMade]) -> None:
        for epoch, highest, lowest in claims:
            known = self._claims.setdefault((tenant, source, epoch), {})
            lowests = [each.lowest for each in known.values() if each.lowest is not None]
            lowest_ = min([*lowests, *([] if lowest is None else [lowest])], default=None)
            top = max([highest, *known])
            before = known.get(top)
            known[top] = Claim(source, epoch, top, lowest_, before.at if before else self.now, self.now)
            book = self.books.get(tenant, {}).get((source, epoch))
            if book and book.standing:
                for each in [each for each in known if each <= book.standing.highest and each < top]:
                    del known[each]

    async def read_meters(self, tenant: str, source: str, readings: Sequence[Reading]) -> Sequence[Taken]:
        found = list[Taken]()
        for each in readings:
            key = tenant, each.device, each.counter, source, each.read_at
            known = self._readings.get(key)
            if known is None:
                self._readings[key] = each
                found.append(Taken.TAKEN)
            else:
                found.append(Taken.REPEATED if known.value == each.value else Taken.CONFLICT)
        return found

    async def meter_new_devices(self) -> int:
        return sum([await self.meter(log) for log in await self.following.logs()])

    async def meter(self, log: FollowedLog) -> int:
        """See adapters/postgres/ledger_completeness_folds.py: `metered_anew`."""
        if not self.metered_to.get(log.id):
            return 0
        first = dict[str, datetime]()
        for key in self._readings:
            tenant, device, _, _, at = key
            if tenant == log.tenant and key not in self._behind:
                first[device] = min(at, first.get(device, at))
        known = self.metered.setdefault(log.tenant, {})
        new = {device: at for device, at in first.items() if device not in known or at < known[device]}
        known |= new
        return len(new)

    async def trim_metered(self, tenant: str, before: datetime) -> int:
        forgotten = 0
        for device, metered_from in [*self.metered.get(tenant, {}).items()]:
            series = dict[tuple[str, str], list[datetime]]()
            for owner, of_device, counter, source, at in self._readings:
                if (owner, of_device) == (tenant, device):
                    series.setdefault((counter, source), []).append(at)
            begun = [times for times in series.values() if min(times) <= before]
            going = [max(at for at in times if at <= before) for times in begun if max(times) > before]
            since = min(going, default=before)
            if not begun or since <= metered_from:
                continue
            entries = self._entries(tenant)
            jobs = jobs_of(entries, self.metered[tenant], dict(entries), {})
            forgotten += sum(job.device == device and job.occurred_at <= since for job in jobs)
            self.metered[tenant][device] = since
            self._behind |= {key for key in self._readings if key[:2] == (tenant, device) and key[4] < since}
        return forgotten

    async def standings(self, tenant: str, source: str | None = None) -> Sequence[Standing]:
        return [book.standing for book in self._books(tenant, source) if book.standing]

    async def gaps(
        self, tenant: str, source: str | None = None, *, most: int = MOST_OF_A_SOURCE
    ) -> Sequence[Gap]:
        found = [gap for book in self._books(tenant, source) for gap in book.gaps]
        found.sort(key=lambda gap: (gap.since, gap.source, gap.epoch, gap.first))
        return [gap for n, gap in enumerate(found) if _nth(found, n) <= most]

    async def claims(self, tenant: str, source: str | None = None) -> Sequence[Claim]:
        return [
            each
            for (owner, *_), known in sorted(self._claims.items())
            if owner == tenant
            for _, each in sorted(known.items())
            if source in (None, each.source)
        ]

    async def settled(self, tenant: str, source: str | None = None) -> Sequence[Settled]:
        return [
            Settled(each.subject, each.epoch, each.first, each.last, each.reason, actor, at)
            for each, actor, at in self._settled
            if each.tenant == tenant
            and source in (None, each.subject)
            and each.epoch is not None
            and each.first is not None
            and each.last is not None
        ]

    async def clashes(self, tenant: str, *, most: int = MOST_OF_A_SOURCE) -> Sequence[Clash]:
        log = self._logs.all.get(tenant)
        away = [
            (each.subject, each.first or 0, each.last or 0)
            for each, _, _ in self._settled
            if (each.tenant, each.what) == (tenant, "conflict")
        ]
        found = [
            Clash(
                *each.key,
                each.leaf,
                self.following.received_at,
                any(each.key.source == source and first <= each.leaf <= last for source, first, last in away),
            )
            for each in (log.conflicts if log else ())
        ]
        found.sort(key=lambda each: (each.settled, each.leaf))
        return [each for n, each in enumerate(found) if _nth(found, n) <= most]

    async def clocks(self, tenant: str) -> Sequence[ClockMarked]:
        return [each for _, each in sorted(self.marked.get(tenant, {}).items())]

    async def stretches(
        self, tenant: str, since: datetime, *, device: str | None = None, settled: bool = False
    ) -> Sequence[Stretch]:
        metered = self.metered.get(tenant, {})
        jobs = jobs_of(self._entries(tenant), metered, dict(self._entries(tenant)), {})
        by_counter = dict[tuple[str, str, str], list[Reading]]()
        for (owner, _, _, source, _), reading in sorted(self._readings.items(), key=lambda each: each[0]):
            if owner == tenant and device in (None, reading.device) and reading.device in metered:
                by_counter.setdefault((reading.device, reading.counter, source), []).append(reading)
        found = list[Stretch]()
        for (_, _, source), readings in by_counter.items():
            for before, after in pairwise(readings):
                too_early = before.read_at < metered[after.device] or after.read_at < since
                if too_early or (not settled and self._is_settled(tenant, after)):
                    continue
                here = [
                    (job.sign, told(job.quantities, after.counter))
                    for job in jobs
                    if job.device == after.device and before.read_at < job.occurred_at <= after.read_at
                ]
                found.append(
                    Stretch(
                        source,
                        after.device,
                        after.counter,
                        before.read_at,
                        after.read_at,
                        after.value - before.value,
                        sum(sign * (count or 0) for sign, count in here),
                        sum(sign for sign, _ in here),
                        sum(sign for sign, count in here if count is None),
                    )
                )
        return found

    async def settle(self, settling: Settling, *, actor: str, at: datetime) -> None:
        self._settled.append((settling, actor, at))
        facts = {"tenant": settling.tenant, "what": settling.what, "subject": settling.subject}
        self.journal.append(JournalEntry(at, actor, "ledger.settled", {**facts, "reason": settling.reason}))

    async def concerns(self, tenant: str | None = None) -> Sequence[Concern]:
        return [each for each in self._standing.values() if tenant in (None, each.tenant)]

    async def turn(
        self, begun: Sequence[Concern], over: Sequence[Concern], standing: Sequence[Concern], at: datetime
    ) -> Sequence[JournalEntry]:
        entries = list[JournalEntry]()
        for each in begun:
            if each.key not in self._standing:
                self._standing[each.key] = replace(each, found_at=at)
                entries.append(JournalEntry(at, ACTOR, each.begun, _facts(each)))
        for each in over:
            if self._standing.pop(each.key, None):
                self._told.pop(each.key, None)
                entries.append(JournalEntry(at, ACTOR, each.ended, _facts(each)))
        for each in standing:
            if known := self._standing.get(each.key):
                self._standing[each.key] = replace(known, facts=each.facts)
        self.journal += entries
        return entries

    async def take_to_tell(self, at: datetime, before: datetime) -> Sequence[Concern]:
        found = [each for key, each in self._standing.items() if self._told.get(key, before) <= before]
        self._told |= {each.key: at for each in found}
        return found

    async def still(self, tenant: str) -> Sequence[StandsStill]:
        log = self._logs.all.get(tenant)
        found = list[StandsStill]()
        for fold in ("completeness", METERS) if log else ():
            position = (await self.following.positions(fold)).get(log.id) if log else None
            if log and position is not None and position < len(log.entries):
                found.append(StandsStill(fold, self.following.received_at, len(log.entries) - position))
        return found

    async def logs(self) -> Sequence[LogStanding]:
        return [
            LogStanding(tenant, log.origin, len(log.entries), self.following.received_at, 0, None, 0, None)
            for tenant, log in sorted(self._logs.all.items())
            if tenant
        ]

    def _books(self, tenant: str, source: str | None) -> list[Book]:
        books = sorted(self.books.get(tenant, {}).items())
        return [book for _, book in books if source in (None, book.source)]

    def _entries(self, tenant: str) -> list[tuple[int, Record | Conflict]]:
        log = self._logs.all.get(tenant)
        folded = self.metered_to.get(log.id, 0) if log else 0
        return [(leaf, entry_of(each)) for leaf, each in enumerate(log.entries[:folded])] if log else []

    def _is_settled(self, tenant: str, reading: Reading) -> bool:
        return any(
            (each.tenant, each.what, each.subject) == (tenant, "meter", reading.device)
            and each.until is not None
            and each.until >= reading.read_at
            for each, _, _ in self._settled
        )


class MemoryCompletenessFold:
    """See adapters/postgres/ledger_completeness_folds.py."""

    name = "completeness"

    def __init__(self, store: MemoryCompleteness) -> None:
        self._store = store

    async def fold(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
        self._store.following.advanced(self.name, log.id, growths)
        books = self._store.books.setdefault(log.tenant, {})
        marked = self._store.marked.setdefault(log.tenant, {})
        for growth in growths:
            for key, arrived in arrivals(growth.entries).items():
                books.setdefault(key, Book(*key)).take(arrived, growth.received_at)
            marked |= clocks(growth.entries, growth.received_at, marked)


class MemoryMetersFold:
    """It only moves: what it would collect is reckoned when it is asked for."""

    name = METERS

    def __init__(self, store: MemoryCompleteness) -> None:
        self._store = store

    async def fold(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> None:
        await self._store.meter(log)
        self._store.following.advanced(self.name, log.id, growths)
        self._store.metered_to[log.id] = growths[-1].to_size


def _nth(found: Sequence[Gap] | Sequence[Clash], n: int) -> int:
    """Which one of its source it is, from 1."""
    return sum(each.source == found[n].source for each in found[: n + 1])


def _facts(concern: Concern) -> dict[str, object]:
    about = {"tenant": concern.tenant, "subject": concern.subject, "since": concern.since.isoformat()}
    return {**about, **concern.facts}
