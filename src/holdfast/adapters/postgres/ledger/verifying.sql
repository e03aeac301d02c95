-- name: logs
-- Every log. What was published is found first, so that it is never ahead of the size because of its age.
WITH published AS MATERIALIZED (
    SELECT log_id, max(size) AS size FROM ledger.published GROUP BY log_id
)
SELECT l.id, l.tenant, l.origin, coalesce(g.to_size, 0), coalesce(p.size, 0)
  FROM ledger.log AS l
  LEFT JOIN published AS p ON p.log_id = l.id
  LEFT JOIN LATERAL (
       SELECT to_size FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
  ) AS g ON true
 ORDER BY l.tenant

-- name: borders
-- Where growths begin, about so many leaves apart.
SELECT min(from_size)
  FROM ledger.growth
 WHERE log_id = %(log_id)s AND from_size < %(size)s
 GROUP BY from_size / %(leaves)s
 ORDER BY 1

-- name: growths
-- Growths with their segments. They share the moment of their transaction.
SELECT g.from_size, g.to_size, g.root, g.note, s.entries, g.peaks
  FROM ledger.growth AS g
  LEFT JOIN ledger.segment AS s ON s.log_id = g.log_id AND s.first = g.from_size AND s.at = g.at
 WHERE g.log_id = %(log_id)s AND g.from_size >= %(from_size)s AND g.from_size < %(to_size)s
 ORDER BY g.from_size

-- name: tiles
-- The tiles of a level that became full on the way. Where quarters do not agree on what they have in common it is
-- longer than it can be; a tile that lacks one is none.
SELECT level, quarter / 4, string_agg(hashes, ''::bytea ORDER BY quarter),
       string_agg(DISTINCT quarter_roots, ''::bytea), string_agg(root, ''::bytea)
  FROM ledger.tile
 WHERE log_id = %(log_id)s AND level = %(level)s AND quarter >= %(first)s * 4 AND quarter < %(end)s * 4
 GROUP BY level, quarter / 4
HAVING count(*) = 4
 ORDER BY quarter / 4

-- name: runs
-- Numbers whose leaves begin there. They share the moment of their growths, by which they are found.
SELECT source, epoch, first, last, leaf
  FROM ledger.run
 WHERE log_id = %(log_id)s AND leaf >= %(from_size)s AND leaf < %(to_size)s
   AND at >= (SELECT min(at) FROM ledger.growth
               WHERE log_id = %(log_id)s AND from_size >= %(from_size)s AND from_size < %(to_size)s)
   AND at <= (SELECT max(at) FROM ledger.growth
               WHERE log_id = %(log_id)s AND from_size >= %(from_size)s AND from_size < %(to_size)s)
 ORDER BY leaf

-- name: conflicts
-- Conflict entries among these leaves.
SELECT source, epoch, seq, came, leaf
  FROM ledger.conflict
 WHERE log_id = %(log_id)s AND leaf >= %(from_size)s AND leaf < %(to_size)s
 ORDER BY leaf

-- name: published
-- Checkpoints that were handed out.
SELECT size, note
  FROM ledger.published
 WHERE log_id = %(log_id)s AND size > %(from_size)s AND size <= %(to_size)s
 ORDER BY size

-- name: twice
-- Numbers that two runs have.
SELECT source, epoch, first
  FROM (
       SELECT source, epoch, first,
              max(last) OVER (PARTITION BY source, epoch ORDER BY first
                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
         FROM ledger.run
        WHERE log_id = %(log_id)s
  ) AS each
 WHERE first <= before
 ORDER BY source, epoch, first
 LIMIT 20

-- name: beyond
-- What is there of leaves that no growth has. One statement sees one moment.
WITH size AS MATERIALIZED (
    SELECT coalesce(max(to_size), 0) AS leaves FROM ledger.growth WHERE log_id = %(log_id)s
)
SELECT sort
  FROM (
       SELECT 'numbers' AS sort, EXISTS (
              SELECT FROM ledger.run, size
               WHERE log_id = %(log_id)s AND (leaf < 0 OR leaf + last - first >= leaves)) AS there
       UNION ALL
       SELECT 'conflicts', EXISTS (
              SELECT FROM ledger.conflict, size WHERE log_id = %(log_id)s AND (leaf < 0 OR leaf >= leaves))
       UNION ALL
       SELECT 'tiles', EXISTS (
              SELECT FROM ledger.tile, size
               WHERE log_id = %(log_id)s
                 AND (level NOT BETWEEN 0 AND 7 OR quarter < 0
                      OR (quarter / 4 + 1)::numeric * 256::numeric ^ (level + 1) > leaves))
       UNION ALL
       SELECT 'entries', EXISTS (
              SELECT FROM ledger.segment AS s
               WHERE s.log_id = %(log_id)s
                 AND NOT EXISTS (
                     SELECT FROM ledger.growth AS g
                      WHERE g.log_id = s.log_id AND g.from_size = s.first AND g.at = s.at))
       UNION ALL
       SELECT 'published checkpoints', EXISTS (
              SELECT FROM ledger.published, size WHERE log_id = %(log_id)s AND (size.leaves < published.size OR published.size < 1))
  ) AS each
 WHERE there

-- name: published_notes
-- What was handed out under these origins and sizes.
SELECT p.note
  FROM unnest(%(origins)s::text[], %(sizes)s::bigint[]) WITH ORDINALITY AS told (origin, size, n)
  LEFT JOIN ledger.log AS l ON l.origin = told.origin
  LEFT JOIN ledger.published AS p ON p.log_id = l.id AND p.size = told.size
 ORDER BY told.n

-- name: taken_in
-- Which leaves came in from then until then. Growths of a log are in the order of their moments.
SELECT coalesce(min(from_size), 0), coalesce(max(to_size), 0)
  FROM ledger.growth
 WHERE log_id = %(log_id)s
   AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
   AND (%(until)s::timestamptz IS NULL OR at < %(until)s)

-- name: pruned
-- Up to where entries are no longer kept, rightly.
SELECT coalesce(max(up_to), 0) FROM ledger.pruned WHERE log_id = %(log_id)s

-- name: note_at
-- The checkpoint that was signed at a size, where a growth ended there.
SELECT note
  FROM (
       SELECT to_size, note
         FROM ledger.growth
        WHERE log_id = %(log_id)s AND from_size < %(size)s
        ORDER BY from_size DESC
        LIMIT 1
  ) AS last
 WHERE to_size = %(size)s
