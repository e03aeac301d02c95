"""Reports: what a tenant, or all of them, did in a stretch of days, by whom or what, per day to year. Pure.

A report is read from roll-ups and never from entries. It is planned first: a stretch is covered by whole
years, whole months and single days, so that a year over ten million records is a few thousand rows, and
mostly as many as the report tells.

Two quantities are never mixed: amounts stand per currency, and sheets of a paper format are asked for by
themselves (`By.FORMAT`), since a job may use several.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum, StrEnum
from operator import add
from types import MappingProxyType
from typing import NamedTuple, Protocol

from holdfast.ledger.errors import Unsuitable
from holdfast.ledger.model import Kind
from holdfast.ledger.reports.rollups import Sums

EARLIEST, LATEST = date(1, 1, 1), date(9999, 12, 31)


class By(StrEnum):
    """What a report's rows are about."""

    TENANT = "tenant"
    KIND = "kind"
    DEVICE = "device"
    USER = "user"
    COST_CENTRE = "cost_centre"
    FORMAT = "format"
    """Paper formats: sheets alone are told."""


class Per(StrEnum):
    """Which time a row is about. Weeks begin on Monday (ISO 8601)."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Order(StrEnum):
    """By which quantity the greatest members are found."""

    JOBS = "jobs"
    SHEETS = "sheets"
    IMPRESSIONS = "impressions"
    SCAN_PAGES = "scan_pages"
    FAX_PAGES = "fax_pages"
    AMOUNT = "amount"


_QUANTITIES = {order: Sums._fields.index(order) for order in Order if order is not Order.IMPRESSIONS}


class Grain(IntEnum):
    """The stretches that sums are kept of."""

    DAY = 0
    MONTH = 1
    YEAR = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is to tell: the days [since, until) of each tenant's own time zone."""

    since: date
    until: date
    tenant: str | None = None
    """None: all tenants, for who may read them."""
    by: By | None = None
    """None: one row for each time."""
    per: Per | None = None
    """None: one row for the whole stretch."""
    kind: Kind | None = None
    device: str | None = None
    """The empty text means the jobs that tell none. So it does for the next two."""
    user: str | None = None
    cost_centre: str | None = None
    most: int | None = None
    """Only so many members, the greatest ones by `order`."""
    order: Order = Order.JOBS

    def __post_init__(self) -> None:
        if self.until <= self.since:
            raise Unsuitable(
                f"the days from {self.since} to {self.until - timedelta(days=1)} are none",
                hint="a stretch ends on the day it begins, or later",
            )
        if self.most is not None and self.most < 1:
            raise Unsuitable("at least one row is told")
        if self.by is By.FORMAT and (self.kind is not None or len(self.filters) > 1):
            raise Unsuitable(
                "sheets by paper format are kept over all kinds, and for one device, user or cost centre",
                hint="leave the other filters out",
            )

    @property
    def filters(self) -> Mapping[By, str]:
        """Which single device, user or cost centre it is about."""
        asked = {By.DEVICE: self.device, By.USER: self.user, By.COST_CENTRE: self.cost_centre}
        return {by: name for by, name in asked.items() if name is not None}


class Row(NamedTuple):
    """One row. `jobs` and the other quantities are over all currencies; amounts stand per currency."""

    start: date | None
    """The first day of its time; None for the whole stretch. Days outside of the report are not in it."""
    tenant: str
    """Empty where the row is about all tenants."""
    member: str
    """The kind, device, user, cost centre or format; empty for what records do not tell, or without `by`."""
    sums: Sums
    """Without its amount."""
    amounts: Mapping[str, int] = MappingProxyType({})
    """By currency, in its minor units; without those that come to nothing."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the sums of a tenant's log have come."""

    tenant: str
    time_zone: str
    folded: int
    size: int
    void: int
    """Corrections that name nothing that could be corrected."""


@dataclass(frozen=True, slots=True)
class Report:
    """Rows by time, and within it the greatest member first, with what all of it comes to."""

    asked: Asked
    rows: Sequence[Row]
    total: Row
    members: int
    """How many there are; more than the rows tell where only the greatest were asked for."""
    standing: Sequence[Standing]

    @property
    def behind(self) -> int:
        """Entries that are in the logs and not in the sums yet."""
        return sum(each.size - each.folded for each in self.standing)


_GRAINS = {Per.DAY: Grain.DAY, Per.MONTH: Grain.MONTH, Per.YEAR: Grain.YEAR}
"""Weeks are added up from days."""


class Piece(NamedTuple):
    """Whole days, months or years [since, until)."""

    grain: Grain
    since: date
    until: date


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read: sums by one dimension, and the finest ones, which know all dimensions at once."""

    dimension: By | None
    """None: the sums over all devices, users and cost centres."""
    pieces: Sequence[Piece]
    """Of the sums by that dimension."""
    finest: Sequence[Piece]
    """Days and months of the finest ones."""

    def is_kept(self, per: Per | None) -> bool:
        """Whether each of the sums is already one of such a time: then there is nothing to add up."""
        if len(self.pieces) != 1:
            return False
        [(grain, since, until)] = self.pieces
        return grain is _GRAINS.get(per) if per else start_of(until - timedelta(days=1), grain) == since


class Reports(Protocol):
    """Where reports are read from. What a tenant's reader may not see is not in any row."""

    async def report(self, asked: Asked) -> Report: ...


def planned(asked: Asked, per: Per | None) -> Plan:
    """The quickest way to read it by these times, or for the whole stretch."""
    wanted = [by for by in asked.filters if by is not asked.by]
    if asked.by in {By.DEVICE, By.USER, By.COST_CENTRE}:
        wanted.append(asked.by)
    coarsest = Grain.YEAR if per is None else _GRAINS.get(per, Grain.DAY)
    if len(wanted) > 1:
        return Plan(None, [], list(covering(asked.since, asked.until, min(coarsest, Grain.MONTH))))
    pieces = list(covering(asked.since, asked.until, coarsest))
    if wanted == [By.USER] and asked.by is not By.FORMAT:
        # Sums of a user's days are not kept: they would be as many as the finest ones.
        days = [piece for piece in pieces if piece.grain is Grain.DAY]
        return Plan(By.USER, [piece for piece in pieces if piece.grain is not Grain.DAY], days)
    return Plan(wanted[0] if wanted else None, pieces, [])


def covering(since: date, until: date, coarsest: Grain) -> Iterator[Piece]:
    """The same days as [since, until), each once, in few pieces of which none is coarser."""
    if since >= until:
        return
    if coarsest is Grain.DAY:
        yield Piece(Grain.DAY, since, until)
        return
    first, end = _from(since, coarsest), start_of(until, coarsest)
    if first is None or first >= end:
        yield from covering(since, until, Grain(coarsest - 1))
        return
    finer = Grain(coarsest - 1)
    yield from covering(since, first, finer)
    yield Piece(coarsest, first, end)
    yield from covering(end, until, finer)


def start_of(day: date, grain: Grain) -> date:
    """The first day of the month or year that the day is in."""
    if grain is Grain.DAY:
        return day
    return day.replace(month=1 if grain is Grain.YEAR else day.month, day=1)


def start_of_time(day: date, per: Per) -> date:
    """The first day of the time that a day falls in. Of the first week of all it is a Monday, as ever."""
    if per is Per.WEEK:
        return day - timedelta(days=day.weekday())
    return start_of(day, _GRAINS[per])


def _from(day: date, grain: Grain) -> date | None:
    """The first day of the first month or year that begins on that day or later; None after the last."""
    start = start_of(day, grain)
    if start == day:
        return day
    if start.year == LATEST.year and (grain is Grain.YEAR or start.month == 12):
        return None
    if grain is Grain.YEAR or start.month == 12:
        return date(start.year + 1, 1, 1)
    return start.replace(month=start.month + 1)


def assembled(
    asked: Asked, whole: Sequence[Row], parts: Sequence[Row] | None, standing: Sequence[Standing]
) -> Report:
    """A report of its parts: rows as a store reads them, of which several may tell one time and member.

    `whole` are those of the whole stretch, with every member; `parts` those by time, at least of the members
    that are `chosen`, or None where the report asks for no times.
    """
    members = _greatest_first(asked, whole)
    rows = members[: asked.most]
    if parts is not None:
        place = {(row.tenant, row.member): place for place, row in enumerate(rows)}
        told = [row for row in _rows(parts) if row[1:3] in place]
        by_start = defaultdict[date, list[Row]](list)
        for row in sorted(told, key=lambda row: place[row[1:3]]):
            by_start[row.start or EARLIEST].append(row)
        rows = [row for start in sorted(by_start) for row in by_start[start]]
    return Report(asked, rows, _total(members), len(members), standing)


def chosen(asked: Asked, whole: Sequence[Row]) -> Sequence[tuple[str, str]]:
    """The members that are told, by tenant and name: the greatest first."""
    return [(row.tenant, row.member) for row in _greatest_first(asked, whole)[: asked.most]]


def _greatest_first(asked: Asked, whole: Sequence[Row]) -> list[Row]:
    def greatness(row: Row) -> tuple[int, str, str]:
        return -_quantity(row, asked.order), row.tenant, row.member

    return sorted(_rows(whole), key=greatness)


def _total(rows: Sequence[Row]) -> Row:
    amounts = dict[str, int]()
    for row in rows:
        for currency, amount in row.amounts.items():
            amounts[currency] = amounts.get(currency, 0) + amount
    sums = Sums(*map(sum, zip(*(row.sums for row in rows), strict=True)))
    return Row(None, "", "", sums, without_nothing(amounts))


def _rows(parts: Sequence[Row]) -> list[Row]:
    """The parts put together; without those that come to nothing at all.

    There may be tens of thousands, nearly always of one currency: then nothing is added up.
    """
    if len({part[:3] for part in parts}) < len(parts) or not all(
        all(part.amounts.values()) for part in parts
    ):
        parts = _added_up(parts)
    return [row for row in parts if row.amounts or any(row.sums)]


def _added_up(parts: Sequence[Row]) -> list[Row]:
    sums = dict[tuple[date | None, str, str], tuple[int, ...]]()
    amounts = dict[tuple[date | None, str, str], dict[str, int]]()
    for part in parts:
        key, found = part[:3], part.sums
        former = sums.get(key)
        sums[key] = found if former is None else tuple(map(add, former, found))
        paid = amounts.setdefault(key, {})
        for currency, amount in part.amounts.items():
            paid[currency] = paid.get(currency, 0) + amount
    return [Row(*key, Sums._make(sums[key]), without_nothing(paid)) for key, paid in amounts.items()]


def without_nothing(amounts: Mapping[str, int]) -> Mapping[str, int]:
    """By the currencies' letters, those that come to something."""
    return {name: amounts[name] for name in sorted(amounts) if amounts[name]}


def _quantity(row: Row, order: Order) -> int:
    if order is Order.AMOUNT:
        return sum(row.amounts.values())
    if order is Order.IMPRESSIONS:
        return row.sums.mono_impressions + row.sums.colour_impressions
    return row.sums[_QUANTITIES[order]]
