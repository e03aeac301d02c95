-- The queries of the availability stores. States and outcomes are the numbers of availability/model.py.

-- name: hold_lease
-- One monitor writes each share at a time. The lock belongs to the connection that writes: when the connection
-- is gone the lock is gone, and a controller that wakes up late has nothing left to write with.
SELECT pg_try_advisory_lock(7015, 100 + %s);

-- name: own_session
SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid();

-- name: end_session
-- Ends this controller's earlier session, should it still hold the lease: its connection may be lost on our
-- side and not yet on the server's.
SELECT pg_terminate_backend(a.pid, 5000)
FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.pid = %s AND a.backend_start = %s
  AND l.locktype = 'advisory' AND l.classid = 7015 AND l.objid = 100 + %s AND l.objsubid = 2;

-- name: notice_vanished_peer
-- When the controller's machine vanishes the server frees the lease within a minute (not over a socket file).
SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '3', false);

-- name: next_epoch
INSERT INTO availability.lease AS held (share, epoch) VALUES (%s, 1)
ON CONFLICT (share) DO UPDATE SET epoch = held.epoch + 1 RETURNING epoch;

-- name: be_present
-- A shared lock that everybody who lives holds; it goes with its connection.
SELECT pg_advisory_lock_shared(7015, 3);

-- name: present
-- The sessions that hold it, as this database sees them.
SELECT l.pid::text, l.pid = pg_backend_pid() AS me
FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.classid = 7015 AND l.objid = 3 AND l.objsubid = 2 AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.pid;

-- name: record_results
-- Repeated batches are absorbed. Phases that did not happen are null.
INSERT INTO availability.result (check_id, at, outcome, attempts, latency_bucket, total_us,
                                 resolve_us, connect_us, tls_us, first_byte_us, reason)
SELECT * FROM unnest(%s::int[], %s::timestamptz[], %s::smallint[], %s::smallint[], %s::smallint[], %s::int[],
                     %s::int[], %s::int[], %s::int[], %s::int[], %s::text[])
ON CONFLICT DO NOTHING;

-- name: record_transition
-- Row by row and in order: the trigger refuses one that is not newer than its check's newest.
INSERT INTO availability.transition (check_id, at, state, reason, sample)
VALUES (%s, %s, %s, %s, %s);

-- name: keep_states
INSERT INTO availability.check_state (check_id, state, since, heard_at, known_until, silent_after, reason, memory)
SELECT * FROM unnest(%s::int[], %s::smallint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[],
                     %s::timestamptz[], %s::text[], %s::jsonb[])
ON CONFLICT (check_id) DO UPDATE
SET state = excluded.state, since = excluded.since, heard_at = excluded.heard_at,
    known_until = excluded.known_until, silent_after = excluded.silent_after,
    reason = excluded.reason, memory = excluded.memory;

-- name: announce_change
-- Wakes the sites. Delivered at commit, so that whoever reads then reads the change.
SELECT pg_notify('holdfast_changed', %s);

-- name: own_check_states
-- Of the probes that the controllers run themselves; those of agents bear their vantage point in the key.
SELECT s.check_id, s.state, s.since, s.heard_at, s.known_until, s.silent_after, s.reason, s.memory
FROM availability.check_state s JOIN estate.probe p ON p.id = s.check_id
WHERE position('@' IN p.key) = 0 AND s.check_id %% %(shares)s = %(share)s;

-- name: folded_until
SELECT folded_until FROM availability.fold WHERE resolution = %s FOR UPDATE;

-- name: oldest_result
SELECT min(at) AS at FROM availability.result;

-- name: next_partition
-- Where the first partition that reaches beyond a moment begins: what lies before it holds nothing to fold.
SELECT min(bounds.starts) AS starts
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL (
    SELECT edge[1]::timestamptz AS starts, edge[2]::timestamptz AS ends
    FROM regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') AS edge
) bounds
WHERE i.inhparent = ('availability.' || %s)::regclass AND bounds.ends > %s;

-- name: set_folded
INSERT INTO availability.fold (resolution, folded_until) VALUES (%(resolution)s, %(until)s)
ON CONFLICT (resolution) DO UPDATE SET folded_until = excluded.folded_until;

-- name: lock_folds
-- A fold that is under way must not overlook late results: late ones wait for it, others never do.
SELECT resolution FROM availability.fold
WHERE %(at)s::timestamptz < clock_timestamp() - interval '1 minute' FOR UPDATE;

-- name: fold_again_from
-- What was folded from the late result's minute, hour and day on is folded again.
UPDATE availability.fold
SET folded_until = date_bin(CASE resolution WHEN 'minute' THEN interval '1 minute'
                                            WHEN 'hour' THEN interval '1 hour'
                                            ELSE interval '1 day' END,
                            %(at)s::timestamptz, timestamptz '2000-01-01 00:00:00Z')
WHERE folded_until > %(at)s::timestamptz;

-- name: fold_minutes
-- Latency counts for runs that got an answer (outcome 0 and 1) only: a time-out measures the time-out.
WITH per_bucket AS (
    SELECT check_id, date_bin('1 minute', at, timestamptz '2000-01-01 00:00:00Z') AS bin,
           CASE WHEN outcome < 2 THEN latency_bucket END AS bucket,
           count(*) FILTER (WHERE outcome = 0) AS good,
           count(*) FILTER (WHERE outcome = 1) AS degraded,
           count(*) FILTER (WHERE outcome > 1) AS failed
    FROM availability.result WHERE at >= %(start)s AND at < %(end)s
    GROUP BY 1, 2, 3
)
INSERT INTO availability.rollup_minute (check_id, at, good, degraded, failed, buckets, counts)
SELECT check_id, bin, sum(good), sum(degraded), sum(failed),
       coalesce(array_agg(bucket ORDER BY bucket) FILTER (WHERE bucket IS NOT NULL), '{}'),
       coalesce(array_agg((good + degraded)::int ORDER BY bucket) FILTER (WHERE bucket IS NOT NULL), '{}')
FROM per_bucket GROUP BY check_id, bin
ON CONFLICT (check_id, at) DO UPDATE
SET good = excluded.good, degraded = excluded.degraded, failed = excluded.failed,
    buckets = excluded.buckets, counts = excluded.counts;

-- name: fold_coarser
-- From the next finer resolution: counts and histograms are sums. The tables are replaced for days.
WITH finer AS (
    SELECT check_id, date_bin(%(step)s::interval, at, timestamptz '2000-01-01 00:00:00Z') AS bin,
           good, degraded, failed, buckets, counts
    FROM availability.rollup_minute WHERE at >= %(start)s AND at < %(end)s
), outcomes AS (
    SELECT check_id, bin, sum(good) AS good, sum(degraded) AS degraded, sum(failed) AS failed
    FROM finer GROUP BY 1, 2
), per_bucket AS (
    SELECT check_id, bin, b.bucket, sum(b.n) AS n
    FROM finer, unnest(buckets, counts) AS b (bucket, n) GROUP BY 1, 2, 3
), histograms AS (
    SELECT check_id, bin, array_agg(bucket ORDER BY bucket) AS buckets,
           array_agg(n::int ORDER BY bucket) AS counts
    FROM per_bucket GROUP BY 1, 2
)
INSERT INTO availability.rollup_hour (check_id, at, good, degraded, failed, buckets, counts)
SELECT check_id, bin, good, degraded, failed, coalesce(buckets, '{}'), coalesce(counts, '{}')
FROM outcomes LEFT JOIN histograms USING (check_id, bin)
ON CONFLICT (check_id, at) DO UPDATE
SET good = excluded.good, degraded = excluded.degraded, failed = excluded.failed,
    buckets = excluded.buckets, counts = excluded.counts;

-- name: make_partition
SELECT availability.make_partition(%s, %s, %s);

-- name: drop_partitions
SELECT availability.drop_partitions(%s, %s) AS dropped;
