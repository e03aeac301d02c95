"""The last good point of a real server: exact to the commit, whatever the damage was."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.protected import DEBIAN_15, Protected
from tests.restorable import CLOCK, DATABASE, Noted, Restorable

from holdfast.adapters.postgres.replication.probing import LocalStandbys
from holdfast.backup.errors import NotFit
from holdfast.backup.lsn import parse_lsn
from holdfast.backup.model import Target, TargetKind
from holdfast.backup.search.finding import Asked, Ending, Finder, Finding
from holdfast.backup.search.searching import Question, Verdict

SETTINGS = {"max_prepared_transactions": "4", "wal_keep_size": "1GB"}


class Shop:
    """A server with two tables, and what is stored of it."""

    def __init__(self, server: Protected, scratch: Path) -> None:
        self.server = server
        self.stored = Restorable(server, chunk_bytes=4 * 1024 * 1024)
        self.scratch = scratch
        self.progress = Noted()

    def begin(self) -> None:
        """A fresh table of accounts and one of visits, and a backup."""
        self.server.sql(
            "DROP TABLE IF EXISTS account, visit, other CASCADE; DROP VIEW IF EXISTS rich;"
            "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL);"
            "CREATE TABLE visit (id int, page text);"
            "INSERT INTO account SELECT n, 100 FROM generate_series(1, 500) n"
        )
        self.stored.take(full=True)

    def work(self, commits: int, first: int = 0) -> None:
        """So many commits that keep every balance above nothing, every second one of them elsewhere."""
        self.server.sql(
            f"DO $$ BEGIN FOR n IN {first}..{first + commits - 1} LOOP IF n % 2 = 0 THEN"
            " UPDATE account SET balance = balance + 1 WHERE id = n % 500 + 1;"
            " ELSE INSERT INTO visit VALUES (n, 'x'); END IF; COMMIT; END LOOP; END $$"
        )

    def once(self, sql: str) -> int:
        """One transaction; its number, and so a name for its commit."""
        with self.server.connect() as connection, connection.transaction():
            connection.execute(sql.encode())
            row = connection.execute("SELECT txid_current()").fetchone()
        assert row
        return int(row[0])

    def finder(self) -> Finder:
        return Finder(
            DATABASE,
            self.stored.regions[0],
            self.stored.regions[1:],
            self.stored.packer,
            LocalStandbys(self.server.binaries.folder),
            self.scratch,
            CLOCK,
            self.progress,
        )

    def find(self, check: str, **asked: object) -> Finding:
        self.stored.store_wal()
        found = self.finder().find(Asked(Question(check, "postgres", 20.0), **asked))  # type: ignore[arg-type]
        assert sorted(each.name for each in self.scratch.iterdir()) == ["lock"], "nothing is left behind"
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    made = Protected(tmp_path_factory.mktemp("find-good"), settings=SETTINGS, segment_mb=1).start()
    yield made
    made.remove()


@pytest.fixture
def shop(server: Protected, tmp_path: Path) -> Shop:
    made = Shop(server, tmp_path / "scratch")
    made.begin()
    return made


def test_the_one_wrong_update_among_thousands_of_commits(shop: Shop) -> None:
    shop.work(2000)
    last = shop.once("UPDATE account SET balance = balance + 1 WHERE id = 7")
    shop.once("INSERT INTO visit VALUES (-1, 'between')")
    wrong = shop.once("UPDATE account SET balance = -1 WHERE id BETWEEN 10 AND 14")
    shop.work(700)
    found = shop.find("SELECT bool_and(balance >= 0) FROM account -- every one")
    assert found.ending is Ending.FOUND
    turn = found.outcome.turn
    assert turn
    assert turn.before
    assert (turn.before.commit.xid, turn.after.commit.xid) == (last, wrong)
    assert turn.after.kind == "UPDATE"
    assert [(each.table, each.updated) for each in turn.after.tables] == [("public.account", 5)]
    assert turn.after.answer.verdict is Verdict.BAD
    assert len(found.flips) == 1
    assert found.commits == 2703
    assert found.outcome.candidates == 1000 + 1 + 1 + 350, "visits do not count"
    assert found.outcome.asked < 250


def test_every_change_of_the_answer_is_told(shop: Shop) -> None:
    changes = []
    for balance in (-1, 5, -2):
        shop.work(300)
        changes.append(shop.once(f"UPDATE account SET balance = {balance} WHERE id = 499"))
    shop.work(300)
    found = shop.find("SELECT bool_and(balance >= 0) FROM account", steps=20)
    assert [each.after.commit.xid for each in found.flips] == changes
    assert [each.after.answer.is_good for each in found.flips] == [False, True, False]
    turn = found.outcome.turn
    assert turn
    assert turn.after.commit.xid == changes[-1], "the newest one counts"


def test_changes_that_undo_each_other_are_seen_when_every_commit_is_asked(shop: Shop) -> None:
    shop.work(60)
    changes = [shop.once(f"UPDATE account SET balance = {balance} WHERE id = 499") for balance in (-1, 5)]
    shop.work(60)
    check = "SELECT bool_and(balance >= 0) FROM account"

    steps = shop.find(check, steps=5)
    each = shop.find(check, steps=None)

    assert steps.flips == ()
    assert steps.ending is Ending.STILL_GOOD
    assert steps.outcome.candidates == each.outcome.candidates == 62
    assert steps.outcome.passed_over == 62 - 5
    assert [flip.after.commit.xid for flip in each.flips] == changes
    assert each.outcome.passed_over == 0
    assert any("; it is asked at each, which takes about 0:00:0" in note for note in shop.progress.notes)


def test_a_dropped_table_is_named_and_called_so(shop: Shop) -> None:
    shop.work(60)
    wrong = shop.once("DROP TABLE account")
    found = shop.find("SELECT count(*) = 500 FROM account")
    turn = found.outcome.turn
    assert turn
    assert (turn.after.commit.xid, turn.after.kind) == (wrong, "DROP TABLE")
    assert "public.account" in [each.table for each in turn.after.tables]
    assert turn.after.answer.verdict is Verdict.ERROR
    assert "account" in turn.after.answer.text


def test_a_truncated_table(shop: Shop) -> None:
    shop.work(60)
    wrong = shop.once("TRUNCATE account")
    shop.work(60)
    found = shop.find("SELECT count(*) > 0 FROM account")
    turn = found.outcome.turn
    assert turn
    assert (turn.after.commit.xid, turn.after.kind) == (wrong, "TRUNCATE")
    assert turn.after.answer.verdict is Verdict.BAD


def test_what_was_rolled_back_does_not_count_and_what_a_subtransaction_kept_does(shop: Shop) -> None:
    shop.work(40)
    with shop.server.connect() as connection:
        connection.execute("BEGIN; UPDATE account SET balance = -1; ROLLBACK")
        connection.execute("BEGIN; UPDATE account SET balance = 1 WHERE id = 1; SAVEPOINT a")
        connection.execute("UPDATE account SET balance = -1 WHERE id < 100; ROLLBACK TO a; COMMIT")
    shop.work(40)
    with shop.server.connect() as connection:
        connection.execute("BEGIN; SELECT txid_current()")
        connection.execute("SAVEPOINT b; DELETE FROM account WHERE id IN (3, 4); RELEASE b")
        row = connection.execute("SELECT txid_current()").fetchone()
        connection.execute("COMMIT")
    assert row
    found = shop.find("SELECT count(*) = 500 AND bool_and(balance >= 0) FROM account")
    turn = found.outcome.turn
    assert turn
    assert turn.after.commit.xid == row[0]
    assert [(each.table, each.deleted) for each in turn.after.tables] == [("public.account", 2)]
    assert turn.after.kind == "DELETE"


def test_a_prepared_transaction_counts_when_it_commits(shop: Shop) -> None:
    with shop.server.connect() as connection:
        connection.execute("BEGIN; UPDATE account SET balance = -1 WHERE id = 400")
        row = connection.execute("SELECT txid_current()").fetchone()
        connection.execute("PREPARE TRANSACTION 'later'")
        shop.work(60)
        connection.execute("COMMIT PREPARED 'later'")
    assert row
    found = shop.find("SELECT bool_and(balance >= 0) FROM account")
    turn = found.outcome.turn
    assert turn
    assert turn.after.commit.xid == row[0]
    assert turn.after.commit.prepared
    assert [(each.table, each.updated) for each in turn.after.tables] == [("public.account", 1)]


def test_a_table_behind_a_view_and_a_function_is_found_without_being_named(shop: Shop) -> None:
    shop.server.sql(
        "CREATE OR REPLACE VIEW rich AS SELECT * FROM account WHERE balance > 0;"
        "CREATE OR REPLACE FUNCTION well() RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN (SELECT count(*) = 500 FROM rich); END $$"
    )
    shop.stored.take(full=True)
    shop.work(60)
    wrong = shop.once("UPDATE account SET balance = 0 WHERE id = 9")
    shop.work(20, first=100)
    found = shop.find("SELECT well()")
    turn = found.outcome.turn
    assert turn
    assert turn.after.commit.xid == wrong
    assert found.outcome.candidates == 30 + 1 + 10


def test_still_good_and_never_good_are_told_apart(shop: Shop) -> None:
    shop.work(20)
    good = shop.find("SELECT count(*) = 500 FROM account")
    assert (good.ending, good.outcome.turn, good.target) == (Ending.STILL_GOOD, None, None)
    bad = shop.find("SELECT count(*) = 7 FROM account")
    assert (bad.ending, bad.outcome.turn) == (Ending.NEVER_GOOD, None)
    wrong = shop.find("SELECT 1, 2 FROM account")
    assert wrong.ending is Ending.NEVER_GOOD
    assert wrong.outcome.first.verdict is Verdict.ERROR


def test_it_goes_back_to_an_older_backup_when_the_newest_is_bad_already(shop: Shop) -> None:
    shop.work(40)
    wrong = shop.once("DELETE FROM account WHERE id = 33")
    shop.work(40)
    shop.stored.take(full=True)
    shop.work(40)
    found = shop.find("SELECT count(*) = 500 FROM account")
    turn = found.outcome.turn
    assert turn
    assert turn.after.commit.xid == wrong
    assert found.backup == shop.stored.backups[-2].id
    assert any("going back" in each for each in shop.progress.notes)


def test_between_two_times(shop: Shop) -> None:
    shop.work(40)
    shop.once("UPDATE account SET balance = -1 WHERE id = 1")
    shop.once("UPDATE account SET balance = 1 WHERE id = 1")
    since = shop.server.value("SELECT clock_timestamp()")
    shop.work(40)
    wrong = shop.once("UPDATE account SET balance = -1 WHERE id = 2")
    until = shop.server.value("SELECT clock_timestamp()")
    shop.once("UPDATE account SET balance = 1 WHERE id = 2")
    found = shop.find("SELECT bool_and(balance >= 0) FROM account", since=since, until=until)
    assert [each.after.commit.xid for each in found.flips] == [wrong]
    assert found.commits == 41


def test_a_check_that_depends_on_chance_is_refused(shop: Shop) -> None:
    shop.work(200)
    with pytest.raises(NotFit, match="does not say the same twice"):
        shop.find("SELECT random() < 0.5 FROM account LIMIT 1")


def test_named_tables_win_over_those_that_the_check_reads(shop: Shop) -> None:
    shop.work(40)
    shop.once("UPDATE account SET balance = -1 WHERE id = 1")
    found = shop.find("SELECT bool_and(balance >= 0) FROM account", tables=("visit",))
    assert found.outcome.candidates == 20
    with pytest.raises(NotFit, match=r"there is no table no\.such"):
        shop.find("SELECT true", tables=("no.such",))


def test_a_table_that_somebody_locks_alone_cannot_be_asked_and_that_is_told(shop: Shop) -> None:
    with shop.server.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM account WHERE id = 1")
        connection.execute("ALTER TABLE account ADD COLUMN note text")
        row = connection.execute("SELECT txid_current()").fetchone()
        # The log tells of the lock with the next thing that is written; then others commit.
        shop.server.sql("CREATE TABLE other (id int)")
        shop.server.sql("INSERT INTO other VALUES (1)")
        connection.execute("COMMIT")
    assert row
    found = shop.find("SELECT count(*) = 500 FROM account")
    turn = found.outcome.turn
    assert turn
    assert turn.after.commit.xid == row[0]
    assert turn.unasked == 2
    assert turn.before is None
    assert found.target == Target(TargetKind.LSN, lsn=found.outcome.began, inclusive=False)


def test_a_copy_is_left_at_the_last_good_point(shop: Shop, tmp_path: Path) -> None:
    shop.work(40)
    kept = shop.once("INSERT INTO visit VALUES (-7, 'kept')")
    wrong = shop.once("DELETE FROM account")
    shop.once("INSERT INTO visit VALUES (-8, 'later')")
    found = shop.find("SELECT count(*) = 500 FROM account")
    turn = found.outcome.turn
    assert turn
    assert turn.after.commit.xid == wrong > kept
    restored = shop.finder().leave(found, tmp_path / "left")
    try:
        asked = "SELECT count(*), (SELECT count(*) FROM visit WHERE id = -7) FROM account"
        assert restored.copy.ask("postgres", asked, 10.0).rows == (("500", "1"),)
        assert restored.copy.ask("postgres", "SELECT id FROM visit WHERE id = -8", 10.0).rows == ()
        replayed, _ = restored.copy.replayed()
        assert replayed is not None
        assert replayed <= turn.after.commit.lsn
    finally:
        restored.copy.stop()


def test_a_commit_is_where_the_server_says(shop: Shop) -> None:
    shop.work(10)
    shop.once("DELETE FROM account WHERE id = 5")
    before = parse_lsn(shop.server.value("SELECT pg_current_wal_insert_lsn()::text"))
    shop.work(10)
    turn = shop.find("SELECT count(*) = 500 FROM account").outcome.turn
    assert turn
    assert turn.after.commit.end <= before


def test_another_version_of_postgresql(tmp_path: Path) -> None:
    server = Protected(tmp_path / "fifteen", bin_dir=DEBIAN_15, settings=SETTINGS, segment_mb=1).start()
    try:
        shop = Shop(server, tmp_path / "scratch")
        shop.begin()
        shop.work(300)
        wrong = shop.once("UPDATE account SET balance = -1 WHERE id = 3")
        shop.work(100, first=100)
        right = shop.once("UPDATE account SET balance = 1 WHERE id = 3")
        gone = shop.once("TRUNCATE account")
        found = shop.find("SELECT count(*) = 500 AND bool_and(balance >= 0) FROM account", steps=999)
    finally:
        server.remove()
    assert [each.after.commit.xid for each in found.flips] == [wrong, right, gone]
    assert [each.after.kind for each in found.flips] == ["UPDATE", "UPDATE", "TRUNCATE"]


def test_on_the_timeline_of_a_promoted_standby(tmp_path: Path) -> None:
    server = Protected(tmp_path / "first", settings=SETTINGS, segment_mb=1).start()
    other = None
    try:
        shop = Shop(server, tmp_path / "scratch")
        shop.begin()
        other = server.standby(tmp_path / "other")
        shop.work(60)
        shop.stored.store_wal()
        written = server.value("SELECT pg_current_wal_flush_lsn()::text")
        while not other.value(f"SELECT pg_last_wal_replay_lsn() >= '{written}'"):
            time.sleep(0.02)
        server.kill9()
        other.promote()
        shop.server = shop.stored.server = other
        shop.work(40, first=60)
        wrong = shop.once("UPDATE account SET balance = -1 WHERE id = 11")
        shop.work(20, first=100)
        found = shop.find("SELECT bool_and(balance >= 0) FROM account")
    finally:
        for each in (other, server):
            if each is not None:
                each.remove()
    turn = found.outcome.turn
    assert turn
    assert turn.after.commit.xid == wrong
    assert found.outcome.candidates == 30 + 20 + 1 + 10


def test_a_server_that_was_given_more_room_meanwhile_is_searched_on(tmp_path: Path) -> None:
    server = Protected(tmp_path / "grows", settings=SETTINGS, segment_mb=1).start()
    try:
        shop = Shop(server, tmp_path / "scratch")
        shop.begin()
        shop.work(100)
        server.stop()
        server.settings["max_connections"] = "60"
        server.start()
        shop.work(100)
        wrong = shop.once("UPDATE account SET balance = -1 WHERE id = 3")
        shop.work(50)
        found = shop.find("SELECT bool_and(balance >= 0) FROM account")
        assert found.outcome.turn
        assert found.outcome.turn.after.commit.xid == wrong
    finally:
        server.remove()
