-- What moving a cluster asks of Holdfast's own database.

-- name: ledgers
-- Of each tenant's log: what was handed out as acknowledged, and what is there.
SELECT l.origin,
       (SELECT max(size) FROM ledger.published WHERE log_id = l.id),
       coalesce((SELECT max(to_size) FROM ledger.growth WHERE log_id = l.id), 0)
  FROM ledger.log AS l
 WHERE l.tenant <> ''
 ORDER BY l.origin

-- name: sequences
-- Of each tenant's log, how far each source has come: as the folds know it, which are moments behind. Those that sent
-- last stand first.
SELECT l.origin, s.source, s.epoch, s.highest
  FROM ledger.log AS l
 CROSS JOIN LATERAL (
       SELECT source, epoch, highest, received_at FROM ledger.standing
        WHERE tenant = l.tenant ORDER BY received_at DESC, source, epoch LIMIT %(most)s
 ) AS s
 WHERE l.tenant <> ''
 ORDER BY l.origin, s.received_at DESC, s.source, s.epoch
