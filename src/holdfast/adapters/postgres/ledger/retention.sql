-- name: declare
-- Each tenant whose time to keep entries is another one than it was.
INSERT INTO ledger.keeping (tenant, keep_days)
SELECT new.tenant, new.keep_days
  FROM unnest(%(tenants)s::text[], %(keep_days)s::integer[]) AS new (tenant, keep_days)
  LEFT JOIN LATERAL (
       SELECT true AS there, keep_days FROM ledger.keeping
        WHERE tenant = new.tenant ORDER BY since DESC LIMIT 1
  ) AS last ON true
 WHERE last.there IS NULL OR last.keep_days IS DISTINCT FROM new.keep_days
RETURNING tenant, keep_days

-- name: kept
-- How it stands with each tenant's log.
SELECT l.tenant, l.id, p.size, k.days, h.reason, p.old, p.published, p.tiled, p.folded, p.settled, p.pruned, p.up_to
  FROM ledger.log AS l
 CROSS JOIN LATERAL (SELECT ledger.keep_in_force(l.tenant) AS days) AS k
 CROSS JOIN LATERAL ledger.prunable(l.id, k.days, %(folds)s::text[]) AS p
  LEFT JOIN ledger.hold AS h ON h.tenant = l.tenant AND h.lifted_at IS NULL
 WHERE l.tenant <> ''
 ORDER BY l.tenant

-- name: pruned_to
-- Up to where entries are rightly gone.
SELECT coalesce(max(up_to), 0) FROM ledger.pruned WHERE log_id = %(log_id)s

-- name: prune
-- Declares what may go.
SELECT ledger.prune(%(log_id)s, %(folds)s::text[])

-- name: tenant_of
SELECT tenant FROM ledger.log WHERE id = %(log_id)s

-- name: drop_pruned
SELECT partition, segments, bytes FROM ledger.drop_pruned()

-- name: sweep
SELECT segments, bytes FROM ledger.sweep_pruned(%(most)s)

-- name: make_partition
SELECT ledger.make_segments_of(%(at)s)

-- name: place_hold
-- One at a time on each tenant.
INSERT INTO ledger.hold (tenant, reason, actor) VALUES (%(tenant)s, %(reason)s, %(actor)s)
ON CONFLICT (tenant) WHERE lifted_at IS NULL DO NOTHING

-- name: lift_hold
UPDATE ledger.hold SET lifted_at = clock_timestamp(), lifted_by = %(actor)s
 WHERE tenant = %(tenant)s AND lifted_at IS NULL
RETURNING reason

-- name: holds
SELECT tenant, reason, actor, placed_at, lifted_at, lifted_by
  FROM ledger.hold
 WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s
 ORDER BY id

-- name: write_journal
INSERT INTO holdfast.journal (actor, event, facts) VALUES (%(actor)s, %(event)s, %(facts)s)
