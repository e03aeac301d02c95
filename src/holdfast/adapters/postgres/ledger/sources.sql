-- name: tenants
-- All, or one.
SELECT key, name, time_zone, keep_days, added_at
  FROM ledger.tenant
 WHERE %(key)s::text IS NULL OR key = %(key)s
 ORDER BY key

-- name: add_tenant
INSERT INTO ledger.tenant (key, name, time_zone, keep_days)
VALUES (%(key)s, %(name)s, %(time_zone)s, %(keep_days)s)
ON CONFLICT DO NOTHING
RETURNING key, name, time_zone, keep_days, added_at

-- name: change_tenant
UPDATE ledger.tenant SET name = %(name)s, time_zone = %(time_zone)s, keep_days = %(keep_days)s
 WHERE key = %(key)s
RETURNING key, name, time_zone, keep_days, added_at

-- name: sources
-- Everybody's, a tenant's, or one.
SELECT tenant, key, kind, name, added_at, revoked_at
  FROM ledger.source
 WHERE (%(tenant)s::text IS NULL OR tenant = %(tenant)s) AND (%(key)s::text IS NULL OR key = %(key)s)
 ORDER BY tenant, key

-- name: add_source
INSERT INTO ledger.source (tenant, key, kind, name)
VALUES (%(tenant)s, %(key)s, %(kind)s, %(name)s)
ON CONFLICT DO NOTHING
RETURNING tenant, key, kind, name, added_at, revoked_at

-- name: revoke_source
UPDATE ledger.source SET revoked_at = clock_timestamp()
 WHERE tenant = %(tenant)s AND key = %(key)s AND revoked_at IS NULL

-- name: tokens
-- Everybody's, or a tenant's.
SELECT id, tenant, source, scope, name, added_at, revoked_at, last_used_at
  FROM ledger.token
 WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s
 ORDER BY id

-- name: add_token
-- Of a source in force, or of a reader.
INSERT INTO ledger.token (tenant, source, scope, name, sha256)
SELECT t.key, %(source)s::text, %(scope)s, %(name)s, %(sha256)b
  FROM ledger.tenant AS t
 WHERE t.key = %(tenant)s
   AND (%(source)s::text IS NULL OR EXISTS (
        SELECT FROM ledger.source
         WHERE tenant = t.key AND key = %(source)s AND revoked_at IS NULL))
RETURNING id, tenant, source, scope, name, added_at, revoked_at, last_used_at

-- name: revoke_token
UPDATE ledger.token SET revoked_at = clock_timestamp() WHERE id = %(id)s AND revoked_at IS NULL
RETURNING tenant, source, name

-- name: admitted
-- Whose token it is, while it and its source are in force, and whether its use is to be noted.
SELECT t.id, t.tenant, t.source, t.name, t.sha256,
       t.last_used_at IS NULL OR t.last_used_at < clock_timestamp() - %(noted_every)s::interval
  FROM ledger.token AS t
  LEFT JOIN ledger.source AS s ON s.tenant = t.tenant AND s.key = t.source
 WHERE t.sha256 = %(sha256)b AND t.revoked_at IS NULL AND s.revoked_at IS NULL

-- name: note_use
UPDATE ledger.token SET last_used_at = clock_timestamp() WHERE id = %(id)s

-- name: write_journal
INSERT INTO holdfast.journal (at, actor, event, facts)
VALUES (clock_timestamp(), %(actor)s, %(event)s, %(facts)s)
