-- name: logs
-- All tenants' logs that have leaves, with their size and the tenant's time zone.
SELECT l.id, l.tenant, l.origin, coalesce(t.time_zone, 'UTC'), g.to_size
  FROM ledger.log AS l
 CROSS JOIN LATERAL (
       SELECT to_size FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
  ) AS g
  LEFT JOIN ledger.tenant AS t ON t.key = l.tenant
 WHERE l.tenant <> ''
 ORDER BY l.id

-- name: positions
-- How far a fold has come in each log.
SELECT log_id, position FROM ledger.followed WHERE fold = %(fold)s

-- name: sizes
-- The next growths, without their entries: what a portion is made of is decided by sizes alone.
SELECT from_size, to_size
  FROM ledger.growth
 WHERE log_id = %(log_id)s AND from_size >= %(from_size)s
 ORDER BY from_size
 LIMIT 5000

-- name: growths
-- Growths with their entries; without where retention took them.
SELECT g.from_size, g.to_size, g.at, s.entries
  FROM ledger.growth AS g
  LEFT JOIN ledger.segment AS s ON s.log_id = g.log_id AND s.first = g.from_size AND s.at = g.at
 WHERE g.log_id = %(log_id)s AND g.from_size >= %(from_size)s AND g.from_size < %(to_size)s
 ORDER BY g.from_size

-- name: begin
-- A fold begins with a log. Two that begin at once: one of them waits, and finds the other's row.
INSERT INTO ledger.followed (fold, log_id, position)
VALUES (%(fold)s, %(log_id)s, %(to_size)s)
ON CONFLICT DO NOTHING
RETURNING position

-- name: advance
-- A fold has come further, if it still stands where it began.
UPDATE ledger.followed
   SET position = %(to_size)s, at = clock_timestamp()
 WHERE fold = %(fold)s AND log_id = %(log_id)s AND position = %(from_size)s
RETURNING position
