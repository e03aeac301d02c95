"""A table or a database of a copy, loaded into a server in use: what it keeps, and what stands in its way.

The copy is another database of the same server: how it was restored makes no difference here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from tests.protected import OWNER_PASSWORD, Protected

from holdfast.adapters.postgres.restored.extracting import copy_table
from holdfast.adapters.postgres.restored.extracting_databases import Replaced, replace_database
from holdfast.backup.errors import NotFit, RestoreFailed

NIGHT = datetime(2026, 11, 22, 20, 15, tzinfo=UTC)
COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity::text, attgenerated::text,
        pg_get_expr(adbin, adrelid)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = '{}'::regclass AND attnum > 0 ORDER BY attnum
"""
CONSTRAINTS = """
    SELECT pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = '{}'::regclass AND contype IN ('c', 'p', 'u', 'x') ORDER BY 1
"""


@dataclass
class Pair:
    """Databases `copy_of_shop` and `shop` of one server, each with what the test makes."""

    server: Protected

    @property
    def copy(self) -> str:
        return make_conninfo(**self.server.owner_params)

    @property
    def into(self) -> dict[str, str]:
        return {**self.server.owner_params, "dbname": "shop"}

    def load(self, table: str, name: str | None, *, is_alone: bool = True) -> tuple[int, tuple[str, ...]]:
        loaded = copy_table(self.copy, "copy_of_shop", table, self.into, name, is_alone=is_alone)
        return loaded.rows, loaded.left_out

    def then(self, text: str) -> list[tuple[object, ...]]:
        return self.server.sql(text, "copy_of_shop")

    def now(self, text: str) -> list[tuple[object, ...]]:
        return self.server.sql(text, "shop")


@pytest.fixture
def pair(shared_protected: Protected, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    server = shared_protected
    # pg_restore reads it from there, as an operator's would.
    monkeypatch.setenv("PGPASSWORD", OWNER_PASSWORD)
    for database in ("copy_of_shop", "shop"):
        server.sql(f"CREATE DATABASE {database}")
    yield Pair(server)
    rows = server.sql("SELECT datname FROM pg_database WHERE datname ~ 'shop'")
    for (database,) in rows:
        server.sql(f'DROP DATABASE "{database}" WITH (FORCE)')


def test_a_table_under_a_new_name_is_like_the_one_that_it_was(pair: Pair) -> None:
    pair.then("""
        CREATE TYPE mood AS ENUM ('well', 'ill');
        CREATE TABLE people (name text PRIMARY KEY);
        INSERT INTO people VALUES ('Ada');
        CREATE TABLE orders (
            id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigserial,
            who text COLLATE "C" DEFAULT 'Ada' REFERENCES people,
            price numeric(8, 2) NOT NULL CHECK (price > 0),
            twice numeric GENERATED ALWAYS AS (price * 2) STORED,
            "odd {name} %s" jsonb DEFAULT '{"a": "%s {}"}', feels public.mood DEFAULT 'well',
            at timestamptz DEFAULT now(), UNIQUE (number, who),
            EXCLUDE USING btree (who WITH =) WHERE (price > 1000));
        CREATE UNIQUE INDEX " USING odd " ON orders (lower(who), id) INCLUDE (price) WHERE price < 7;
        CREATE INDEX ON orders USING hash (feels);
        CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER noted BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION noted();
        ALTER TABLE orders ADD COLUMN gone int; ALTER TABLE orders DROP COLUMN gone;
        CREATE POLICY mine ON orders; CREATE POLICY ours ON orders;
        INSERT INTO orders (price) SELECT i FROM generate_series(1, 5) i;
    """)
    pair.now("CREATE TYPE mood AS ENUM ('well', 'ill'); CREATE TABLE orders (was int)")

    rows, left_out = pair.load("public.orders", "orders_was")

    assert rows == 5
    assert left_out == ("1 foreign key", "1 trigger", "2 policies")
    content = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM {} t"
    assert pair.now(content.format("orders_was")) == pair.then(content.format("orders"))
    wanted = [list(row) for row in pair.then(COLUMNS.format("orders"))]
    assert str(wanted[1][5]).startswith("nextval(")
    # Numbers of its own: those of the other table's sequence are the other table's.
    wanted[1][3], wanted[1][5] = "d", None
    assert [list(row) for row in pair.now(COLUMNS.format("orders_was")) if row[1] != "-"] == [
        each for each in wanted if each[1] != "-"
    ]
    assert pair.now(CONSTRAINTS.format("orders_was")) == pair.then(CONSTRAINTS.format("orders"))
    indexes = {text for (text,) in pair.now("SELECT indexdef FROM pg_indexes WHERE tablename = 'orders_was'")}
    assert len(indexes) == 5
    assert any("(lower(who), id) INCLUDE (price) WHERE (price < (7)::numeric)" in each for each in indexes)
    assert any("UNIQUE" in each and "lower" in each for each in indexes)
    assert any("USING hash (feels)" in each for each in indexes)
    assert pair.now("INSERT INTO orders_was (price) VALUES (9) RETURNING id, number") == [(6, 6)]
    assert pair.now("SELECT count(*) FROM orders") == [(0,)]

    with pytest.raises(NotFit, match="orders_was is there already"):
        pair.load("public.orders", "orders_was")


def test_what_the_other_server_lacks_is_left_out_and_told(pair: Pair) -> None:
    pair.then("""
        CREATE FUNCTION well(int) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0';
        CREATE FUNCTION first() RETURNS int LANGUAGE sql AS 'SELECT 7';
        CREATE TABLE t (i int DEFAULT first(), j int CHECK (well(j)));
        CREATE INDEX ON t (well(i));
        INSERT INTO t VALUES (1, 2);
    """)

    rows, left_out = pair.load("t", "t_was")

    assert rows == 1
    assert [each.partition(" (function")[0] for each in left_out] == [
        "the default of i",
        "CHECK (public.well(j))",
        "the index USING btree (public.well(i))",
    ]
    assert pair.now("SELECT * FROM t_was") == [(1, 2)]


@pytest.mark.parametrize("is_alone", [True, False])
def test_partitions_come_as_one_table_or_each_in_its_place(pair: Pair, is_alone: bool) -> None:
    made = """
        CREATE TABLE t (i int, note text, PRIMARY KEY (i)) PARTITION BY RANGE (i);
        CREATE TABLE t_low (note text, i int NOT NULL);
        ALTER TABLE t ATTACH PARTITION t_low FOR VALUES FROM (0) TO (10);
        CREATE TABLE t_high PARTITION OF t FOR VALUES FROM (10) TO (100) PARTITION BY RANGE (i);
        CREATE TABLE t_higher PARTITION OF t_high DEFAULT;
    """
    pair.then(made + "INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 30) i")
    pair.now(made + "INSERT INTO t SELECT i, 'x' FROM generate_series(5, 20) i")

    assert pair.load("t", "t_was", is_alone=is_alone) == (30, ())
    assert pair.load("t", None, is_alone=is_alone) == (30, ())

    everything = pair.then("SELECT i, note FROM t ORDER BY i")
    assert pair.now("SELECT i, note FROM t ORDER BY i") == everything
    assert pair.now("SELECT i, note FROM t_was ORDER BY i") == everything
    assert pair.now("SELECT count(*) FROM t_low") == [(9,)]
    assert pair.now(
        "SELECT indexdef ~ '^CREATE UNIQUE.*t_was' FROM pg_indexes WHERE tablename = 't_was'"
    ) == [(True,)]


def test_what_cannot_go_in_its_place_is_refused_and_nothing_is_changed(pair: Pair) -> None:
    made = "CREATE TABLE above (i int); CREATE TABLE below (j int) INHERITS (above);"
    pair.then(made + "INSERT INTO above VALUES (1); INSERT INTO below VALUES (2, 2)")
    pair.then("CREATE UNLOGGED TABLE gone (i int); CREATE TABLE other (i int, j int)")
    pair.then("INSERT INTO other VALUES (1, 1)")
    pair.now(
        made + "INSERT INTO below VALUES (7, 7); CREATE TABLE other (i int); INSERT INTO other VALUES (5)"
    )

    with pytest.raises(NotFit, match="others inherited from above"):
        pair.load("above", None)
    with pytest.raises(NotFit, match="is unlogged"):
        pair.load("gone", "gone_was")
    with pytest.raises(NotFit, match=r"there is no table public\.never"):
        pair.load("never", "never_was")
    with pytest.raises(RestoreFailed, match="nothing was changed"):
        pair.load("other", None)

    assert pair.now("SELECT i FROM above") == [(7,)]
    assert pair.now("SELECT i FROM other") == [(5,)]
    assert pair.load("above", "above_was") == (2, ())


def test_rows_go_back_without_triggers_and_without_touching_other_tables(pair: Pair) -> None:
    made = """
        CREATE TABLE t (i int PRIMARY KEY, changed text) PARTITION BY RANGE (i);
        CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (10);
        CREATE TABLE t_high PARTITION OF t DEFAULT;
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN NEW.changed := 'by a trigger'; RETURN NEW; END $$;
    """
    pair.then(made + "INSERT INTO t SELECT i, 'as it was' FROM generate_series(1, 12) i")
    pair.now(made)
    pair.now("""
        CREATE TRIGGER on_all BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION stamp();
        CREATE TRIGGER on_one BEFORE INSERT ON t_low FOR EACH ROW EXECUTE FUNCTION stamp();
        CREATE TRIGGER off BEFORE INSERT ON t_high FOR EACH ROW EXECUTE FUNCTION stamp();
        ALTER TABLE t_high DISABLE TRIGGER off; ALTER TABLE t_low ENABLE ALWAYS TRIGGER on_one;
        INSERT INTO t VALUES (1), (50);
        CREATE TABLE days (i int PRIMARY KEY); INSERT INTO days SELECT generate_series(1, 60);
        ALTER TABLE t ADD FOREIGN KEY (i) REFERENCES days DEFERRABLE INITIALLY DEFERRED;
        CREATE TABLE lines (t int REFERENCES t ON DELETE CASCADE); INSERT INTO lines VALUES (1), (50);
    """)
    enabled = """
        SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2
    """
    before = pair.now(enabled)

    with pytest.raises(NotFit, match="rows of lines would go or change with it, by lines_t_fkey"):
        pair.load("t", None)
    assert pair.now("SELECT count(*) FROM lines") == [(2,)]
    assert pair.now("SELECT count(*) FROM t") == [(2,)]

    pair.now("DROP TABLE lines")
    assert pair.load("t", None) == (12, ())
    assert pair.now("SELECT count(*), min(changed), max(changed) FROM t") == [(12, "as it was", "as it was")]
    assert pair.now(enabled) == before


def test_values_arrive_as_they_were_whatever_the_servers_are_set_to(pair: Pair) -> None:
    pair.server.sql("CREATE DATABASE latin_shop ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    made = (
        "CREATE TABLE t AS SELECT date '2026-02-03' AS d, interval '-1 day 2 hours' AS i, 'Züge'::text AS w"
    )
    pair.server.sql(made, "latin_shop")
    pair.server.sql("ALTER DATABASE latin_shop SET datestyle = 'SQL, DMY'")
    pair.server.sql("ALTER DATABASE latin_shop SET intervalstyle = 'sql_standard'")

    copy_table(pair.copy, "latin_shop", "t", pair.into, "t")

    assert pair.now("SELECT * FROM t") == pair.now(made.removeprefix("CREATE TABLE t AS "))


PROPERTIES = """
    SELECT pg_get_userbyid(datdba), datconnlimit, datacl::text, datcollate, encoding, datallowconn,
    (SELECT array_agg(setrole::text || setconfig::text ORDER BY 1) FROM pg_db_role_setting
        WHERE setdatabase = d.oid) FROM pg_database d WHERE datname = 'shop'
"""


def _replaced(pair: Pair, target: Protected) -> Replaced:
    bin_dir = target.binaries.folder
    return replace_database(pair.copy, "shop", bin_dir, {**target.owner_params, "dbname": "shop"}, NIGHT)


def test_a_database_takes_the_place_of_the_one_that_is_there(pair: Pair, protected: Protected) -> None:
    for server in (pair.server, protected):
        server.sql("CREATE ROLE shop_app LOGIN; CREATE ROLE shop_guest")
    pair.now("CREATE TABLE t AS SELECT 'then' AS at; ALTER TABLE t OWNER TO shop_app")
    pair.now("GRANT SELECT ON t TO shop_guest")
    protected.sql("CREATE DATABASE shop")
    protected.sql("CREATE TABLE t AS SELECT 'now' AS at", "shop")
    protected.sql("""
        ALTER DATABASE shop OWNER TO shop_app; ALTER DATABASE shop CONNECTION LIMIT 17;
        REVOKE ALL ON DATABASE shop FROM PUBLIC;
        GRANT CONNECT ON DATABASE shop TO shop_guest WITH GRANT OPTION;
        ALTER DATABASE shop SET search_path = "$user", 'odd, one', public;
        ALTER ROLE shop_app IN DATABASE shop SET work_mem = '7MB'; ALTER DATABASE shop SET my.own = 'x y'
    """)
    before = protected.sql(PROPERTIES)
    try:
        with protected.connect("shop") as session:
            replaced = _replaced(pair, protected)
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")

        assert replaced == Replaced("shop_before_20261122t201500z")
        assert protected.sql("SELECT at FROM t", "shop") == [("then",)]
        assert protected.sql("SELECT at FROM t", replaced.kept_as) == [("now",)]
        assert protected.sql(PROPERTIES) == before
        assert protected.value("SELECT tableowner FROM pg_tables WHERE tablename = 't'", "shop") == "shop_app"
        assert protected.value("SELECT has_table_privilege('shop_guest', 't', 'SELECT')", "shop")
        assert not protected.sql("SELECT FROM pg_database WHERE datname ~ 'restoring'")
    finally:
        pair.now("DROP OWNED BY shop_app, shop_guest")
        pair.server.sql("DROP ROLE shop_app; DROP ROLE shop_guest")


def test_a_database_that_cannot_take_the_place_leaves_all_as_it_is(pair: Pair, tmp_path: Path) -> None:
    server = Protected(tmp_path / "server", settings={"max_prepared_transactions": "2"}).start()
    try:
        # The copy has none of that name.
        with pytest.raises(NotFit, match="there was no database elsewhere"):
            replace_database(pair.copy, "elsewhere", server.binaries.folder, server.owner_params, NIGHT)
        pair.now("CREATE TABLE t AS SELECT 'then' AS at")
        server.sql("CREATE DATABASE shop")
        pair.server.sql("CREATE ROLE shop_app")
        pair.now("CREATE TABLE of_nobody AS SELECT 1; ALTER TABLE of_nobody OWNER TO shop_app")
        with pytest.raises(RestoreFailed, match='role "shop_app" does not exist'):
            _replaced(pair, server)
        assert not server.sql("SELECT FROM pg_database WHERE datname ~ 'restoring'")
        pair.now("DROP TABLE of_nobody")
        pair.server.sql("DROP ROLE shop_app")
        with server.connect("shop") as session:
            session.execute("CREATE TABLE t AS SELECT 'now' AS at")
            session.execute("BEGIN")
            session.execute("INSERT INTO t VALUES ('prepared')")
            # It outlives its session, and nobody but its owner ends it.
            session.execute("PREPARE TRANSACTION 'long'")

        with pytest.raises(RestoreFailed, match="shop is as it was") as told:
            _replaced(pair, server)

        assert "shop_restoring_20261122t201500z" in told.value.hint
        server.sql("ROLLBACK PREPARED 'long'", "shop")
        assert server.sql("SELECT at FROM t", "shop") == [("now",)]
        assert server.sql("SELECT at FROM t", "shop_restoring_20261122t201500z") == [("then",)]
    finally:
        server.remove()
