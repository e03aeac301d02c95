-- Vantage points, what they deliver, and heartbeats.

-- name: add_vantage_point
-- Adding one again replaces its token: the old one is worth nothing from then on.
INSERT INTO availability.vantage_point AS v (key, token_sha256) VALUES (%(key)s, %(token)s)
ON CONFLICT (key) DO UPDATE SET token_sha256 = excluded.token_sha256, added_at = clock_timestamp(),
                                revoked_at = NULL, last_seen_at = NULL, last_address = ''
RETURNING v.added_at;

-- name: revoke_vantage_point
UPDATE availability.vantage_point SET revoked_at = clock_timestamp() WHERE key = %s AND revoked_at IS NULL;

-- name: vantage_points
SELECT key, added_at, revoked_at, last_seen_at, last_address FROM availability.vantage_point ORDER BY key;

-- name: holder_of
SELECT key, token_sha256, last_seen_at < clock_timestamp() - interval '10 seconds' OR last_seen_at IS NULL,
       last_address
FROM availability.vantage_point WHERE token_sha256 = %s AND revoked_at IS NULL;

-- name: note_seen
UPDATE availability.vantage_point SET last_seen_at = clock_timestamp(), last_address = %(address)s
WHERE token_sha256 = %(token)s AND revoked_at IS NULL;

-- name: take_turn
-- Deliveries of one vantage point follow each other, and a revocation waits for the one under way.
SELECT key FROM availability.vantage_point WHERE token_sha256 = %s AND revoked_at IS NULL FOR UPDATE;

-- name: probes_of
-- Every probe that this vantage point ever had, and whether it is in force.
SELECT p.id, p.removed_at IS NULL AND c.removed_at IS NULL
FROM estate.probe p JOIN estate.component c ON c.id = p.component_id
WHERE p.id = ANY(%(ids)s) AND split_part(p.key, '@', 2) = %(vantage)s;

-- name: imported_until
-- Where the timelines end of probes that were never heard: an imported past.
SELECT t.check_id, max(t.at) FROM availability.transition t
WHERE t.check_id = ANY(%(ids)s) AND NOT EXISTS (SELECT FROM availability.check_state s WHERE s.check_id = t.check_id)
GROUP BY t.check_id;

-- name: note_loss
-- A repeated report is absorbed; one whose counts have grown replaces what was reported before.
INSERT INTO availability.agent_loss AS l
    (vantage, id, check_id, first_at, last_at, good, degraded, partial, failed)
VALUES (%(vantage)s, %(id)s, %(check)s, %(first)s, %(last)s, %(good)s, %(degraded)s, %(partial)s, %(failed)s)
ON CONFLICT (vantage, id, check_id) DO UPDATE
SET first_at = excluded.first_at, last_at = excluded.last_at, good = excluded.good,
    degraded = excluded.degraded, partial = excluded.partial, failed = excluded.failed,
    recorded_at = clock_timestamp()
WHERE (l.last_at, l.good, l.degraded, l.partial, l.failed)
      <> (excluded.last_at, excluded.good, excluded.degraded, excluded.partial, excluded.failed);

-- name: departed
-- What is known of the probes of vantage points that are no longer in force and not retired yet. Locked, with
-- the rows of their vantage points, so that no delivery is under way.
SELECT v.key FROM availability.vantage_point v WHERE v.key IN (
    SELECT split_part(p.key, '@', 2)
    FROM availability.check_state s JOIN estate.probe p ON p.id = s.check_id
    JOIN estate.component c ON c.id = p.component_id
    WHERE position('@' IN p.key) > 0 AND (p.removed_at IS NOT NULL OR c.removed_at IS NOT NULL) AND s.state <> 5)
ORDER BY v.key FOR UPDATE;

-- name: departed_states
SELECT s.check_id, s.state, s.since, s.heard_at, s.known_until, s.silent_after, s.reason, s.memory
FROM availability.check_state s JOIN estate.probe p ON p.id = s.check_id
JOIN estate.component c ON c.id = p.component_id
WHERE position('@' IN p.key) > 0 AND (p.removed_at IS NOT NULL OR c.removed_at IS NOT NULL) AND s.state <> 5;

-- name: write_journal
INSERT INTO holdfast.journal (actor, event, facts) VALUES (%(actor)s, %(event)s, %(facts)s);

-- name: listen_for
-- One that comes back after it had left the estate begins anew.
INSERT INTO availability.heartbeat AS h (token_sha256) SELECT unnest(%s::bytea[])
ON CONFLICT (token_sha256) DO UPDATE
SET since = clock_timestamp(), ended_at = NULL, beat_at = NULL, failed = false, message = ''
WHERE h.ended_at IS NOT NULL;

-- name: listen_no_more
UPDATE availability.heartbeat SET ended_at = clock_timestamp()
WHERE ended_at IS NULL AND NOT token_sha256 = ANY(%s::bytea[]);

-- name: keep_ear_open
-- Open without a break as long as it is said often enough.
INSERT INTO availability.ear AS e (open_since, open_until)
VALUES (clock_timestamp(), clock_timestamp() + %(lasting)s)
ON CONFLICT (only_row) DO UPDATE
SET open_since = CASE WHEN e.open_until < clock_timestamp() THEN clock_timestamp() ELSE e.open_since END,
    open_until = clock_timestamp() + %(lasting)s;

-- name: note_beat
UPDATE availability.heartbeat
SET beat_at = clock_timestamp(), failed = %(failed)s, message = %(message)s, beats = beats + 1
WHERE token_sha256 = %(token)s AND ended_at IS NULL;

-- name: pulse_of
-- Ages, all on the database's clock. Listening is since the token is known and somebody has listened throughout.
SELECT extract(epoch FROM clock_timestamp() - greatest(h.since, e.open_since)),
       extract(epoch FROM clock_timestamp() - h.beat_at), h.failed, h.message,
       e.open_until >= clock_timestamp()
FROM availability.heartbeat h CROSS JOIN availability.ear e
WHERE h.token_sha256 = %s AND h.ended_at IS NULL;
