-- What moving a cluster asks of Holdfast's own database.

-- name: ledgers
-- Of each tenant's log: what was handed out as acknowledged, and what is there.
SELECT l.origin,
       (SELECT max(size) FROM ledger.published WHERE log_id = l.id),
       coalesce((SELECT max(to_size) FROM ledger.growth WHERE log_id = l.id), 0)
  FROM ledger.log AS l
 WHERE l.tenant <> ''
 ORDER BY l.origin
