-- name: newest
-- The checkpoint that was handed out last.
SELECT note FROM ledger.published WHERE log_id = %(log_id)s ORDER BY size DESC LIMIT 1

-- name: publish
-- Hand one out. One of that size that is there already stays.
INSERT INTO ledger.published (log_id, size, note) VALUES (%(log_id)s, %(size)s, %(note)s)
ON CONFLICT DO NOTHING

-- name: published_at
-- The one of a size.
SELECT note FROM ledger.published WHERE log_id = %(log_id)s AND size = %(size)s

-- name: pending
-- Logs that have grown beyond what was handed out, the longest waiting first.
SELECT l.id, l.tenant, l.origin, g.to_size, coalesce(p.size, 0)
  FROM ledger.log AS l
 CROSS JOIN LATERAL (
       SELECT to_size FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
  ) AS g
  LEFT JOIN LATERAL (
       SELECT size, at FROM ledger.published WHERE log_id = l.id ORDER BY size DESC LIMIT 1
  ) AS p ON true
 WHERE g.to_size > coalesce(p.size, 0)
 ORDER BY p.at NULLS FIRST, l.id

-- name: newest_of_all
-- What was handed out last of each tenant's log.
SELECT l.id, p.note
  FROM ledger.log AS l
 CROSS JOIN LATERAL (
       SELECT note FROM ledger.published WHERE log_id = l.id ORDER BY size DESC LIMIT 1
  ) AS p
 WHERE l.tenant <> ''
 ORDER BY l.id

-- name: handed
-- A tenant's log, and what was handed out last of it.
SELECT l.id, p.note
  FROM ledger.log AS l
  LEFT JOIN LATERAL (
       SELECT note FROM ledger.published WHERE log_id = l.id ORDER BY size DESC LIMIT 1
  ) AS p ON true
 WHERE l.tenant = %(tenant)s

-- name: listed
-- The newest entry that an origin's checkpoint has in the log over all logs, below a size.
SELECT max(least(leaf + last - first, %(below)s - 1))
  FROM ledger.run
 WHERE log_id = %(log_id)s AND source = %(origin)s AND epoch = 0 AND leaf < %(below)s
