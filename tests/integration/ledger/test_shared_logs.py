"""Several that append to one log: what a new one has to read, and that none of them stands back for ever."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from threading import Event
from typing import TYPE_CHECKING

import pytest
from tests.kept_logs import SEED, TENANT, prepared, record
from tests.ledger_process import LedgerProcess, ledger_process, posted, source_token

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, borrowed, open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.completeness_folds import CompletenessFold
from holdfast.adapters.postgres.ledger.following import PostgresFollowing
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.sequences import Numbers
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.following import Follower

if TYPE_CHECKING:
    from conftest import Database

PACKS = ZstdSegments()


def sequencer(pool: Pool) -> Sequencer:
    return Sequencer(
        PostgresLogs(pool, PACKS),
        PACKS,
        origin_of=lambda tenant: f"ledger.example/{tenant}",
        signer_for=lambda origin: Ed25519Signer(origin, SEED),
    )


@pytest.mark.parametrize("seed", range(4))
async def test_a_head_is_the_same_from_runs_and_from_what_was_folded(
    migrated_database: "Database", seed: int
) -> None:
    dice = Random(seed)
    async with open_pool(migrated_database.conninfo(Role.LEDGER), "test", max_size=6) as pool:
        line, store = sequencer(pool), PostgresLogs(pool, PACKS)
        follower = Follower(PostgresFollowing(pool, PACKS), [CompletenessFold(pool)])
        sent = dict[tuple[str, int], set[int]]()
        for step in range(26):
            source, epoch = dice.choice("abc"), dice.randint(0, 1)
            first, count = dice.randint(0, 60), dice.randint(1, 12)
            numbers = [seq for seq in range(first, first + count) if dice.random() < 0.8] or [first]
            await line.append([prepared(*(record(source, seq, epoch=epoch) for seq in numbers))])
            sent.setdefault((source, epoch), set()).update(numbers)
            if step % 7 == seed:
                while (await follower.round()).more:
                    pass
            head = await store.head(TENANT)
            assert head is not None
            assert _numbers(head.known) == sent
        async with borrowed(pool) as connection:
            row = await (await connection.execute("SELECT position FROM ledger.followed")).fetchone()
        assert row is not None
        assert 0 < row[0] < head.edge.size, "a part of it was folded, and a part was not"


def _numbers(known: object) -> dict[tuple[str, int], set[int]]:
    assert isinstance(known, dict)
    found = dict[tuple[str, int], set[int]]()
    for key, each in known.items():
        assert isinstance(each, Numbers)
        found[key] = {number for first, last in each.ranges for number in range(first, last + 1)}
    return found


async def test_a_head_reads_only_the_runs_that_were_not_folded(migrated_database: "Database") -> None:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(migrated_database.conninfo(Role.LEDGER), "test", max_size=4)
        )
        line, store = sequencer(pool), PostgresLogs(pool, PACKS)
        for seq in range(20):
            await line.append([prepared(record("a", seq))])
        follower = Follower(PostgresFollowing(pool, PACKS), [CompletenessFold(pool)])
        while (await follower.round()).more:
            pass
        with migrated_database.connect() as connection:  # were they read, it would be seen
            connection.execute("DELETE FROM ledger.run WHERE leaf < 20")
        await line.append([prepared(record("a", 25))])
        head = await store.head(TENANT)
        assert head is not None
        assert head.known["a", 1].ranges == [(0, 19), (25, 25)]


def test_two_processes_under_load_both_get_on(migrated_database: "Database", tmp_path: Path) -> None:
    """Each has clients of its own that post all the time, to the same log: none is turned away."""
    dsn = migrated_database.conninfo().dsn
    with migrated_database.connect() as connection:
        tokens = {name: source_token(connection, source=name) for name in ("a", "b", "c", "d")}
    enough, answered = Event(), dict.fromkeys(tokens, 0)

    def send(served: LedgerProcess, name: str) -> set[int]:
        codes = set[int]()
        while not enough.is_set():
            first = answered[name] * 40
            codes.add(served.post(posted(range(first, first + 40), source=name), tokens[name]).status_code)
            answered[name] += 1
            if min(answered.values()) >= 25 or codes != {200}:
                enough.set()
        return codes

    with ledger_process(tmp_path / "one", dsn) as one, ledger_process(tmp_path / "two", dsn) as two:
        with ThreadPoolExecutor(4) as threads:
            codes = list(threads.map(send, (one, two, one, two), tokens))
        assert codes == [{200}] * 4
    with migrated_database.connect() as connection:
        runs = connection.execute(
            "SELECT source, sum(last - first + 1)::integer FROM ledger.run WHERE source = ANY(%s) GROUP BY 1",
            [list(tokens)],
        ).fetchall()
        chained = connection.execute(
            "SELECT bool_and(from_size = before) FROM ("
            " SELECT from_size, coalesce(lag(to_size) OVER (ORDER BY from_size), 0) AS before"
            " FROM ledger.growth WHERE log_id = (SELECT id FROM ledger.log WHERE tenant = 'acme')) AS each"
        ).fetchone()
    assert dict(runs) == {name: 40 * count for name, count in answered.items()}
    assert chained == (True,)
    assert min(answered.values()) * 10 > max(answered.values()), "no one waits while others go on"
