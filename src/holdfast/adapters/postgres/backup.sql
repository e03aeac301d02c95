-- The queries of the backup stores.

-- name: now
SELECT clock_timestamp();

-- name: hold_turn
-- One settles or approves at a time, for each database and region; without a right to lock its rows.
SELECT pg_advisory_xact_lock(hashtextextended('holdfast backup keeping ' || %(database)s || '/' || %(region)s, 0));

-- name: keeps
SELECT region_key, keep FROM backup.keeping WHERE database_key = %(database)s ORDER BY region_key;

-- name: open_changes
SELECT region_key, id, to_keep, asked_at FROM backup.retention_change
WHERE database_key = %(database)s AND effective_at IS NULL AND withdrawn_at IS NULL;

-- name: approvals
SELECT change_id, actor, at FROM backup.retention_approval WHERE change_id = ANY (%(changes)s) ORDER BY at, person;

-- name: put_keep
INSERT INTO backup.keeping (database_key, region_key, keep) VALUES (%(database)s, %(region)s, %(keep)s)
ON CONFLICT (database_key, region_key) DO UPDATE SET keep = excluded.keep, since = clock_timestamp()
WHERE keeping.keep <> excluded.keep;

-- name: open_change
INSERT INTO backup.retention_change (database_key, region_key, from_keep, to_keep)
VALUES (%(database)s, %(region)s, %(from)s, %(to)s);

-- name: end_change
UPDATE backup.retention_change SET effective_at = clock_timestamp()
WHERE id = %(id)s AND effective_at IS NULL AND withdrawn_at IS NULL;

-- name: withdraw_change
UPDATE backup.retention_change SET withdrawn_at = clock_timestamp()
WHERE id = %(id)s AND effective_at IS NULL AND withdrawn_at IS NULL;

-- name: approve
INSERT INTO backup.retention_approval (change_id, person, actor) VALUES (%(id)s, %(person)s, %(actor)s)
ON CONFLICT DO NOTHING;

-- name: journal
INSERT INTO holdfast.journal (actor, event, facts) VALUES (%(actor)s, %(event)s, %(facts)s);

-- name: report
INSERT INTO backup.status (database_key, region_key, document) VALUES (%(database)s, %(region)s, %(document)s)
ON CONFLICT (database_key, region_key) DO UPDATE
SET document = excluded.document, reported_at = clock_timestamp();

-- name: statuses
SELECT document::text, reported_at, clock_timestamp() FROM backup.status ORDER BY database_key, region_key;

-- name: forget
DELETE FROM backup.status WHERE (database_key, region_key) NOT IN (
    SELECT * FROM unnest(%(databases)s::text[], %(regions)s::text[]));
