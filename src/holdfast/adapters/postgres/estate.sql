-- The registry: which component and check is which, through every edit of the estate file.

-- name: take_turn
-- Several processes that apply an estate at once do it one after the other.
SELECT pg_advisory_xact_lock(7015, 2);

-- name: components
SELECT id, cluster_key, key, name, removed_at, formerly FROM estate.component ORDER BY id;

-- name: checks
SELECT id, component_id, key, removed_at, formerly FROM estate.probe ORDER BY id;

-- name: remove_components
UPDATE estate.component SET removed_at = %(at)s WHERE id = ANY(%(ids)s) AND removed_at IS NULL;

-- name: keep_component
UPDATE estate.component
SET cluster_key = %(cluster_key)s, key = %(key)s, name = %(name)s, formerly = %(formerly)s, removed_at = NULL
WHERE id = %(id)s;

-- name: add_component
INSERT INTO estate.component (cluster_key, key, name, formerly)
VALUES (%(cluster_key)s, %(key)s, %(name)s, %(formerly)s);

-- name: remove_checks
UPDATE estate.probe SET removed_at = %(at)s WHERE id = ANY(%(ids)s) AND removed_at IS NULL;

-- name: keep_check
UPDATE estate.probe SET key = %(key)s, formerly = %(formerly)s, removed_at = NULL WHERE id = %(id)s;

-- name: add_check
INSERT INTO estate.probe (component_id, key, formerly)
SELECT id, %(key)s, %(formerly)s FROM estate.component
WHERE cluster_key = %(cluster_key)s AND key = %(component)s AND removed_at IS NULL;

-- name: living_components
SELECT cluster_key, key, id FROM estate.component WHERE removed_at IS NULL ORDER BY id;

-- name: keep_privacy
-- It stays as it was when the component is removed: what is told of it stays private.
UPDATE estate.component SET private = (cluster_key = ANY(%(clusters)s))
WHERE removed_at IS NULL AND private <> (cluster_key = ANY(%(clusters)s));

-- name: hidden_components
SELECT id FROM estate.component WHERE removed_at IS NOT NULL AND private;

-- name: living_checks
SELECT c.cluster_key, c.key, p.key, p.id
FROM estate.probe p JOIN estate.component c ON c.id = p.component_id
WHERE p.removed_at IS NULL AND c.removed_at IS NULL ORDER BY p.id;

-- name: set_quorums
-- Appends where what is needed differs from what was needed last.
INSERT INTO estate.quorum (probe_id, at, needed)
SELECT wanted.probe_id, %(at)s, wanted.needed
FROM unnest(%(probes)s::int[], %(needed)s::smallint[]) AS wanted (probe_id, needed)
WHERE wanted.needed <> coalesce((SELECT q.needed FROM estate.quorum q WHERE q.probe_id = wanted.probe_id
                                 ORDER BY q.at DESC LIMIT 1), 1)
ON CONFLICT DO NOTHING;

-- name: newest_revision
SELECT id, document FROM estate.revision ORDER BY id DESC LIMIT 1;

-- name: add_revision
INSERT INTO estate.revision (applied_by, source_sha256, document)
VALUES (%(actor)s, %(sha256)s, %(document)s) RETURNING id;

-- name: write_journal
INSERT INTO holdfast.journal (actor, event, facts) VALUES (%(actor)s, %(event)s, %(facts)s);

-- name: announce_change
SELECT pg_notify('holdfast_changed', 'estate');
