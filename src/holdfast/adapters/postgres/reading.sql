-- What was recorded, as it is read. Reads never block a write.

-- name: check_states
SELECT check_id, state, since, heard_at, known_until, silent_after, reason, memory
FROM availability.check_state;

-- name: check_states_of
SELECT check_id, state, since, heard_at, known_until, silent_after, reason, memory
FROM availability.check_state WHERE check_id = ANY(%s);

-- name: transitions
-- Of every check that these components ever had: the one in force at the window's start, and all inside it.
SELECT p.component_id, p.key, p.id, t.at, t.state, t.reason, t.sample
FROM estate.probe p
CROSS JOIN LATERAL (
    (SELECT at, state, reason, sample FROM availability.transition
     WHERE check_id = p.id AND at <= %(start)s ORDER BY at DESC LIMIT 1)
    UNION ALL
    SELECT at, state, reason, sample FROM availability.transition
    WHERE check_id = p.id AND at > %(start)s AND at < %(end)s
) t
WHERE p.component_id = ANY(%(components)s)
ORDER BY p.component_id, p.id, t.at;

-- name: quorums_of
SELECT probe_id, at, needed FROM estate.quorum WHERE probe_id = ANY(%s) ORDER BY at;

-- name: roll_ups
-- The table is replaced by that of the resolution asked for.
SELECT check_id, at, good, degraded, failed, buckets, counts
FROM availability.rollup_minute
WHERE check_id = ANY(%(checks)s) AND at >= %(start)s AND at < %(end)s
ORDER BY at, check_id;

-- name: newest_results
SELECT r.check_id, r.at, r.outcome, r.attempts, r.total_us,
       r.resolve_us, r.connect_us, r.tls_us, r.first_byte_us, r.reason
FROM unnest(%(checks)s::int[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM availability.result WHERE check_id = wanted.id ORDER BY at DESC LIMIT %(limit)s
) r
ORDER BY r.at DESC;

-- name: maintenance
-- All of it, or what covers one of these components; in both cases with every component that it covers. The window
-- is what counts of it: from where it really began to where it really ended. What awaits its start moves on by
-- whole minutes: with every look it would be another one.
SELECT m.id, m.starts_at, m.ends_at, m.announced_at, m.title, m.cancelled_at, m.planned_start, m.maintenance_id,
       array_agg(c.component_id) AS component_ids
FROM (
    SELECT id, greatest(starts_at, began_at, CASE WHEN awaits_start AND starts_at <= now()
                                                  THEN date_trunc('minute', now()) + interval '1 minute' END) AS starts_at,
           least(ends_at, ended_at) AS ends_at, announced_at, title, cancelled_at, starts_at AS planned_start,
           maintenance_id
    FROM availability.maintenance WHERE ends_at > %(start)s
) m JOIN availability.maintenance_component c ON c.maintenance_id = m.id AND c.withdrawn_at IS NULL
WHERE m.ends_at > %(start)s AND m.starts_at < %(end)s AND m.starts_at < m.ends_at
  AND (%(components)s::int[] IS NULL OR m.id IN (
      SELECT maintenance_id FROM availability.maintenance_component
      WHERE component_id = ANY(%(components)s) AND withdrawn_at IS NULL))
GROUP BY m.id, m.starts_at, m.ends_at, m.announced_at, m.title, m.cancelled_at, m.planned_start, m.maintenance_id
ORDER BY m.starts_at, m.id;
