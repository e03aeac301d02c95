-- The queries of the maintenance store. What readers are told stands in communication, what counts in
-- availability: rows that are announced by this database's clock.

-- name: now
SELECT clock_timestamp();

-- name: moment
-- The transaction's: whatever is announced in it is announced then.
SELECT now();

-- name: add
-- None when somebody has that id, or that place in the series.
INSERT INTO communication.maintenance (id, version, title, body, stage, starts_at, ends_at, starts_by_clock,
                                       ends_by_clock, remind, reminded, began_at, ended_at,
                                       announced_by, series_id, occurs_at, series_version)
VALUES (%(id)s, 1, %(title)s, %(body)s, %(stage)s, %(starts_at)s, %(ends_at)s, %(starts_by_clock)s,
        %(ends_by_clock)s, %(remind)s, %(reminded)s, %(began_at)s, %(ended_at)s, %(announced_by)s,
        %(series)s, %(occurs_at)s, %(series_version)s)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: hold
-- None when another version was stored since. Who holds it has it alone until the transaction's end.
SELECT id FROM communication.maintenance WHERE id = %(id)s AND version = %(version)s FOR UPDATE;

-- name: move_on
UPDATE communication.maintenance
SET version = version + 1, title = %(title)s, body = %(body)s, stage = %(stage)s, starts_at = %(starts_at)s,
    ends_at = %(ends_at)s, starts_by_clock = %(starts_by_clock)s, ends_by_clock = %(ends_by_clock)s,
    remind = %(remind)s, reminded = %(reminded)s, began_at = %(began_at)s, ended_at = %(ended_at)s,
    occurs_at = %(occurs_at)s, series_version = %(series_version)s
WHERE id = %(id)s;

-- name: forget_components
DELETE FROM communication.maintenance_component
WHERE maintenance_id = %(id)s AND component_id <> ALL (%(components)s::integer[]);

-- name: keep_components
INSERT INTO communication.maintenance_component (maintenance_id, component_id)
SELECT %(id)s, unnest(%(components)s::integer[])
ON CONFLICT DO NOTHING;

-- name: add_update
INSERT INTO communication.maintenance_update (id, maintenance_id, number, at, stage, body, author, affected)
VALUES (%(update)s, %(id)s, %(number)s, %(at)s, %(stage)s, %(body)s, %(author)s, %(affected)s);

-- name: add_change
INSERT INTO communication.maintenance_change (maintenance_id, at, actor, field, before, after)
VALUES (%(id)s, %(now)s, %(actor)s, %(field)s, %(before)s, %(after)s);

-- name: claims
-- The rows that still count, as far as they do, each locked.
SELECT m.id, greatest(m.starts_at, m.began_at), least(m.ends_at, m.ended_at),
       ARRAY(SELECT c.component_id FROM availability.maintenance_component c
             WHERE c.maintenance_id = m.id AND c.withdrawn_at IS NULL)
FROM availability.maintenance m WHERE m.maintenance_id = %(id)s AND m.cancelled_at IS NULL
ORDER BY m.id FOR UPDATE OF m;

-- name: drop_claims
UPDATE availability.maintenance SET cancelled_at = %(now)s, cancelled_by = %(actor)s
WHERE id = ANY (%(claims)s::integer[]);

-- name: cut_claim
UPDATE availability.maintenance
SET began_at = nullif(%(start)s::timestamptz, starts_at), ended_at = nullif(%(end)s::timestamptz, ends_at)
WHERE id = %(claim)s;

-- name: withdraw
UPDATE availability.maintenance_component SET withdrawn_at = %(now)s
WHERE maintenance_id = %(claim)s AND component_id = ANY (%(components)s::integer[]);

-- name: add_claim
WITH counted AS (
    INSERT INTO availability.maintenance (starts_at, ends_at, title, announced_by, maintenance_id)
    VALUES (%(start)s, %(end)s, %(title)s, %(actor)s, %(id)s)
    RETURNING id
)
INSERT INTO availability.maintenance_component (maintenance_id, component_id)
SELECT counted.id, component_id FROM counted, unnest(%(components)s::integer[]) AS component_id;

-- name: describe_claims
-- Those that were cancelled too: they are shown under its name.
UPDATE availability.maintenance SET title = %(title)s, awaits_start = %(awaits_start)s
WHERE maintenance_id = %(id)s AND (title <> %(title)s OR awaits_start <> %(awaits_start)s);

-- name: tell_of_change
SELECT pg_notify('holdfast_changed', 'maintenance');

-- name: one
SELECT id, title, body, starts_at, ends_at, stage, announced_at, announced_by, starts_by_clock, ends_by_clock,
       remind, reminded, began_at, ended_at, series_id, occurs_at, series_version, version
FROM communication.maintenance WHERE id = %(id)s;

-- name: unfinished
SELECT id, title, body, starts_at, ends_at, stage, announced_at, announced_by, starts_by_clock, ends_by_clock,
       remind, reminded, began_at, ended_at, series_id, occurs_at, series_version, version
FROM communication.maintenance WHERE stage NOT IN ('completed', 'cancelled') ORDER BY starts_at, id;

-- name: within
-- What lasts longer than planned, or should have begun, is still there.
SELECT id, title, body, starts_at, ends_at, stage, announced_at, announced_by, starts_by_clock, ends_by_clock,
       remind, reminded, began_at, ended_at, series_id, occurs_at, series_version, version
FROM communication.maintenance
WHERE least(starts_at, began_at) < %(end)s AND (
      ends_at > %(start)s OR ended_at > %(start)s
      OR (stage NOT IN ('completed', 'cancelled') AND now() >= %(start)s))
ORDER BY starts_at, id;

-- name: of_series
SELECT id, title, body, starts_at, ends_at, stage, announced_at, announced_by, starts_by_clock, ends_by_clock,
       remind, reminded, began_at, ended_at, series_id, occurs_at, series_version, version
FROM communication.maintenance
WHERE series_id = %(series)s AND (stage NOT IN ('completed', 'cancelled') OR occurs_at > %(since)s)
ORDER BY starts_at, id;

-- name: components_of
SELECT maintenance_id, component_id FROM communication.maintenance_component WHERE maintenance_id = ANY (%(ids)s);

-- name: updates_of
SELECT maintenance_id, id, at, stage, body, author, affected, recorded_at FROM communication.maintenance_update
WHERE maintenance_id = ANY (%(ids)s) ORDER BY maintenance_id, number;

-- name: changes_of
SELECT maintenance_id, at, actor, field, before, after FROM communication.maintenance_change
WHERE maintenance_id = ANY (%(ids)s) ORDER BY maintenance_id, id;

-- name: one_series
SELECT id, title, body, component_ids, rule, time_zone, first_at, lasts, starts_by_clock, ends_by_clock, remind,
       version, created_at, created_by, ended_at, ended_by
FROM communication.series WHERE id = %(id)s;

-- name: all_series
SELECT id, title, body, component_ids, rule, time_zone, first_at, lasts, starts_by_clock, ends_by_clock, remind,
       version, created_at, created_by, ended_at, ended_by
FROM communication.series ORDER BY created_at, id;

-- name: add_series
INSERT INTO communication.series (id, version, title, body, component_ids, rule, time_zone, first_at, lasts,
                                  starts_by_clock, ends_by_clock, remind, created_by)
VALUES (%(id)s, 1, %(title)s, %(body)s, %(components)s, %(rule)s, %(time_zone)s, %(first_at)s, %(lasts)s,
        %(starts_by_clock)s, %(ends_by_clock)s, %(remind)s, %(created_by)s)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: change_series
-- None when another version was stored since. Once ended, it stays ended since then.
UPDATE communication.series
SET version = version + 1, title = %(title)s, body = %(body)s, component_ids = %(components)s, rule = %(rule)s,
    time_zone = %(time_zone)s, first_at = %(first_at)s, lasts = %(lasts)s, starts_by_clock = %(starts_by_clock)s,
    ends_by_clock = %(ends_by_clock)s, remind = %(remind)s,
    ended_at = coalesce(ended_at, CASE WHEN %(ended)s THEN clock_timestamp() END),
    ended_by = coalesce(ended_by, CASE WHEN %(ended)s THEN %(ended_by)s END)
WHERE id = %(id)s AND version = %(version)s
RETURNING id;
