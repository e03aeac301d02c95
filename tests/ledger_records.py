"""Records for tests of what is derived from the log, and a ledger that they are posted to."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import UNSET

from holdfast.adapters.memory.ledger.following import MemoryFollowing
from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.memory.ledger.rollups import MemoryRollUps
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.following import PostgresFollowing
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.postgres.ledger.reports import PostgresReports
from holdfast.adapters.postgres.ledger.rollups import PostgresRollUps
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.sequences import numbered
from holdfast.ledger.append.sequencing import Placed, Sequencer
from holdfast.ledger.canonical import leaf_of
from holdfast.ledger.following import Follower, Following
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Correction, Kind, Prepared, Price, Record, Status
from holdfast.ledger.ports import LogStore
from holdfast.ledger.reports.folding import RollUps, RollUpStore
from holdfast.ledger.reports.reporting import Reports

if TYPE_CHECKING:
    from conftest import Database

BEGAN = datetime(2025, 11, 3, 7, tzinfo=UTC)


def job(seq: int, *, tenant: str = "acme", source: str = "spooler", **fields: object) -> Record:
    """A print job of one A4 sheet, in November 2025, unless told otherwise."""
    given: dict[str, object] = {
        "epoch": 1,
        "job": f"{source}-{seq}",
        "kind": Kind.PRINT,
        "occurred_at": BEGAN,
        "seq": seq,
        "sheets": {"A4": 1},
        "source": source,
        "status": Status.COMPLETED,
        "tenant": tenant,
        **fields,
    }
    return Record(**given)  # type: ignore[arg-type]


def correction(seq: int, leaf: int, **fields: object) -> Record:
    return job(seq, corrects=Correction("ada", leaf, "counted wrongly"), **fields)


def jobs_of_a_year(
    count: int, *, seed: int = 1, tenant: str = "acme", people: int = 7, days: int = 500
) -> list[Record]:
    """Jobs of all kinds over more than a year; some tell no user, no device or no price."""
    chance = random.Random(seed)

    def one(seq: int) -> Record:
        kind = chance.choice(list(Kind))
        prints = kind in {Kind.PRINT, Kind.COPY}
        prices = {
            "paper": Price(chance.randrange(0, 500), chance.choice(["EUR", "EUR", "CHF"])),
            "ink": Price(chance.randrange(0, 900), "EUR"),
        }
        return job(
            seq,
            tenant=tenant,
            kind=kind,
            occurred_at=BEGAN + timedelta(minutes=chance.randrange(days * 24 * 60)),
            user=f"user-{chance.randrange(people)}" if chance.random() < 0.9 else UNSET,
            device=f"device-{chance.randrange(4)}" if chance.random() < 0.9 else UNSET,
            cost_centre=chance.choice(["red", "blue", "green"]) if chance.random() < 0.9 else UNSET,
            sheets={chance.choice(["A4", "A4", "A3"]): chance.randrange(1, 9)} if prints else UNSET,
            mono_impressions=chance.randrange(9) if prints else UNSET,
            colour_impressions=chance.randrange(9) if prints and chance.random() < 0.5 else UNSET,
            scan_pages=chance.randrange(1, 9) if kind is Kind.SCAN else UNSET,
            fax_pages=chance.randrange(1, 9) if kind is Kind.FAX else UNSET,
            status=chance.choice([Status.COMPLETED, Status.COMPLETED, Status.FAILED]),
            prices=prices if chance.random() < 0.7 else UNSET,
        )

    return [one(seq) for seq in range(count)]


def prepared(records: Sequence[Record]) -> Prepared:
    leaves = [leaf_of(each) for each in records]
    return Prepared(
        records[0].tenant,
        leaves,
        leaf_hashes(leaves),
        numbered(
            [each.source for each in records],
            [each.epoch for each in records],
            [each.seq for each in records],
        ),
    )


@dataclass
class KeptLedger:
    """Logs, and what follows them, in memory or on PostgreSQL."""

    logs: LogStore
    following: Following
    rollups: RollUpStore
    reports: Reports
    sequencer: Sequencer
    pool: Pool | None
    database: "Database | None"

    async def post(self, *records: Record, at_once: int = 10_000) -> Placed:
        """Append them, in growths of so many."""
        for first in range(0, len(records), at_once):
            [placed] = (await self.sequencer.append([prepared(records[first : first + at_once])])).placed
        return placed

    def follower(self, *, most_leaves: int = 50_000) -> Follower:
        return Follower(self.following, [RollUps(self.rollups, self.logs)], most_leaves=most_leaves)

    async def follow(self, *, most_leaves: int = 50_000) -> int:
        """Until nothing is left; how many leaves it was."""
        follower, leaves = self.follower(most_leaves=most_leaves), 0
        while True:
            done = await follower.round()
            assert not done.behind, done.behind
            leaves += done.leaves
            if not done.more:
                return leaves


@asynccontextmanager
async def kept_ledger(database: "Database | None", role: Role = Role.OWNER) -> AsyncIterator[KeptLedger]:
    packs = ZstdSegments()

    def sequencer(logs: LogStore) -> Sequencer:
        return Sequencer(
            logs,
            packs,
            origin_of=lambda tenant: f"ledger.example/{tenant}",
            signer_for=lambda origin: Ed25519Signer(origin, bytes(32)),
        )

    if database is None:
        logs = MemoryLogs(packs)
        following = MemoryFollowing(logs)
        rollups = MemoryRollUps(following)
        yield KeptLedger(logs, following, rollups, rollups, sequencer(logs), None, None)
        return
    async with open_pool(database.conninfo(role), "test", max_size=6) as pool:
        store = PostgresLogs(pool, packs)
        yield KeptLedger(
            store,
            PostgresFollowing(pool, packs),
            PostgresRollUps(pool),
            PostgresReports(pool),
            sequencer(store),
            pool,
            database,
        )
