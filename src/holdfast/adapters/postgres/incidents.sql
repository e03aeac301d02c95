-- The queries of the incident store.

-- name: in_turn
-- Locks what is written together in one order, so that two who merge crosswise take turns.
SELECT FROM communication.incident WHERE id = ANY (%(ids)s) ORDER BY id FOR UPDATE;

-- name: add
-- None when somebody has that id.
INSERT INTO communication.incident (id, version, title, impact, phase, draft, began_at, declared_by, published_at,
                                    resolved_at, merged_into, rule)
VALUES (%(id)s, 1, %(title)s, %(impact)s, %(phase)s, %(draft)s, %(began_at)s, %(declared_by)s,
        CASE WHEN NOT %(draft)s THEN clock_timestamp() END, %(resolved_at)s, %(merged_into)s, %(rule)s)
ON CONFLICT (id) DO NOTHING
RETURNING clock_timestamp();

-- name: move_on
-- None when another version was stored since. Once published, always published.
UPDATE communication.incident
SET version = version + 1, title = %(title)s, impact = %(impact)s, phase = %(phase)s,
    draft = draft AND %(draft)s, began_at = %(began_at)s,
    published_at = CASE WHEN NOT (draft AND %(draft)s) THEN coalesce(published_at, clock_timestamp()) END,
    resolved_at = %(resolved_at)s, merged_into = %(merged_into)s
WHERE id = %(id)s AND version = %(version)s
RETURNING clock_timestamp();

-- name: forget_components
DELETE FROM communication.incident_component
WHERE incident_id = %(id)s AND component_id <> ALL (%(components)s::integer[]);

-- name: keep_components
INSERT INTO communication.incident_component (incident_id, component_id, state)
SELECT %(id)s, * FROM unnest(%(components)s::integer[], %(states)s::text[])
ON CONFLICT (incident_id, component_id) DO UPDATE SET state = excluded.state;

-- name: add_updates
INSERT INTO communication.incident_update (id, incident_id, number, at, phase, body, author, affected)
SELECT u.id, %(incident)s, u.number, u.at, u.phase, u.body, u.author, u.affected::jsonb
FROM unnest(%(ids)s::text[], %(numbers)s::integer[], %(times)s::timestamptz[], %(phases)s::text[],
            %(bodies)s::text[], %(authors)s::text[], %(affected)s::text[])
     AS u (id, number, at, phase, body, author, affected);

-- name: add_revisions
-- Those that are there already are left as they are.
INSERT INTO communication.incident_revision (update_id, number, body, shown_at, author)
SELECT * FROM unnest(%(updates)s::text[], %(numbers)s::integer[], %(bodies)s::text[], %(times)s::timestamptz[],
                     %(authors)s::text[])
ON CONFLICT (update_id, number) DO NOTHING;

-- name: count_changes
SELECT count(*) FROM communication.incident_change WHERE incident_id = %(id)s;

-- name: add_change
INSERT INTO communication.incident_change (incident_id, actor, field, before, after)
VALUES (%(incident)s, %(actor)s, %(field)s, %(before)s, %(after)s);

-- name: tell_of_change
SELECT pg_notify('holdfast_changed', 'incident');

-- name: one
SELECT id, version, title, impact, phase, draft, began_at, declared_at, declared_by, published_at, resolved_at,
       merged_into, rule
FROM communication.incident WHERE id = %(id)s;

-- name: newest
SELECT id, version, title, impact, phase, draft, began_at, declared_at, declared_by, published_at, resolved_at,
       merged_into, rule
FROM communication.incident
WHERE (%(since)s::timestamptz IS NULL OR resolved_at IS NULL OR resolved_at > %(since)s)
  AND NOT (%(public_only)s AND (draft OR merged_into IS NOT NULL))
  AND (%(after_id)s::text IS NULL OR began_at < %(after_began_at)s::timestamptz
       OR began_at = %(after_began_at)s::timestamptz AND id > %(after_id)s::text)
ORDER BY began_at DESC, id LIMIT %(limit)s;

-- name: components_of
SELECT incident_id, component_id, state FROM communication.incident_component
WHERE incident_id = ANY (%(ids)s) ORDER BY incident_id, component_id;

-- name: updates_of
SELECT incident_id, id, at, phase, body, author, affected, recorded_at FROM communication.incident_update
WHERE incident_id = ANY (%(ids)s) ORDER BY incident_id, number;

-- name: revisions_of
SELECT r.update_id, r.body, r.shown_at, r.recorded_at, r.author
FROM communication.incident_revision r JOIN communication.incident_update u ON u.id = r.update_id
WHERE u.incident_id = ANY (%(ids)s) ORDER BY r.update_id, r.number;

-- name: changes_of
SELECT incident_id, at, actor, field, before, after FROM communication.incident_change
WHERE incident_id = ANY (%(ids)s) ORDER BY incident_id, id;
