-- name: create_log
-- Make a tenant's log; one that is there stays as it is.
INSERT INTO ledger.log (tenant, origin) VALUES (%(tenant)s, %(origin)s) ON CONFLICT DO NOTHING

-- name: head
-- A tenant's log, its size, and what each source has sent, all of one moment. What was folded is known by how far
-- each source had come then and by its gaps; only the runs behind it are read, however long the log is.
WITH log AS MATERIALIZED (
    SELECT l.id, l.origin, coalesce(g.to_size, 0) AS size, coalesce(f.position, 0) AS folded
      FROM ledger.log AS l
      LEFT JOIN LATERAL (
           SELECT to_size FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
      ) AS g ON true
      LEFT JOIN ledger.followed AS f ON f.log_id = l.id AND f.fold = %(fold)s
     WHERE l.tenant = %(tenant)s
), known AS (
    SELECT 1 AS n, 'folded' AS what, source, epoch, least(lowest, 1) AS first, highest AS last
      FROM ledger.standing
     WHERE tenant = %(tenant)s AND (SELECT folded FROM log) > 0
     UNION ALL
    SELECT 2, 'gap', source, epoch, first, last
      FROM ledger.gap
     WHERE tenant = %(tenant)s AND (SELECT folded FROM log) > 0
     UNION ALL
    SELECT 3, 'run', source, epoch, lower(numbers), upper(numbers) - 1
      FROM (
           SELECT source, epoch, unnest(range_agg(int8range(first, last, '[]'))) AS numbers
             FROM ledger.run
            WHERE log_id = (SELECT id FROM log)
              AND leaf >= (SELECT folded FROM log)
              AND at >= (SELECT min(at) FROM (
                         SELECT at FROM ledger.growth
                          WHERE log_id = (SELECT id FROM log) AND from_size >= (SELECT folded FROM log)
                          ORDER BY from_size OFFSET 0) AS newer)  -- by the key: only these are read
            GROUP BY source, epoch
      ) AS each
)
SELECT log.id, log.origin, log.size, known.what, known.source, known.epoch, known.first, known.last
  FROM log LEFT JOIN known ON true
 ORDER BY known.n, known.source, known.epoch, known.first

-- name: since
-- The size of a log, and the runs behind a head of it; nothing where the log has no growth that ended in it.
WITH head AS (
    SELECT from_size FROM ledger.growth
     WHERE log_id = %(log_id)s AND to_size = %(size)s AND root = %(root)b
       AND from_size = (SELECT max(from_size) FROM ledger.growth
                         WHERE log_id = %(log_id)s AND from_size < %(size)s)
), now AS (
    SELECT max(to_size) AS size, min(at) FILTER (WHERE from_size >= %(size)s) AS at
      FROM (SELECT from_size, to_size, at FROM ledger.growth
             WHERE log_id = %(log_id)s AND from_size >= (SELECT from_size FROM head)
             ORDER BY from_size OFFSET 0) AS newer
)
SELECT now.size, run.source, run.epoch, run.first, run.last, run.leaf
  FROM now
  LEFT JOIN ledger.run ON run.log_id = %(log_id)s AND run.at >= now.at AND run.leaf >= %(size)s
 WHERE now.size IS NOT NULL
 ORDER BY run.leaf

-- name: limit_turn
-- Of a transaction that appends: how long it waits for its turn, and others for it when its process hangs.
SELECT set_config('lock_timeout', '20s', true), set_config('idle_in_transaction_session_timeout', '10s', true)

-- name: wait_for_turn
-- One appends to a log at a time, in the order in which they came: PostgreSQL's lock queues are fair. In the order
-- of the logs' numbers, so that nobody who waits holds what the other one waits for.
SELECT pg_advisory_xact_lock(70157, log_id)
  FROM (SELECT unnest(%(log_ids)s::integer[]) AS log_id ORDER BY 1) AS asked

-- name: grow
-- A batch of one log. Whoever appends to a size that has a successor collides in the key: nobody forks a log.
INSERT INTO ledger.growth (log_id, from_size, to_size, root, note, peaks, at)
VALUES (%(log_id)s, %(from_size)s, %(to_size)s, %(root)b, %(note)s, %(peaks)b, now())

-- name: supposed
-- That single leaves have these hashes, one behind the other: a division by zero refuses the transaction where one
-- has another, or its tile is missing.
SELECT 1 / (coalesce(
       string_agg((SELECT substring(hashes FROM (asked.leaf %% 64 * 32)::integer + 1 FOR 32)
                     FROM ledger.tile
                    WHERE log_id = %(log_id)s AND level = 0 AND quarter = asked.leaf / 64), ''::bytea
                  ORDER BY asked.n), ''::bytea) = %(hashes)b)::integer
  FROM unnest(%(leaves)s::bigint[]) WITH ORDINALITY AS asked (leaf, n)

-- name: keep_segment
-- The batch's leaves. `at` is the transaction's, so that growth and segment share it.
INSERT INTO ledger.segment (log_id, first, at, leaves, entries)
VALUES (%(log_id)s, %(from_size)s, now(), %(leaves)s, %(entries)b)

-- name: keep_tiles
-- The tiles that became full, in quarters, one behind the other.
INSERT INTO ledger.tile (log_id, level, quarter, hashes, quarter_roots, root)
SELECT %(log_id)s, level, index * 4 + n, substring(hashes FROM n * 2048 + 1 FOR 2048), quarter_roots,
       CASE n WHEN 3 THEN root END
  FROM (SELECT *, generate_series(0, 3) AS n
          FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[], %(hashes)b::bytea[],
                      %(quarter_roots)b::bytea[], %(roots)b::bytea[])
            AS new (level, index, hashes, quarter_roots, root)) AS quarters

-- name: keep_runs
-- Which numbers of which sources are which leaves. One that stands already makes `first` NULL, which no run may
-- have: whatever the process believed, no number stands twice.
INSERT INTO ledger.run (log_id, source, epoch, first, last, leaf, at)
SELECT %(log_id)s, source, epoch,
       CASE WHEN new.first > coalesce((
            SELECT last FROM ledger.run
             WHERE log_id = %(log_id)s AND source = new.source AND epoch = new.epoch AND first <= new.last
             ORDER BY first DESC
             LIMIT 1), -1)
            THEN first END,
       last, leaf, now()
  FROM unnest(%(sources)s::text[], %(epochs)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[],
              %(leaves)s::bigint[])
    AS new (source, epoch, first, last, leaf)

-- name: keep_conflicts
-- Keys that came again with other bytes, and the entries that tell it.
INSERT INTO ledger.conflict (log_id, source, epoch, seq, came, leaf)
SELECT %(log_id)s, source, epoch, seq, came, leaf
  FROM unnest(%(sources)s::text[], %(epochs)s::bigint[], %(seqs)s::bigint[], %(came)b::bytea[],
              %(leaves)s::bigint[])
    AS new (source, epoch, seq, came, leaf)

-- name: flushed_here
-- A place in the WAL behind all that this session committed.
SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint

-- name: placed
-- Under which leaf each key stands.
SELECT key.n, run.leaf + key.seq - run.first
  FROM unnest(%(sources)s::text[], %(epochs)s::bigint[], %(seqs)s::bigint[])
       WITH ORDINALITY AS key (source, epoch, seq, n)
 CROSS JOIN LATERAL (
       SELECT first, last, leaf
         FROM ledger.run
        WHERE log_id = %(log_id)s AND source = key.source AND epoch = key.epoch AND first <= key.seq
        ORDER BY first DESC
        LIMIT 1
  ) AS run
 WHERE key.seq <= run.last
 ORDER BY key.n

-- name: conflicts_of
-- The conflict entries that these keys have.
SELECT source, epoch, seq, came, leaf
  FROM ledger.conflict
 WHERE log_id = %(log_id)s
   AND (source, epoch, seq) IN (
       SELECT * FROM unnest(%(sources)s::text[], %(epochs)s::bigint[], %(seqs)s::bigint[])
  )

-- name: leaf_hashes
-- Hashes of single leaves, cut out of full tiles, one behind the other; too few where a tile is missing.
SELECT string_agg((SELECT substring(hashes FROM (asked.leaf %% 64 * 32)::integer + 1 FOR 32)
                     FROM ledger.tile
                    WHERE log_id = %(log_id)s AND level = 0 AND quarter = asked.leaf / 64), ''::bytea
                  ORDER BY asked.n)
  FROM unnest(%(leaves)s::bigint[]) WITH ORDINALITY AS asked (leaf, n)

-- name: hashes
-- Parts of tiles: of full ones; of others on higher levels, the roots over the tiles below. NULL for neither.
SELECT coalesce(
       (SELECT substring(string_agg(hashes, ''::bytea ORDER BY quarter)
                         FROM (asked.first %% 64 * 32)::integer + 1 FOR asked.count * 32)
          FROM ledger.tile
         WHERE log_id = %(log_id)s AND level = asked.level
           AND quarter >= asked.first / 64 AND quarter <= (asked.first + asked.count - 1) / 64),
       (SELECT string_agg(root, ''::bytea ORDER BY quarter)
          FROM ledger.tile
         WHERE log_id = %(log_id)s AND level = asked.level - 1 AND root IS NOT NULL
           AND quarter >= asked.first * 4 AND quarter < (asked.first + asked.count) * 4))
  FROM unnest(%(levels)s::smallint[], %(firsts)s::bigint[], %(counts)s::integer[])
       WITH ORDINALITY AS asked (level, first, count, n)
 ORDER BY asked.n

-- name: proof_parts
-- Of sizes the signed root and the peaks behind it; quarters of tiles, behind the roots over all four; and roots over
-- tiles that fill no tile of the level above. NULL for what is not there.
SELECT 1 AS sort, asked.n, (
       SELECT CASE to_size WHEN asked.size THEN root || peaks END
         FROM ledger.growth
        WHERE log_id = %(log_id)s AND from_size < asked.size
        ORDER BY from_size DESC
        LIMIT 1)
  FROM unnest(%(sizes)s::bigint[]) WITH ORDINALITY AS asked (size, n)
 UNION ALL
SELECT 2, asked.n, (
       SELECT quarter_roots || hashes
         FROM ledger.tile
        WHERE log_id = %(log_id)s AND level = asked.level AND quarter = asked.quarter)
  FROM unnest(%(quarter_levels)s::smallint[], %(quarters)s::bigint[]) WITH ORDINALITY
    AS asked (level, quarter, n)
 UNION ALL
SELECT 3, asked.n, (
       SELECT string_agg(root, ''::bytea ORDER BY quarter)
         FROM ledger.tile
        WHERE log_id = %(log_id)s AND level = asked.level - 1 AND root IS NOT NULL
          AND quarter >= asked.first * 4 AND quarter < (asked.first + asked.count) * 4)
  FROM unnest(%(levels)s::smallint[], %(firsts)s::bigint[], %(counts)s::integer[]) WITH ORDINALITY
    AS asked (level, first, count, n)
 ORDER BY 1, 2

-- name: segments
-- The segments that hold leaves [first, first + count), in order; without entries where retention took them.
SELECT g.from_size, g.to_size, s.entries
  FROM ledger.growth AS g
  LEFT JOIN ledger.segment AS s ON s.log_id = g.log_id AND s.first = g.from_size AND s.at = g.at
 WHERE g.log_id = %(log_id)s
   AND g.from_size < %(first)s::bigint + %(count)s::bigint
   AND g.from_size >= coalesce(
       (SELECT max(from_size) FROM ledger.growth WHERE log_id = %(log_id)s AND from_size <= %(first)s), 0)
 ORDER BY g.from_size

-- name: grown_to
-- The newest growth, when the log has at least that size.
SELECT to_size, root, note
  FROM ledger.growth
 WHERE log_id = %(log_id)s AND to_size >= %(at_least)s
 ORDER BY from_size DESC
 LIMIT 1
