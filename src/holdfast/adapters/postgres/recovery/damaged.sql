-- The statements on a database whose data was damaged, as the owner of its tables.

-- name: prepare
-- What Holdfast remembers there: in the same transactions as what it does.
CREATE SCHEMA IF NOT EXISTS holdfast_recovery;
CREATE TABLE IF NOT EXISTS holdfast_recovery.fence (
    scope text PRIMARY KEY, run_id text NOT NULL, epoch bigint NOT NULL, turn bigint NOT NULL);
CREATE TABLE IF NOT EXISTS holdfast_recovery.done (
    run_id text NOT NULL, step text NOT NULL, told jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (run_id, step));
REVOKE ALL ON SCHEMA holdfast_recovery FROM PUBLIC;

-- name: prepared
SELECT pg_catalog.to_regclass('holdfast_recovery.done') IS NOT NULL;

-- name: one_at_a_time
-- Two that prepare at once would both find nothing, and one of them fail.
SELECT pg_catalog.pg_advisory_xact_lock(7017, 1);

-- name: pass
-- Nothing comes back for who comes late. The row stays locked until the transaction ends.
INSERT INTO holdfast_recovery.fence AS known (scope, run_id, epoch, turn)
VALUES (%(scope)s, %(run_id)s, %(epoch)s, %(turn)s)
ON CONFLICT (scope) DO UPDATE SET run_id = excluded.run_id, epoch = excluded.epoch, turn = excluded.turn
WHERE (excluded.epoch, excluded.turn) >= (known.epoch, known.turn)
RETURNING epoch;

-- name: done
SELECT told FROM holdfast_recovery.done WHERE run_id = %(run_id)s AND step = %(step)s;

-- name: note
INSERT INTO holdfast_recovery.done (run_id, step, told) VALUES (%(run_id)s, %(step)s, %(told)s);

-- name: forget
DELETE FROM holdfast_recovery.done WHERE run_id = %(run_id)s AND step = %(step)s;

-- name: database
-- Which one has a name now, and what it is set to by itself: null where nobody has set it.
SELECT d.oid, (SELECT pg_catalog.split_part(each, '=', 2) FROM pg_catalog.pg_db_role_setting AS s,
        pg_catalog.unnest(s.setconfig) AS each
        WHERE s.setdatabase = d.oid AND s.setrole = 0 AND each LIKE 'default\_transaction\_read\_only=%%')
FROM pg_catalog.pg_database AS d WHERE d.datname = %(name)s;

-- name: on_disk
-- What is done and noted here is not forgotten by a server that dies; who wants more than that keeps it.
SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
WHERE pg_catalog.current_setting('synchronous_commit') = 'off';

-- name: end_earlier
-- Sessions of attempts before this one, also those that wait for a process that stands still.
SELECT pg_catalog.pg_terminate_backend(s.pid)
FROM pg_catalog.pg_stat_activity AS s,
     LATERAL pg_catalog.regexp_match(s.application_name, %(like)s) AS f
WHERE s.datname = pg_catalog.current_database() AND s.usename = CURRENT_USER
      AND (f[1]::bigint, f[2]::bigint) < (%(epoch)s::bigint, %(turn)s::bigint);

-- name: written
-- How far the log is written; null for one that follows another.
SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_lsn()::text END,
       pg_catalog.pg_database_size(pg_catalog.current_database());

-- name: sessions
SELECT pid, backend_start FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
      AND backend_type = 'client backend';

-- name: end_session
-- That one, and no later one that was given its number.
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE pid = %(pid)s AND backend_start IS NOT DISTINCT FROM %(began)s;

-- name: table
SELECT c.oid, EXISTS (
    SELECT FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS below ON below.oid = i.inhrelid
    WHERE i.inhparent = c.oid AND NOT below.relispartition)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('r', 'p');

-- name: owner
SELECT pg_catalog.pg_get_userbyid(c.relowner)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('r', 'p');

-- name: columns
-- Those that hold something of their own, and whether only the server gives them their numbers.
SELECT attname, attidentity = 'a' FROM pg_catalog.pg_attribute
WHERE attrelid = %(table)s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum;

-- name: key
-- The primary key, or another one that every row has.
SELECT pg_catalog.array_agg(a.attname ORDER BY k.place)
FROM (SELECT indexrelid, indkey FROM pg_catalog.pg_index
      WHERE indrelid = %(table)s AND indisunique AND indimmediate AND indisvalid
            AND indpred IS NULL AND indexprs IS NULL
            AND NOT EXISTS (SELECT FROM pg_catalog.unnest(indkey) AS n JOIN pg_catalog.pg_attribute AS b
                            ON b.attrelid = indrelid AND b.attnum = n WHERE NOT b.attnotnull)
      ORDER BY indisprimary DESC, indnatts, indexrelid LIMIT 1) AS i,
     pg_catalog.unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = %(table)s AND a.attnum = k.attnum;

-- name: refers
SELECT n.nspname || '.' || c.relname, rn.nspname || '.' || r.relname
FROM pg_catalog.pg_constraint AS f
JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS r ON r.oid = f.confrelid JOIN pg_catalog.pg_namespace AS rn ON rn.oid = r.relnamespace
WHERE f.contype = 'f';
