-- The queries of the alerting stores. Severities are the numbers of availability/alerting/model.py.

-- name: version
SELECT version FROM alerting.round;

-- name: board_alerts
-- Open ones, and ended ones that some channel has not been told the end of.
SELECT kind, subject, severity, opened_at, changed_at, fired_at, paged_at, summary, agreements, components,
       resolved_at, muted_by, facts
FROM alerting.alert a
WHERE resolved_at IS NULL OR EXISTS (SELECT FROM alerting.told t WHERE t.alert_id = a.id)
ORDER BY opened_at, id;

-- name: board_told
SELECT channel, alert_id, severity, told_at, group_key FROM alerting.told ORDER BY channel, alert_id;

-- name: silences
SELECT id, pattern, reason, created_by, created_at, ends_at FROM alerting.silence
WHERE ends_at > clock_timestamp() ORDER BY ends_at, id;

-- name: board_waiting
SELECT DISTINCT channel, group_key FROM alerting.outbox WHERE sent_at IS NULL AND given_up_at IS NULL;

-- name: take_turn
-- Moves the version on, for the one round that was decided on it.
UPDATE alerting.round SET version = version + 1 WHERE version = %(version)s;

-- name: keep_alert
INSERT INTO alerting.alert (id, kind, subject, severity, opened_at, changed_at, fired_at, paged_at, resolved_at,
                            summary, muted_by, agreements, components, facts)
VALUES (%(id)s, %(kind)s, %(subject)s, %(severity)s, %(opened_at)s, %(changed_at)s, %(fired_at)s, %(paged_at)s,
        %(resolved_at)s, %(summary)s, %(muted_by)s, %(agreements)s, %(components)s, %(facts)s)
ON CONFLICT (id) DO UPDATE
SET severity = excluded.severity, changed_at = excluded.changed_at, fired_at = excluded.fired_at,
    paged_at = excluded.paged_at, resolved_at = excluded.resolved_at, summary = excluded.summary,
    muted_by = excluded.muted_by, agreements = excluded.agreements, components = excluded.components,
    facts = excluded.facts;

-- name: keep_told
INSERT INTO alerting.told (channel, alert_id, severity, told_at, group_key)
VALUES (%(channel)s, %(alert)s, %(severity)s, %(at)s, %(group)s)
ON CONFLICT (channel, alert_id) DO UPDATE
SET severity = excluded.severity, told_at = excluded.told_at, group_key = excluded.group_key;

-- name: forget_told
DELETE FROM alerting.told WHERE channel = %(channel)s AND alert_id = %(alert)s;

-- name: queue_message
INSERT INTO alerting.outbox (channel, group_key, title, body, severity)
VALUES (%(channel)s, %(group)s, %(title)s, %(body)s, %(severity)s);

-- name: newest_alerts
SELECT kind, subject, severity, opened_at, changed_at, fired_at, paged_at, summary, agreements, components,
       resolved_at, muted_by, facts
FROM alerting.alert ORDER BY opened_at DESC, id DESC LIMIT %(limit)s;

-- name: prune_alerts
-- One whose end is still to be told is kept.
DELETE FROM alerting.alert a
WHERE resolved_at < %(before)s AND NOT EXISTS (SELECT FROM alerting.told t WHERE t.alert_id = a.id);

-- name: prune_silences
DELETE FROM alerting.silence WHERE ends_at < %(before)s;

-- name: prune_messages
DELETE FROM alerting.outbox WHERE coalesce(sent_at, given_up_at) < %(before)s;

-- name: add_silence
INSERT INTO alerting.silence (pattern, reason, created_by, ends_at)
VALUES (%(pattern)s, %(reason)s, %(actor)s, clock_timestamp() + %(lasting)s)
RETURNING id, pattern, reason, created_by, created_at, ends_at;

-- name: expire_silence
UPDATE alerting.silence SET ends_at = clock_timestamp(), ended_by = %(actor)s
WHERE id = %(id)s AND ends_at > clock_timestamp();

-- name: claim
-- Of each channel and group only the oldest waiting message is offered, and not while another sender has it;
-- of each channel one. What another sender is just taking is skipped, not waited for.
WITH oldest AS (
    SELECT DISTINCT ON (channel, group_key) id, channel, due_at, leased_until FROM alerting.outbox
    WHERE sent_at IS NULL AND given_up_at IS NULL AND channel <> ALL (%(busy)s::text[])
    ORDER BY channel, group_key, id
), first AS (
    SELECT DISTINCT ON (channel) id FROM oldest
    WHERE due_at <= clock_timestamp() AND (leased_until IS NULL OR leased_until <= clock_timestamp())
    ORDER BY channel, due_at, id
), taken AS (
    SELECT o.id FROM alerting.outbox o JOIN first USING (id)
    WHERE o.sent_at IS NULL AND o.given_up_at IS NULL
      AND (o.leased_until IS NULL OR o.leased_until <= clock_timestamp())
    ORDER BY o.due_at, o.id LIMIT %(limit)s FOR UPDATE OF o SKIP LOCKED
)
UPDATE alerting.outbox o SET leased_until = clock_timestamp() + %(lease)s, attempts = o.attempts + 1
FROM taken WHERE o.id = taken.id
RETURNING o.id, o.channel, o.group_key, o.key::text, o.title, o.body, o.severity, o.queued_at, o.attempts;

-- name: mark_sent
UPDATE alerting.outbox SET sent_at = clock_timestamp(), given_up_at = NULL, leased_until = NULL, last_error = ''
WHERE id = %(id)s AND sent_at IS NULL;

-- name: mark_failed
-- Only the holder of the newest lease may say so.
UPDATE alerting.outbox
SET leased_until = NULL, last_error = %(error)s,
    due_at = clock_timestamp() + coalesce(%(again_in)s::interval, interval '0'),
    given_up_at = CASE WHEN %(again_in)s::interval IS NULL THEN clock_timestamp() END
WHERE id = %(id)s AND attempts = %(attempt)s AND sent_at IS NULL AND given_up_at IS NULL;

-- name: waiting
SELECT channel, count(*) AS messages, min(queued_at) AS oldest,
       (array_agg(last_error ORDER BY attempts DESC, id))[1] AS last_error
FROM alerting.outbox WHERE sent_at IS NULL AND given_up_at IS NULL GROUP BY channel ORDER BY channel;
