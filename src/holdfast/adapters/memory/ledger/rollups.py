"""The sums that are folded out of the logs, in memory, and reports that look at every one of them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.ledger.errors import NotThere
from holdfast.ledger.following import FollowedLog, GrowthRead
from holdfast.ledger.reports.folding import ROLL_UPS
from holdfast.ledger.reports.reporting import Asked, By, Per, Report, Row, Standing, assembled, start_of_time
from holdfast.ledger.reports.rollups import Cell, Folded, Paper, Sums


@dataclass
class MemoryBook:
    """Book over dictionaries; what it is told to keep is put into them when its transaction ends."""

    zone: ZoneInfo
    sums: dict[Cell, Sums] = field(default_factory=dict)
    sheets: dict[Paper, int] = field(default_factory=dict)
    corrected: dict[int, int] = field(default_factory=dict)
    void: set[int] = field(default_factory=set)
    touched: dict[date, int] = field(default_factory=dict)
    coming: Folded | None = None

    async def settled(self, leaves: AbstractSet[int]) -> AbstractSet[int]:
        return leaves & (self.corrected.keys() | self.void)

    async def trusted(self, leaves: AbstractSet[int]) -> Mapping[int, int]:
        del leaves
        return {}

    async def keep(self, folded: Folded) -> None:
        self.coming = folded

    def commit(self) -> None:
        folded, self.coming = self.coming or Folded(), None
        for cell, sums in folded.sums.items():
            self.sums[cell] = self.sums.get(cell, Sums()).plus(sums)
        for paper, sheets in folded.sheets.items():
            self.sheets[paper] = self.sheets.get(paper, 0) + sheets
        self.corrected |= folded.corrected
        self.void |= set(folded.void)
        self.touched = folded.touched | self.touched


class MemoryRollUps:
    """RollUpStore and Reports over books in memory."""

    def __init__(self, following: MemoryFollowing) -> None:
        self.books: dict[int, MemoryBook] = {}
        self._following = following

    @asynccontextmanager
    async def folding(self, log: FollowedLog, growths: Sequence[GrowthRead]) -> AsyncIterator[MemoryBook]:
        self._following.expect(ROLL_UPS, log.id, growths)
        book = self.books.setdefault(log.id, MemoryBook(log.zone))
        try:
            yield book
        except BaseException:
            book.coming = None
            raise
        self._following.advanced(ROLL_UPS, log.id, growths)
        book.commit()

    async def report(self, asked: Asked) -> Report:
        logs = [log for log in await self._following.logs() if asked.tenant in {None, log.tenant}]
        if not logs and asked.tenant is not None:
            raise NotThere(f"there is no tenant {asked.tenant!r}")
        positions = await self._following.positions(ROLL_UPS)
        standing, whole, parts = list[Standing](), list[Row](), list[Row]()
        for log in sorted(logs, key=lambda log: log.tenant):
            book = self.books.get(log.id, MemoryBook(ZoneInfo("UTC")))
            zone = book.zone.key if log.id in self.books else ""
            folded = positions.get(log.id, 0)
            standing.append(Standing(log.tenant, zone, folded, log.size, len(book.void)))
            whole += _parts(asked, None, log.tenant, book)
            parts += _parts(asked, asked.per, log.tenant, book)
        return assembled(asked, whole, parts if asked.per else None, standing)


def _parts(asked: Asked, per: Per | None, tenant: str, book: MemoryBook) -> list[Row]:
    """Every cell and paper that the report is about, by itself."""
    found = list[Row]()
    about: list[tuple[Cell | Paper, Sums]] = list(book.sums.items())
    if asked.by is By.FORMAT:
        about = [(paper, Sums(sheets=count)) for paper, count in book.sheets.items()]
    whose = "" if asked.by in {None, By.KIND, By.FORMAT} else tenant
    for each, sums in about:
        inside = asked.since <= each.day < asked.until
        same = all(getattr(each, by.value) == name for by, name in asked.filters.items())
        if not inside or not same or asked.kind not in {None, getattr(each, "kind", None)}:
            continue
        if asked.by is By.TENANT:
            member = tenant
        else:
            member = "" if asked.by is None else str(getattr(each, asked.by.value))
        start = None if per is None else start_of_time(each.day, per)
        amounts = {each.currency: sums.amount} if isinstance(each, Cell) and sums.amount else {}
        found.append(Row(start, asked.tenant or whose, member, sums._replace(amount=0), amounts))
    return found
