-- The year of bench/year.py, made inside the server. `shape` (a temporary table) holds the histograms that
-- rows take in turn: what a check's hour or day looks like, not what it was.

-- name: make_shapes
CREATE TEMPORARY TABLE shape (
    kind    text NOT NULL,
    n       integer NOT NULL,
    buckets smallint[] NOT NULL,
    counts  integer[] NOT NULL,
    PRIMARY KEY (kind, n)
);

-- name: add_shape
INSERT INTO shape VALUES (%s, %s, %s, %s);

-- name: make_lost
-- The runs that failed, by check and hour, as the transitions have it.
CREATE TEMPORARY TABLE lost AS
WITH bad AS (
    SELECT check_id, at, state,
           least(lead(at) OVER (PARTITION BY check_id ORDER BY at), %(end)s::timestamptz) AS until
    FROM availability.transition
), hours AS (
    SELECT check_id, h AS at,
           extract(epoch FROM least(until, h + interval '1 hour') - greatest(bad.at, h)) AS seconds
    FROM bad, generate_series(date_trunc('hour', bad.at), until, interval '1 hour') AS h
    WHERE state IN (1, 2, 3)
)
SELECT check_id, at, least(%(runs)s, ceil(sum(seconds) / 3600 * %(runs)s))::int AS runs
FROM hours WHERE seconds > 0 GROUP BY 1, 2;

-- name: fill_hours
-- In the order in which a controller writes them: hour by hour, each with all checks.
INSERT INTO availability.rollup_hour (check_id, at, good, degraded, failed, buckets, counts)
SELECT c.id, h, %(runs)s - coalesce(l.runs, 0), 0, coalesce(l.runs, 0), s.buckets, s.counts
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS h
CROSS JOIN (SELECT id FROM estate.probe WHERE removed_at IS NULL) AS c
JOIN shape s ON s.kind = 'hour'
    AND s.n = (c.id * 31 + extract(epoch FROM h)::bigint / 3600 * 17) %% %(shapes)s
LEFT JOIN lost l ON l.check_id = c.id AND l.at = h
ORDER BY h, c.id;

-- name: fill_days
INSERT INTO availability.rollup_day (check_id, at, good, degraded, failed, buckets, counts)
SELECT c.id, d, 24 * %(runs)s - coalesce(l.runs, 0), 0, coalesce(l.runs, 0), s.buckets, s.counts
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 day', interval '1 day') AS d
CROSS JOIN (SELECT id FROM estate.probe WHERE removed_at IS NULL) AS c
JOIN shape s ON s.kind = 'day'
    AND s.n = (c.id * 31 + extract(epoch FROM d)::bigint / 86400 * 17) %% %(shapes)s
LEFT JOIN (SELECT check_id, date_trunc('day', at) AS at, sum(runs)::int AS runs FROM lost GROUP BY 1, 2) AS l
    ON l.check_id = c.id AND l.at = d
ORDER BY d, c.id;

-- name: fill_minutes
INSERT INTO availability.rollup_minute (check_id, at, good, degraded, failed, buckets, counts)
SELECT c.id, m, 2, 0, 0, s.buckets, s.counts
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 minute', interval '1 minute') AS m
CROSS JOIN (SELECT id FROM estate.probe WHERE removed_at IS NULL) AS c
JOIN shape s ON s.kind = 'minute'
    AND s.n = (c.id * 31 + extract(epoch FROM m)::bigint / 60 * 17) %% %(shapes)s
ORDER BY m, c.id;

-- name: fill_results
-- Raw results, each check at its own phase.
INSERT INTO availability.result (check_id, at, outcome, attempts, latency_bucket, total_us,
                                 resolve_us, connect_us, tls_us, first_byte_us, reason)
SELECT c.id, t + (c.id %% 1000) * interval '30 ms', 0, 1, 118 + c.id %% 20, 9000 + c.id %% 20 * 900,
       NULL, 400, 2600, 5000, ''
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '31 seconds',
                     interval '30 seconds') AS t
CROSS JOIN (SELECT id FROM estate.probe WHERE removed_at IS NULL) AS c
ORDER BY t, c.id;

-- name: fill_states
-- The checks as they are at the year's end. They do not fall silent for a day: nobody runs them.
INSERT INTO availability.check_state (check_id, state, since, heard_at, known_until, silent_after, reason, memory)
SELECT DISTINCT ON (check_id) check_id, state, at, %(end)s, %(end)s::timestamptz + interval '1 day',
       %(end)s::timestamptz + interval '1 day', reason, '{}'
FROM availability.transition ORDER BY check_id, at DESC;

-- name: fill_maintenance
-- Each cluster once a month for two hours, in its own night, announced a week before.
WITH planned AS (
    INSERT INTO availability.maintenance (starts_at, ends_at, announced_at, announced_by, title)
    SELECT at, at + interval '2 hours', at - interval '7 days', 'bench', cluster_key
    FROM (
        SELECT cluster_key, m + (rank * 7 %% 27) * interval '1 day' + (rank %% 4) * interval '1 hour' AS at
        FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '29 days',
                             interval '30 days') AS m
        CROSS JOIN (SELECT cluster_key, row_number() OVER (ORDER BY cluster_key) AS rank
                    FROM (SELECT DISTINCT cluster_key FROM estate.component WHERE removed_at IS NULL) AS k) AS c
    ) AS windows
    RETURNING id, title
)
INSERT INTO availability.maintenance_component (maintenance_id, component_id)
SELECT planned.id, component.id
FROM planned JOIN estate.component ON component.cluster_key = planned.title AND removed_at IS NULL;

-- name: mark_folded
INSERT INTO availability.fold (resolution, folded_until) VALUES ('minute', %(end)s), ('hour', %(end)s), ('day', %(end)s);
