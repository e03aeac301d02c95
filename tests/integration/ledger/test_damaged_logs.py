"""One bit of what is stored of a log is changed, anywhere: verifying finds it, and says where."""

import multiprocessing
import random
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import errors, sql
from tests.kept_logs import SEED, TENANT, Stored, stored_in

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.bootstrap.ledger.checking import BrokenOff, checker_over, checking
from holdfast.ledger.publish.publishing import OVERALL
from holdfast.ledger.verify import verifying
from holdfast.ledger.verify.stretches import Keys, What
from holdfast.ledger.verify.verifying import verify_log

if TYPE_CHECKING:
    import psycopg

    from conftest import Database

COLUMNS = [
    *[("growth", column) for column in ("from_size", "to_size", "root", "note", "peaks", "at")],
    *[("segment", column) for column in ("first", "at", "entries")],
    *[("tile", column) for column in ("level", "quarter", "hashes", "quarter_roots", "root")],
    *[("run", column) for column in ("source", "epoch", "first", "last", "leaf")],
    *[("conflict", column) for column in ("source", "epoch", "seq", "came", "leaf")],
    *[("published", column) for column in ("size", "note")],
    *[("log", column) for column in ("tenant", "origin")],
]
ROUNDS = 6


@pytest.fixture
async def stored(migrated_database: "Database", monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stored]:
    monkeypatch.setattr(verifying, "STRETCH_LEAVES", 400)
    async with stored_in(migrated_database) as found:
        yield found


@pytest.fixture
def connection(migrated_database: "Database", stored: Stored) -> Iterator["psycopg.Connection"]:
    del stored  # it is there already
    with migrated_database.connect() as connection:
        connection.execute("SET session_replication_role = replica")  # damage asks no foreign key
        yield connection


def flipped(value: Any, chance: random.Random) -> Any:
    """The same value with one bit changed, which the column can still hold."""
    if isinstance(value, bytes):
        at = chance.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]
    if isinstance(value, int):
        return value ^ 1 << chance.randrange(12)
    if isinstance(value, str):
        at = chance.randrange(len(value)) if value else 0
        return value[:at] + chr((ord(value[at]) if value else 0x60) ^ 1) + value[at + 1 :]
    return value.replace(microsecond=value.microsecond ^ 1 << chance.randrange(16))


@pytest.mark.parametrize(("table", "column"), COLUMNS)
async def test_a_flipped_bit_is_found(
    stored: Stored, connection: "psycopg.Connection", table: str, column: str
) -> None:
    chance = random.Random(f"{table} {column}")
    name, place = sql.Identifier("ledger", table), sql.Identifier(column)
    read = sql.SQL(
        "SELECT tableoid::regclass::text, ctid::text, {0} FROM {1} WHERE {0} IS NOT NULL ORDER BY 1, 2"
    ).format(place, name)
    packs = ZstdSegments()
    done = 0
    while done < ROUNDS:
        relation, ctid, value = chance.choice(connection.execute(read).fetchall())
        wrong = flipped(value, chance)
        if column == "entries" and unpacked(packs, wrong) == packs.unpack(value, 1 << 28):
            continue  # a bit that no decoder reads
        key = {"wrong": wrong, "value": value, "ctid": ctid}
        change = sql.SQL("UPDATE {} SET {} = {} WHERE ctid = %(ctid)s::tid RETURNING ctid::text")
        target = sql.Identifier(*relation.replace('"', "").split("."))
        try:
            row = connection.execute(change.format(target, place, sql.Placeholder("wrong")), key).fetchone()
        except (errors.CheckViolation, errors.UniqueViolation):
            continue  # the database itself does not take it
        verified = await stored.verified()
        assert not all(log.holds for log in verified.values()), f"{value!r} became {wrong!r}"
        assert row is not None
        key["ctid"] = row[0]
        connection.execute(change.format(target, place, sql.Placeholder("value")), key)
        done += 1
    assert all(log.holds for log in (await stored.verified()).values())


async def test_damage_is_told_at_its_place_and_once(stored: Stored, connection: "psycopg.Connection") -> None:
    flip = (
        "UPDATE ledger.tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 4)"
        " WHERE (level, quarter) = (0, 8)"
    )
    connection.execute(flip)
    findings = (await stored.verified())[TENANT].findings
    assert len(findings) == 1, findings
    [found] = findings
    assert (found.what, found.leaf, found.text) == (What.TILES, 513, "leaf 513: its tile has another hash")
    connection.execute(flip)

    entries = "SELECT entries FROM ledger.segment WHERE (log_id, first) = (%s, 559)"
    log_id = next(log.log_id for log in await stored.reading.logs() if log.tenant == TENANT)
    [packed] = connection.execute(entries, [log_id]).fetchone() or [b""]
    packs = ZstdSegments()
    plain = packs.unpack(packed, 1 << 28)
    at = plain.index(b'"job":"a-1-4100"') + 10
    wrong = packs.pack(plain[:at] + b"A" + plain[at + 1 :])
    put = "UPDATE ledger.segment SET entries = %b WHERE (log_id, first) = (%s, 559)"
    connection.execute(put, [wrong, log_id])
    findings = (await stored.verified())[TENANT].findings
    assert len(findings) == 1, findings
    [found] = findings
    assert (found.what, found.leaf) == (What.ENTRIES, 659)
    connection.execute(put, [packed, log_id])
    assert (await stored.verified())[TENANT].holds


@pytest.mark.parametrize(
    "done",
    [
        "DELETE FROM {growth} WHERE from_size = 559",
        "DELETE FROM {segment} WHERE first = 559",
        "DELETE FROM {run} WHERE leaf = 301",
        "DELETE FROM {conflict} WHERE seq = 1004",
        "DELETE FROM {tile} WHERE quarter / 4 = 2",
        "DELETE FROM {tile} WHERE quarter = 9",
        "DELETE FROM {published} WHERE size = 301",
        "INSERT INTO {run} SELECT log_id, source, 9, first, last, leaf, at FROM {run} WHERE leaf = 301",
        "INSERT INTO {run} SELECT log_id, source, epoch, 9000, 9001, leaf, at FROM {run} WHERE leaf = 301",
        "INSERT INTO {run} SELECT log_id, source, epoch, 10000, 10000, 5000, at FROM {run} WHERE leaf = 301",
        "INSERT INTO {run} SELECT log_id, source, epoch, 1001, 1001, -1, at FROM {run} WHERE leaf = 301",
        "INSERT INTO {conflict} SELECT log_id, source, epoch, seq + 1, came, leaf FROM {conflict}",
        """INSERT INTO {tile} SELECT log_id, level, quarter + 36, hashes, quarter_roots, root FROM {tile}
        WHERE quarter < 4""",
        "INSERT INTO {segment} SELECT log_id, 5000, at, leaves, entries FROM {segment} WHERE first = 301",
        # the newest growth with all that is under it, as if it had never been
        """DELETE FROM {growth} WHERE from_size = 1263; DELETE FROM {segment} WHERE first = 1263;
        DELETE FROM {run} WHERE leaf = 1263; DELETE FROM {tile} WHERE quarter / 4 IN (5, 6)""",
    ],
)
async def test_what_was_taken_away_or_added_is_found(
    stored: Stored, connection: "psycopg.Connection", done: str
) -> None:
    tables = {
        table: f"ledger.{table}" for table in ("growth", "segment", "run", "conflict", "tile", "published")
    }
    for statement in done.format(**tables).split(";"):
        assert connection.execute(statement).rowcount, statement
    verified = await stored.verified()
    # A published checkpoint that is gone is missed by the log over all, which lists it.
    assert not verified[OVERALL if "{published}" in done else TENANT].holds


async def test_old_entries_that_retention_took_are_no_damage(
    stored: Stored, connection: "psycopg.Connection"
) -> None:
    log_id = next(log.log_id for log in await stored.reading.logs() if log.tenant == TENANT)
    connection.execute("DELETE FROM ledger.segment WHERE log_id = %s AND first < 559", [log_id])
    [found] = (await stored.verified())[TENANT].findings
    assert (found.what, found.leaf) == (What.ENTRIES, 0)
    connection.execute(
        "INSERT INTO ledger.pruned (log_id, up_to, older_than) VALUES (%s, 559, now())", [log_id]
    )
    verified = await stored.verified()
    assert verified[TENANT].findings == []
    assert verified[TENANT].pruned == [(0, 559)]
    assert verified[TENANT].entries == verified[TENANT].log.size - 559


def unpacked(packs: ZstdSegments, content: bytes) -> bytes | None:
    try:
        return packs.unpack(content, 1 << 28)
    except Exception:  # noqa: BLE001  any refusal will do
        return None


async def test_several_processes_find_the_same(
    stored: Stored, connection: "psycopg.Connection", migrated_database: "Database"
) -> None:
    assert stored.pool is not None
    logs = await stored.reading.logs()
    keys = {log.origin: Keys([Ed25519Signer(log.origin, SEED).key]) for log in logs}
    here = checker_over(stored.pool, keys.__getitem__)
    [log] = [each for each in logs if each.tenant == TENANT]
    damage = "UPDATE ledger.tile SET root = set_byte(root, 3, get_byte(root, 3) # 2) WHERE quarter = 19"
    async with checking(migrated_database.conninfo(), here, keys, leaves=10**9, workers=2) as check:
        assert (await verify_log(here.reading, log, check)).findings == []
        connection.execute(damage)
        [found] = (await verify_log(here.reading, log, check)).findings
        assert (found.what, found.leaf) == (What.TILES, 1024)
        connection.execute(damage)

        for worker in multiprocessing.active_children():
            worker.kill()
        with pytest.raises(BrokenOff):
            await verify_log(here.reading, log, check)
