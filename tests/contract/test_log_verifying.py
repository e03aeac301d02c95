"""A log that fits together holds, in memory and on PostgreSQL, and goes on from what was kept of it."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from tests.kept_logs import BATCHES, KEYS, ORIGIN, SEED, TENANT, Stored, stored_in

from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.ledger.errors import Fork, LogDamaged, ProofRefused
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note
from holdfast.ledger.publish.publishing import OVERALL
from holdfast.ledger.verify import verifying
from holdfast.ledger.verify.verifying import verify_continues

if TYPE_CHECKING:
    from conftest import Database


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest) -> "Database | None":
    return None if request.param == "memory" else request.getfixturevalue("migrated_database")


@pytest.fixture
async def stored(database: "Database | None", monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stored]:
    monkeypatch.setattr(verifying, "STRETCH_LEAVES", 400)  # several stretches
    async with stored_in(database) as found:
        yield found


async def test_a_log_that_fits_together_holds(stored: Stored) -> None:
    found = await stored.verified()
    log = found[TENANT]
    assert log.findings == []
    assert log.holds
    assert (log.entries, log.growths, log.published) == (sum(BATCHES) + 2, len(BATCHES), 3)
    assert log.tiles == log.entries // 256
    assert (found[OVERALL].entries, found[OVERALL].findings) == (2, [])


async def test_a_log_is_said_to_go_on_from_what_was_kept(stored: Stored) -> None:
    [log] = [each for each in await stored.reading.logs() if each.tenant == TENANT]
    assert log.published == log.size
    newest = await stored.published.newest(log.log_id)
    assert newest is not None
    known = Checkpoint.parsed(Note.parsed(newest).body)
    assert await verify_continues(stored.store, log, newest, KEYS, verifies) == known
    signer = Ed25519Signer(ORIGIN, SEED)
    for forged, error in (
        (Checkpoint(ORIGIN, known.size - 1, known.root), Fork),
        (Checkpoint(ORIGIN, known.size, bytes(32)), Fork),
        (Checkpoint(ORIGIN, known.size + 1, known.root), ProofRefused),
    ):
        with pytest.raises(error):
            await verify_continues(stored.store, log, forged.signed(signer).text, KEYS, verifies)
    unknown = Checkpoint(ORIGIN, 1, bytes(32)).signed(Ed25519Signer(ORIGIN, b"x" * 32))
    with pytest.raises(ProofRefused, match="not signed"):
        await verify_continues(stored.store, log, unknown.text, KEYS, verifies)


async def test_a_log_that_has_not_grown_holds(stored: Stored) -> None:
    await stored.store.create("umbrella", "ledger.example/umbrella")
    found = (await stored.verified())["umbrella"]
    assert (found.log.size, found.entries, found.findings) == (0, 0, [])


async def test_it_waits_to_be_published_until_it_was(stored: Stored) -> None:
    pending = await stored.published.pending()
    assert [(each.tenant, each.size, each.published) for each in pending] == [(OVERALL, 2, 0)]


async def test_another_checkpoint_of_that_size_is_a_fork(stored: Stored) -> None:
    handed = await stored.publish()  # the same again is absorbed
    forged = Checkpoint(ORIGIN, handed.checkpoint.size, bytes(32)).signed(Ed25519Signer(ORIGIN, SEED))
    with pytest.raises(Fork):
        await stored.published.publish(handed.log_id, handed.checkpoint.size, forged.text)


async def test_entries_are_read_wherever_they_stand(stored: Stored) -> None:
    """Two small numbers make a large one: places are reckoned in 64 bits."""
    [log] = [each for each in await stored.reading.logs() if each.tenant == TENANT]
    with pytest.raises(LogDamaged):
        await stored.store.entries(log.log_id, 30_000, 30_000)
    assert len(await stored.store.entries(log.log_id, 0, log.size)) == log.size
