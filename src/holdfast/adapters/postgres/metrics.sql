-- Metrics that the estate names. What a minute adds to its hour and its day is added with it, in one statement.

-- name: make_partitions
SELECT availability.make_metric_partitions(%s);

-- name: drop_partitions
SELECT availability.drop_metric_partitions(%s, %s) AS dropped;

-- name: record_points
-- A minute that is there already is absorbed, and adds nothing to its hour and its day.
WITH fresh AS (
    INSERT INTO availability.metric_minute (component_id, key, at, value)
    SELECT * FROM unnest(%(components)s::int[], %(keys)s::text[], %(times)s::timestamptz[], %(values)s::float8[])
    ON CONFLICT DO NOTHING
    RETURNING component_id, key, at, value
), hours AS (
    INSERT INTO availability.metric_hour AS known (component_id, key, at, count, lowest, total, highest)
    SELECT component_id, key, date_bin('1 hour', at, timestamptz '2000-01-01 00:00:00Z') AS bin,
           count(*), min(value), sum(value), max(value)
    FROM fresh GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (component_id, key, at) DO UPDATE
    SET count = known.count + excluded.count, lowest = least(known.lowest, excluded.lowest),
        total = known.total + excluded.total, highest = greatest(known.highest, excluded.highest)
)
INSERT INTO availability.metric_day AS known (component_id, key, at, count, lowest, total, highest)
SELECT component_id, key, date_bin('1 day', at, timestamptz '2000-01-01 00:00:00Z') AS bin,
       count(*), min(value), sum(value), max(value)
FROM fresh GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (component_id, key, at) DO UPDATE
SET count = known.count + excluded.count, lowest = least(known.lowest, excluded.lowest),
    total = known.total + excluded.total, highest = greatest(known.highest, excluded.highest);

-- name: minutes
SELECT key, at, 1, value, value, value FROM availability.metric_minute
WHERE component_id = %(component)s AND key = ANY(%(keys)s) AND at >= %(start)s AND at < %(end)s
ORDER BY key, at;

-- name: hours
SELECT key, at, count, lowest, total / count, highest FROM availability.metric_hour
WHERE component_id = %(component)s AND key = ANY(%(keys)s) AND at >= %(start)s AND at < %(end)s
ORDER BY key, at;

-- name: days
SELECT key, at, count, lowest, total / count, highest FROM availability.metric_day
WHERE component_id = %(component)s AND key = ANY(%(keys)s) AND at >= %(start)s AND at < %(end)s
ORDER BY key, at;
