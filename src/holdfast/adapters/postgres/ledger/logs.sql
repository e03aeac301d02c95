-- name: log
-- A tenant's log and its size.
SELECT l.id, l.origin, coalesce(g.to_size, 0)
  FROM ledger.log AS l
  LEFT JOIN LATERAL (
       SELECT to_size FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
  ) AS g ON true
 WHERE l.tenant = %(tenant)s

-- name: create_log
-- Make a tenant's log; one that is there stays as it is.
INSERT INTO ledger.log (tenant, origin) VALUES (%(tenant)s, %(origin)s) ON CONFLICT DO NOTHING

-- name: known
-- What each source has sent up to that size, as ranges. The log may have grown since its size was read.
SELECT source, epoch, lower(numbers), upper(numbers) - 1
  FROM (
       SELECT source, epoch, unnest(range_agg(int8range(first, last, '[]'))) AS numbers
         FROM ledger.run
        WHERE log_id = %(log_id)s AND leaf < %(size)s
        GROUP BY source, epoch
  ) AS each
 ORDER BY source, epoch, lower(numbers)

-- name: grow
-- A batch of one log. Whoever appends to a size that has a successor collides in the key: nobody forks a log.
INSERT INTO ledger.growth (log_id, from_size, to_size, root, note, at)
VALUES (%(log_id)s, %(from_size)s, %(to_size)s, %(root)b, %(note)s, now())

-- name: keep_segment
-- The batch's leaves. `at` is the transaction's, so that growth and segment share it.
INSERT INTO ledger.segment (log_id, first, at, leaves, entries)
VALUES (%(log_id)s, %(from_size)s, now(), %(leaves)s, %(entries)b)

-- name: keep_tiles
-- The tiles that became full.
INSERT INTO ledger.tile (log_id, level, index, hashes, root)
SELECT %(log_id)s, level, index, hashes, root
  FROM unnest(%(levels)s::smallint[], %(indexes)s::bigint[], %(hashes)b::bytea[], %(roots)b::bytea[])
    AS new (level, index, hashes, root)

-- name: keep_runs
-- Which numbers of which sources are which leaves.
INSERT INTO ledger.run (log_id, source, epoch, first, last, leaf, at)
SELECT %(log_id)s, source, epoch, first, last, leaf, now()
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
-- Hashes of single leaves, cut out of full tiles.
SELECT substring(tile.hashes FROM (asked.leaf %% 256 * 32)::integer + 1 FOR 32)
  FROM unnest(%(leaves)s::bigint[]) WITH ORDINALITY AS asked (leaf, n)
  JOIN ledger.tile ON log_id = %(log_id)s AND level = 0 AND index = asked.leaf / 256
 ORDER BY asked.n

-- name: hashes
-- Parts of tiles: of full ones; of others on higher levels, the roots over the tiles below. NULL for neither.
SELECT coalesce(
       (SELECT substring(hashes FROM (asked.first %% 256 * 32)::integer + 1 FOR asked.count * 32)
          FROM ledger.tile
         WHERE log_id = %(log_id)s AND level = asked.level AND index = asked.first / 256),
       (SELECT string_agg(root, ''::bytea ORDER BY index)
          FROM ledger.tile
         WHERE log_id = %(log_id)s AND level = asked.level - 1
           AND index >= asked.first AND index < asked.first + asked.count))
  FROM unnest(%(levels)s::smallint[], %(firsts)s::bigint[], %(counts)s::integer[])
       WITH ORDINALITY AS asked (level, first, count, n)
 ORDER BY asked.n

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
