"""What `holdfast ledger gaps`, `conflicts`, `settle`, `meters`, `reading` and `status` do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.errors import DatabaseRefused
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.adapters.postgres.standby import PostgresStandby
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.ledger.at_hand import with_ledger
from holdfast.bootstrap.ledger.completeness import completeness_of
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.interfaces.cli.ledger.gaps import (
    ConcernShown,
    ConflictShown,
    GapShown,
    MeterShown,
    ReadingRequest,
    SettleRequest,
    StatusShown,
)
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.ledger.completeness.judging import Completeness, Judge, Settling, TenantStatus, missing_of
from holdfast.ledger.completeness.meters import Counter, Reading, judged
from holdfast.ledger.errors import NotThere

T = TypeVar("T")


class LocalCompleteness:
    """These commands, on the database of a running Holdfast."""

    def __init__(self) -> None:
        self._clock: Clock = SystemClock()

    def gaps(
        self, place: Place, tenant: str | None, source: str | None, *, settled: bool
    ) -> Sequence[GapShown]:
        async def look(store: Completeness, judge: Judge, tenants: Sequence[str]) -> Sequence[GapShown]:
            now = self._clock.now()
            found = list[GapShown]()
            for key in tenants:
                for gap in await missing_of(store, key, source=source):
                    age = now - gap.since
                    numbers = (gap.source, gap.epoch, gap.first, gap.last, gap.since, age)
                    found.append(GapShown(key, *numbers, gap.is_tail, age >= judge.gap_after))
                for away in await store.settled(key, source) if settled else ():
                    numbers = (away.source, away.epoch, away.first, away.last, away.at, now - away.at)
                    found.append(
                        GapShown(
                            key,
                            *numbers,
                            is_tail=False,
                            is_overdue=False,
                            settled=f"{away.reason} ({away.actor})",
                        )
                    )
            return sorted(found, key=lambda each: each.since)

        return self._do(place, tenant, look)

    def conflicts(
        self, place: Place, tenant: str | None, source: str | None, *, settled: bool
    ) -> Sequence[ConflictShown]:
        async def look(store: Completeness, _: Judge, tenants: Sequence[str]) -> Sequence[ConflictShown]:
            return [
                ConflictShown(key, each.source, each.epoch, each.seq, each.leaf, each.at, each.settled)
                for key in tenants
                for each in await store.clashes(key)
                if source in (None, each.source) and (settled or not each.settled)
            ]

        return self._do(place, tenant, look)

    def settle(self, place: Place, request: SettleRequest) -> Sequence[str]:
        async def work(store: Completeness, _: Judge, __: Sequence[str]) -> Sequence[str]:
            found = await open_of(store, request)
            for each in found:
                await store.settle(each, actor=command_line(), at=self._clock.now())
            return [_words(each) for each in found]

        return self._do(place, request.tenant, work)

    def meters(
        self, place: Place, tenant: str | None, device: str | None, look_back: timedelta, *, settled: bool
    ) -> Sequence[MeterShown]:
        async def look(store: Completeness, _: Judge, tenants: Sequence[str]) -> Sequence[MeterShown]:
            await store.meter_new_devices()
            since = self._clock.now() - look_back
            return [
                MeterShown(
                    key,
                    each.device,
                    each.counter,
                    each.source,
                    each.since,
                    each.until,
                    each.counted,
                    each.recorded,
                    each.difference,
                    each.jobs,
                    each.untold,
                    each.verdict,
                )
                for key in tenants
                for each in judged(await store.stretches(key, since, device=device, settled=settled))
            ]

        return self._do(place, tenant, look)

    def read_meter(self, place: Place, request: ReadingRequest) -> Mapping[str, str]:
        readings = [
            Reading(request.device, Counter(name), request.read_at, value)
            for name, value in request.counters.items()
        ]

        async def work(store: Completeness, _: Judge, __: Sequence[str]) -> Mapping[str, str]:
            outcomes = await store.read_meters(request.tenant, request.source, readings)
            pairs = zip(readings, outcomes, strict=True)
            return {reading.counter.value: outcome.value for reading, outcome in pairs}

        return self._do(place, request.tenant, work)

    def status(self, place: Place, tenant: str | None) -> Sequence[StatusShown]:
        async def on(ledger: Ledger, _: Conninfo) -> Sequence[StatusShown]:
            tenants, judge = await self._of(ledger, tenant), self._judge(ledger)
            second = await _second_of(ledger)
            found = [each for each in await judge.status() if each.log.tenant in tenants]
            return [replace(_shown(each), second_region=second) for each in found]

        return run(with_ledger(place, on))

    def _do(
        self,
        place: Place,
        tenant: str | None,
        work: Callable[[Completeness, Judge, Sequence[str]], Awaitable[T]],
    ) -> T:
        """Work for a tenant, or for all that there are. Raises NotThere, NoLedger."""

        async def on(ledger: Ledger, _: Conninfo) -> T:
            tenants = await self._of(ledger, tenant)
            return await work(completeness_of(ledger), self._judge(ledger), tenants)

        return run(with_ledger(place, on))

    def _judge(self, ledger: Ledger) -> Judge:
        gap_after = ledger.declared.unusual.gap_after
        return Judge(completeness_of(ledger), self._clock, gap_after=gap_after)

    async def _of(self, ledger: Ledger, tenant: str | None) -> Sequence[str]:
        if tenant is None:
            return await completeness_of(ledger).tenants()
        if await PostgresSources(ledger.pool).tenant(tenant) is None:
            raise NotThere(f"there is no tenant {tenant!r}", hint="see: holdfast ledger tenant list")
        return [tenant]


async def _second_of(ledger: Ledger) -> str:
    """How the standby stands, in words."""
    region = ledger.declared.second_region
    if region is None:
        return "none is declared"
    try:
        standing = await PostgresStandby(ledger.pool, region.standby).standing()
    except DatabaseRefused as error:
        return str(error)
    if standing.followers:
        return f"{region.standby} follows"
    stalls = region.when_away == "stall"
    meanwhile = "nothing is acknowledged until it does" if stalls else "what comes is in one region"
    return f"{region.standby} does not follow: {meanwhile}"


async def open_of(store: Completeness, request: SettleRequest) -> Sequence[Settling]:
    """What of the request is open: nothing is settled before it is missing. Raises NotThere."""
    tenant, reason = request.tenant, request.reason
    if request.device is not None and request.until is not None:
        stretches = judged(await store.stretches(tenant, request.until - timedelta(days=3650)))
        ends = [each.until for each in stretches if each.device == request.device]
        ends = [each for each in ends if each <= request.until]
        if ends:
            return [Settling(tenant, "meter", request.device, reason, until=max(ends))]
        raise NotThere(
            f"no reading of {request.device!r} up to then is open", hint="see: holdfast ledger meters"
        )
    source = request.source or ""
    if request.leaf is not None:
        open_ = {(each.source, each.leaf) for each in await store.clashes(tenant) if not each.settled}
        if (source, request.leaf) in open_:
            at = request.leaf
            return [Settling(tenant, "conflict", source, reason, first=at, last=at)]
        raise NotThere(
            f"leaf {request.leaf} is no open conflict of {source!r}", hint="see: holdfast ledger conflicts"
        )
    first, last = request.numbers or (0, 0)
    found = list[Settling]()
    for each in await missing_of(store, tenant, source=source):
        if each.epoch == request.epoch and each.first <= last and each.last >= first:
            start, end = max(first, each.first), min(last, each.last)
            found.append(Settling(tenant, "gap", source, reason, each.epoch, start, end))
    if not found:
        raise NotThere(f"none of these numbers of {source!r} is missing", hint="see: holdfast ledger gaps")
    return found


def _words(each: Settling) -> str:
    match each.what:
        case "gap":
            return f"{each.subject}, epoch {each.epoch}, numbers {each.first} to {each.last}"
        case "conflict":
            return f"{each.subject}, conflict entry {each.first}"
        case _:
            return f"{each.subject}, readings up to {each.until:%Y-%m-%d %H:%M:%S}Z"


def _shown(status: TenantStatus) -> StatusShown:
    log = status.log
    return StatusShown(
        log.tenant,
        log.origin,
        log.size,
        log.grown_at,
        log.published,
        log.published_at,
        log.one_region,
        log.folded,
        status.sources,
        len(status.missing),
        sum(each.count for each in status.missing),
        status.overdue,
        status.conflicts,
        [ConcernShown(each.kind.value, each.subject, each.since, each.facts) for each in status.concerns],
    )
