"""A primary that is lost with commits that nobody else has: its tail, out of the data that it left."""

import shutil
from pathlib import Path

import pytest
from tests.standby import two_regions

from holdfast.bootstrap.recovery.tails import FolderTails
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.loss import Loss, lsn_number

LOST = 7


def parted_at(history: str) -> dict[int, int]:
    """Of a timeline's history file: where each one before it ended."""
    lines = [line.split() for line in history.splitlines() if line.strip()]
    return {int(each[0]): lsn_number(each[1]) for each in lines}


async def test_every_commit_that_nobody_else_has_is_listed_and_no_other(tmp_path: Path) -> None:
    with two_regions(tmp_path) as regions:
        regions.primary.sql("CREATE TABLE job (id integer primary key, title text)")
        regions.primary.sql("INSERT INTO job SELECT n, 'kept' FROM generate_series(1, 50) AS n")
        regions.until_caught_up()
        regions.link.cut()
        old = regions.primary
        number = old.value("SELECT pg_relation_filenode('job')")
        for each in range(LOST):
            old.sql(f"INSERT INTO job VALUES ({1000 + each}, 'lost')")
        with old.connect() as connection:
            for statement in ("BEGIN", "INSERT INTO job VALUES (2000, 'never')", "ROLLBACK"):
                connection.execute(statement)
        regions.lose_primary()
        regions.take_over()
        assert regions.primary.value("SELECT max(id) FROM job") == 50
        history = (regions.primary.data / "pg_wal" / "00000002.history").read_text()
        tails = FolderTails({"a": old.data}, tmp_path / "kept")
        loss = await tails.archive("a", parted_at(history), waited=False)
        told(loss, number)

        # The old one is rebuilt from the new one: what was archived stays, and says the same.
        shutil.rmtree(old.data / "pg_wal")
        (old.data / "pg_wal").mkdir()
        with pytest.raises(StepFailed, match="there is no log"):
            await tails.archive("a", parted_at(history), waited=False)
        assert Path(loss.archived_at, "manifest.json").is_file()  # noqa: ASYNC240  it is a test


def told(loss: Loss, number: int) -> None:
    of_jobs = [each for each in loss.transactions if f"file {number}" in each.tables]
    assert [each.rows for each in of_jobs] == [1] * LOST
    assert loss.count == LOST
    assert loss.complete
    assert loss.timeline == 1
    assert loss.acknowledged is None
    assert loss.transactions[0].at <= loss.transactions[-1].at
    assert loss.seconds is not None


async def test_a_primary_that_was_lost_with_nothing_of_its_own_lost_nothing(tmp_path: Path) -> None:
    with two_regions(tmp_path) as regions:
        regions.primary.sql("CREATE TABLE job (id integer)")
        regions.until_caught_up()
        old = regions.primary
        regions.lose_primary()
        regions.take_over()
        history = (regions.primary.data / "pg_wal" / "00000002.history").read_text()
        loss = await FolderTails({"a": old.data}, tmp_path / "kept").archive(
            "a", parted_at(history), waited=True
        )
        assert (loss.count, loss.acknowledged, loss.complete) == (0, 0, True)
