-- The queries of the outbox: the sender's side.

-- name: claim
-- Of each subscription only its oldest waiting delivery is offered. What another sender is just taking is skipped,
-- not waited for; what an earlier run of this one left is taken over, whatever its lease. The oldest is looked up
-- for each: as a join, planned before the statistics know of ten thousand new rows, it compares all with all.
WITH due AS (
    SELECT d.id FROM communication.delivery AS d
    WHERE d.channel = %(channel)s AND d.sent_at IS NULL AND d.given_up_at IS NULL AND d.due_at <= now()
      AND (d.leased_until IS NULL OR d.leased_until <= now() OR d.holder = %(holder)s AND d.run <> %(run)s)
      AND (d.subscription_id IS NULL OR d.id = (
          SELECT min(e.id) FROM communication.delivery AS e
          WHERE e.subscription_id = d.subscription_id AND e.sent_at IS NULL AND e.given_up_at IS NULL
      ))
    ORDER BY (d.announcement_id IS NOT NULL), d.due_at, d.id
    LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED
), taken AS (
    UPDATE communication.delivery AS d
    SET leased_until = clock_timestamp() + %(lease)s, attempts = d.attempts + 1, holder = %(holder)s, run = %(run)s
    FROM due WHERE d.id = due.id
    RETURNING d.id, d.key, d.channel, d.attempts, d.queued_at, d.announcement_id, d.letter, d.subscription_id,
              d.failing_since, d.due_at
)
SELECT t.id, t.key::text, t.channel, t.attempts, t.queued_at, t.announcement_id::text, t.letter,
       t.subscription_id::text, t.failing_since, s.address, s.language, s.standing, s.refusals
FROM taken AS t LEFT JOIN communication.subscription AS s ON s.id = t.subscription_id
ORDER BY (t.announcement_id IS NOT NULL), t.due_at, t.id;

-- name: announcement
SELECT notice::text FROM communication.announcement WHERE id = %(id)s;

-- name: mark_sent
UPDATE communication.delivery
SET sent_at = clock_timestamp(), given_up_at = NULL, leased_until = NULL, failing_since = NULL, last_error = '',
    letter = CASE WHEN letter IS NOT NULL THEN ''::bytea END
WHERE key = ANY (%(keys)s::uuid[]) AND sent_at IS NULL
RETURNING subscription_id;

-- name: note_reached
UPDATE communication.subscription SET failing_since = NULL, refusals = 0
WHERE id = ANY (%(ids)s) AND (failing_since IS NOT NULL OR refusals > 0);

-- name: release
-- Only by the holder of the newest lease; it was no attempt.
UPDATE communication.delivery AS d SET leased_until = NULL, attempts = d.attempts - 1
FROM unnest(%(ids)s::bigint[], %(attempts)s::integer[]) AS mine (id, attempt)
WHERE d.id = mine.id AND d.attempts = mine.attempt AND d.leased_until IS NOT NULL;

-- name: mark_again
-- Only by the holder of the newest lease.
UPDATE communication.delivery
SET leased_until = NULL, last_error = %(error)s, due_at = clock_timestamp() + %(again_in)s,
    failing_since = CASE WHEN %(ours)s THEN failing_since ELSE coalesce(failing_since, clock_timestamp()) END
WHERE id = %(id)s AND attempts = %(attempt)s AND sent_at IS NULL AND given_up_at IS NULL;

-- name: note_failing
UPDATE communication.subscription SET failing_since = clock_timestamp()
WHERE id = %(subscription)s AND failing_since IS NULL AND standing <> 'ended';

-- name: mark_given_up
UPDATE communication.delivery
SET leased_until = NULL, last_error = %(error)s, given_up_at = clock_timestamp(),
    letter = CASE WHEN letter IS NOT NULL THEN ''::bytea END
WHERE id = %(id)s AND attempts = %(attempt)s AND sent_at IS NULL AND given_up_at IS NULL;

-- name: note_refused
UPDATE communication.subscription SET refusals = refusals + 1
WHERE id = %(subscription)s AND standing <> 'ended';

-- name: pause
-- What waits for it, this delivery too, is dropped by a trigger.
UPDATE communication.subscription SET standing = 'paused', paused_at = clock_timestamp()
WHERE id = %(subscription)s AND standing = 'active';

-- name: queue_request
INSERT INTO communication.delivery (subscription_id, letter, channel)
VALUES (%(subscription)s, %(sealed)s, %(channel)s);

-- name: end
UPDATE communication.subscription
SET standing = 'ended', ended_at = clock_timestamp(), address = NULL, address_hash = NULL
WHERE id = %(subscription)s AND standing <> 'ended';

-- name: journal
INSERT INTO holdfast.journal (at, actor, event, facts)
VALUES (clock_timestamp(), 'sender', %(event)s, %(facts)s);

-- name: waiting
SELECT channel, count(*), min(queued_at), coalesce((array_agg(last_error ORDER BY last_error = '', id))[1], '')
FROM communication.delivery WHERE sent_at IS NULL AND given_up_at IS NULL GROUP BY channel ORDER BY channel;

-- name: end_unconfirmed
UPDATE communication.subscription
SET standing = 'ended', ended_at = clock_timestamp(), address = NULL, address_hash = NULL
WHERE standing = 'pending' AND asked_at < clock_timestamp() - %(within)s;

-- name: forget_sent
DELETE FROM communication.delivery
WHERE queued_at < clock_timestamp() - %(kept)s AND coalesce(sent_at, given_up_at) IS NOT NULL;

-- name: addresses
SELECT id::text, address FROM communication.subscription WHERE id = ANY (%(ids)s::uuid[]) AND address IS NOT NULL;

-- name: post
-- Under one key at most once.
INSERT INTO communication.delivery (key, letter, channel) VALUES (%(key)s, %(sealed)s, 'mail')
ON CONFLICT (key) DO NOTHING;

-- name: wake_senders
SELECT pg_notify('holdfast_outbox', '');
