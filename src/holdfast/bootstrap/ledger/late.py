"""What `holdfast ledger late` does: it reads a database that was put aside, and trusts only what it proves.

It begins where the log in force ends, when both have the same tree up to there; else at the beginning: what
is here already is absorbed when it is taken in. A growth that cannot be read is passed over, and the log goes
on behind it where the stored tree leads to a root that was signed.
"""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Self

from holdfast.adapters.postgres.connect import connect, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.errors import DatabaseAway, DatabaseError
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.verifying import PostgresLogReading
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.ledger.at_hand import with_ledger
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.interfaces.cli.ledger.late import LateFound, LateLog
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.errors import LedgerError, LogDamaged, NotThere
from holdfast.ledger.log.notes import VerifierKey
from holdfast.ledger.log.tree import Edge
from holdfast.ledger.model import Record
from holdfast.ledger.verify.late import Late, late_entries, signed_root
from holdfast.ledger.verify.verifying import STRETCH_LEAVES, LogStanding, Span

CONFLICT = "it tells that a number came twice; the record in it was refused then"
CORRECTS = "it corrects an entry that is not here, whose leaf is another one now"


class LocalLate:
    """LateCommands on this machine."""

    def late(self, place: Place, database: str, file: Path, report: Report) -> LateFound:
        async def work(ledger: Ledger, conninfo: Conninfo) -> LateFound:
            with _Files(file) as files:
                aside = conninfo.with_settings(dbname=database)
                # What is wrong is said at once: a pool would try it again and again.
                async with connect(aside, "command line"):
                    pass
                async with open_pool(aside, "command line", max_size=2) as pool:
                    store = PostgresLogs(pool, ledger.packs)
                    reading = _Aside(ledger, PostgresLogReading(pool, store), files, report)
                    logs = [await reading.log(each) for each in await reading.logs()]
                return LateFound(
                    tuple(logs), file, files.by_hand if any(each.by_hand for each in logs) else None
                )

        return run(with_ledger(place, work))


@dataclass
class _Aside:
    ledger: Ledger
    reading: PostgresLogReading
    files: "_Files"
    report: Report

    async def logs(self) -> list[LogStanding]:
        """The tenants'; the log over all checkpoints makes itself anew."""
        found = [each for each in await self.reading.logs() if each.tenant]
        if not found:
            raise NotThere("there is no log in that database", hint="psql -l shows what it is called")
        return found

    async def log(self, log: LogStanding) -> LateLog:
        common, start = await self._common(log)
        told = _Told(common, self.files)
        async for late in self._stretches(log, common, start):
            told.add(late)
            self.report(Progress(f"reading {log.tenant}", late.end.size if late.end else 0, log.size))
        return LateLog(log.tenant, log.size, common, told.written, told.by_hand, tuple(told.lost))

    async def _common(self, log: LogStanding) -> tuple[int, Edge]:
        """Up to where the log in force is the beginning of this one, as far as its tree shows."""
        head = await self.ledger.logs.head(log.tenant)
        if head is None or head.edge.size > log.size:
            return 0, Edge()
        there = await self._edge(log, head.edge.size)
        return (head.edge.size, head.edge) if there and there.root == head.edge.root else (0, Edge())

    async def _stretches(self, log: LogStanding, common: int, start: Edge | None) -> AsyncIterator[Late]:
        borders = [*await self.reading.borders(log.log_id, log.size, STRETCH_LEAVES), log.size]
        borders = sorted({common, *(each for each in borders if each > common), log.size})
        for first, end in pairwise(borders):
            late = await self._read(log, first, end, start)
            if late is not None and late.end is not None:
                yield late
                start = late.end
                continue
            # Growth by growth, so that no more is lost than must be.
            for one, other in pairwise([*await self._growths(log, first, end), end]):
                late = await self._read(log, one, other, start) or Late(
                    None, lost=[(one, other, "the database cannot read them")]
                )
                yield late
                start = late.end or await self._proven(log, other)

    async def _growths(self, log: LogStanding, first: int, end: int) -> list[int]:
        found = await self.reading.borders(log.log_id, end, 1)
        return [each for each in found if first <= each < end] or [first]

    async def _read(self, log: LogStanding, first: int, end: int, start: Edge | None) -> Late | None:
        try:
            stretch = await self.reading.stretch(Span(log, first, end))
        except DatabaseAway:
            raise
        except DatabaseError:
            return None
        return late_entries(stretch, start, self._keys(log), verifies, self.ledger.packs)

    async def _proven(self, log: LogStanding, size: int) -> Edge | None:
        """The tree as it is stored, where it is the one that was signed."""
        edge = await self._edge(log, size)
        with suppress(DatabaseError):
            note = await self.reading.note_at(log.log_id, size)
            if edge is not None and note is not None:
                return edge if signed_root(note, size, self._keys(log), verifies) == edge.root else None
        return None

    async def _edge(self, log: LogStanding, size: int) -> Edge | None:
        with suppress(DatabaseError, LedgerError):
            return await self.reading.edge(log.log_id, size)
        return None

    def _keys(self, log: LogStanding) -> list[VerifierKey]:
        return self.ledger.keys_of(log.origin)


@dataclass
class _Told:
    common: int
    files: "_Files"
    written: int = 0
    by_hand: int = 0
    lost: list[tuple[int, int, str]] = field(default_factory=list)

    def add(self, late: Late) -> None:
        self.lost += late.lost
        for leaf, content, doubt in late.doubtful:
            self._aside(leaf, content, f"nothing proves it: {doubt}")
        for leaf, content in late.entries:
            why = _why_by_hand(content, self.common)
            if why is None:
                self.lost.append((leaf, leaf + 1, "it is no entry"))
            elif why:
                self._aside(leaf, content, why)
            else:
                self.written += 1
                self.files.line(content)

    def _aside(self, leaf: int, content: bytes, why: str) -> None:
        self.by_hand += 1
        told = {"why": why, "leaf": leaf, "entry": content.decode(errors="backslashreplace")}
        self.files.aside(json.dumps(told).encode())


def _why_by_hand(content: bytes, common: int) -> str | None:
    """Empty for one that can be taken in again; None for what is none."""
    try:
        entry = entry_of(content)
    except LogDamaged:
        return None
    if not isinstance(entry, Record):
        return CONFLICT
    return CORRECTS if entry.corrects and entry.corrects.leaf >= common else ""


class _Files:
    """New files, which get their names when all of them is on disk; readable by the owner only."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.by_hand = file.with_name(f"{file.name}.by-hand")
        self._open = dict[Path, IO[bytes]]()

    def __enter__(self) -> Self:
        for each in (self.file, self.by_hand):
            if each.exists():
                raise NotThere(f"{each} is there already", hint="choose another name with --to")
        return self

    def line(self, content: bytes) -> None:
        self._to(self.file).write(content + b"\n")

    def aside(self, content: bytes) -> None:
        self._to(self.by_hand).write(content + b"\n")

    def _to(self, path: Path) -> IO[bytes]:
        if path not in self._open:
            descriptor = os.open(_beside(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._open[path] = os.fdopen(descriptor, "wb")
        return self._open[path]

    def __exit__(self, kind: object, *_: object) -> None:
        finish: Callable[[Path], object] = _named if kind is None else _removed
        for path, file in self._open.items():
            with file:
                file.flush()
                os.fsync(file.fileno())
            finish(path)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}.new")


def _named(path: Path) -> None:
    _beside(path).replace(path)


def _removed(path: Path) -> None:
    _beside(path).unlink(missing_ok=True)
