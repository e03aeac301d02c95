-- The queries of subscriptions: the site's, the console's and the command line's side. None reads an address.

-- name: take_turn
-- Everybody who asks for the same address waits here: the limits count what was sent before.
SELECT pg_advisory_xact_lock(hashtextextended(encode(%(fingerprint)s, 'hex'), 8));

-- name: letters_lately
-- Requests to one address, whatever pages they were asked for on.
SELECT count(*) FROM communication.subscription AS s, unnest(s.asked) AS each
WHERE s.channel = %(channel)s AND s.address_hash = %(fingerprint)s AND s.standing <> 'ended'
  AND each > clock_timestamp() - %(within)s;

-- name: requests_lately
SELECT count(*) FROM communication.subscription WHERE asked_at > clock_timestamp() - %(within)s;

-- name: held
SELECT id::text, standing FROM communication.subscription
WHERE channel = %(channel)s AND address_hash = %(fingerprint)s AND coalesce(customer, '') = coalesce(%(customer)s, '')
  AND standing <> 'ended'
FOR UPDATE;

-- name: insert_asked
INSERT INTO communication.subscription (channel, address, address_hash, language, topics, component_ids, cluster_keys,
                                        customer, standing, asked)
VALUES (%(channel)s, %(address)s, %(fingerprint)s, %(language)s, %(topics)s, %(component_ids)s, %(cluster_keys)s,
        %(customer)s, 'pending', ARRAY[clock_timestamp()])
RETURNING id::text;

-- name: renew_asked
UPDATE communication.subscription
SET language = %(language)s, topics = %(topics)s, component_ids = %(component_ids)s, cluster_keys = %(cluster_keys)s
WHERE id = %(id)s AND standing IN ('pending', 'paused');

-- name: note_asked
-- Of the times only as many are kept as are ever counted.
UPDATE communication.subscription
SET asked = (asked || clock_timestamp())[greatest(1, cardinality(asked) + 2 - %(most)s):], asked_at = clock_timestamp()
WHERE id = %(id)s;

-- name: queue_request
INSERT INTO communication.delivery (subscription_id, letter, channel) VALUES (%(id)s, %(sealed)s, %(channel)s);

-- name: wake_senders
SELECT pg_notify('holdfast_outbox', '');

-- name: confirm
-- Again and again with the same result; one that was asked for too long ago is as good as erased.
UPDATE communication.subscription
SET standing = 'active', confirmed_at = CASE WHEN standing = 'active' THEN confirmed_at ELSE clock_timestamp() END,
    failing_since = NULL, refusals = 0, paused_at = NULL
WHERE id = %(id)s
  AND (standing IN ('active', 'paused') OR standing = 'pending' AND asked_at > clock_timestamp() - %(within)s);

-- name: subscription
SELECT id::text, channel, language, topics, component_ids, cluster_keys, standing, created_at, customer, confirmed_at,
       failing_since, paused_at
FROM communication.subscription WHERE id = %(id)s AND standing <> 'ended';

-- name: change
UPDATE communication.subscription
SET language = %(language)s, topics = %(topics)s, component_ids = %(component_ids)s, cluster_keys = %(cluster_keys)s
WHERE id = %(id)s AND standing <> 'ended';

-- name: end
-- What waits for it is dropped by a trigger.
UPDATE communication.subscription
SET standing = 'ended', ended_at = clock_timestamp(), address = NULL, address_hash = NULL
WHERE id = %(id)s AND standing <> 'ended';

-- name: found
SELECT id::text, channel, language, topics, component_ids, cluster_keys, standing, created_at, customer, confirmed_at,
       failing_since, paused_at
FROM communication.subscription
WHERE channel = %(channel)s AND address_hash = %(fingerprint)s AND standing <> 'ended' ORDER BY created_at;

-- name: newest
SELECT id::text, channel, language, topics, component_ids, cluster_keys, standing, created_at, customer, confirmed_at,
       failing_since, paused_at
FROM communication.subscription WHERE standing = ANY (%(standings)s) ORDER BY created_at DESC, id LIMIT %(limit)s;

-- name: counts
SELECT channel, standing, count(*) FROM communication.subscription GROUP BY channel, standing;
