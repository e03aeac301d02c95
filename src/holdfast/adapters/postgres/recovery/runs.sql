-- Runs of playbooks, each under a lease with an epoch.

-- name: start
-- Nothing comes back when the id is taken; a unique index refuses a second failover of the subject.
INSERT INTO recovery.run (id, subject, playbook, moves_traffic, state, run, started_at, changed_at)
VALUES (%(id)s, %(subject)s, %(playbook)s, %(moves_traffic)s, %(state)s, %(run)s::jsonb, %(at)s, %(at)s)
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: now
SELECT clock_timestamp();

-- name: moving
SELECT id FROM recovery.run WHERE subject = %(subject)s AND moves_traffic AND state NOT IN ('done', 'cancelled');

-- name: free
-- The oldest active run behind `after` that nobody works on, and that nobody is taking on at this moment.
-- A lease that ends later than it could, had it been given now, was given before the clock went back.
WITH free AS (
    SELECT id, number, epoch, owner, run::text, leased_until IS NOT NULL AS lost
    FROM recovery.run
    WHERE state IN ('running', 'cancelling') AND number > %(after)s
      AND (leased_until IS NULL OR leased_until <= clock_timestamp()
           OR leased_until - leased_for > clock_timestamp() + interval '5 s')
    ORDER BY number LIMIT 1
    FOR UPDATE SKIP LOCKED
)
SELECT id, number, epoch, owner, run, lost, clock_timestamp() FROM free;

-- name: free_in
SELECT min(leased_until) - clock_timestamp()
FROM recovery.run WHERE state IN ('running', 'cancelling') AND leased_until IS NOT NULL;

-- name: next_epoch
-- Later than all before, and than all that a database knew from whose backup this one was restored.
UPDATE recovery.epoch SET last = greatest(last + 1, extract(epoch FROM clock_timestamp())::bigint) RETURNING last;

-- name: take
UPDATE recovery.run
SET epoch = %(epoch)s, owner = %(owner)s, run = %(run)s::jsonb, leased_for = %(lease)s,
    leased_until = clock_timestamp() + %(lease)s
WHERE id = %(id)s;

-- name: park
UPDATE recovery.run
SET state = %(state)s, run = %(run)s::jsonb, owner = '', leased_until = NULL, leased_for = NULL,
    changed_at = clock_timestamp()
WHERE id = %(id)s;

-- name: renew
-- Nothing comes back for an older epoch, and for a run that was released or parked meanwhile.
UPDATE recovery.run SET leased_until = clock_timestamp() + %(lease)s, leased_for = %(lease)s
WHERE id = %(id)s AND epoch = %(epoch)s AND leased_until IS NOT NULL
RETURNING id;

-- name: release
UPDATE recovery.run SET owner = '', leased_until = NULL, leased_for = NULL
WHERE id = %(id)s AND epoch = %(epoch)s
RETURNING id;

-- name: locked
-- The time is that after the wait for whoever had it locked.
WITH locked AS (SELECT epoch, run::text FROM recovery.run WHERE id = %(id)s FOR UPDATE)
SELECT epoch, run, clock_timestamp() FROM locked;

-- name: change
UPDATE recovery.run SET state = %(state)s, run = %(run)s::jsonb, changed_at = clock_timestamp() WHERE id = %(id)s;

-- name: journal
INSERT INTO holdfast.journal (at, actor, event, facts)
VALUES (clock_timestamp(), %(actor)s, %(event)s, %(facts)s);

-- name: tell
SELECT pg_notify('holdfast_recovery', %(id)s);

-- name: one
SELECT epoch, run::text, clock_timestamp() FROM recovery.run WHERE id = %(id)s;

-- name: newest
SELECT id, run::text FROM recovery.run
WHERE (%(before)s::text IS NULL OR number < (SELECT number FROM recovery.run WHERE id = %(before)s))
      AND (%(over)s::boolean IS NULL OR %(over)s = (state IN ('done', 'cancelled')))
ORDER BY number DESC LIMIT %(most)s;

-- name: prune
-- The newest of each playbook on each subject stay. Two who do it at once: the second finds them gone.
WITH placed AS (
    SELECT id, number, state, changed_at, row_number() OVER (PARTITION BY playbook, subject ORDER BY number DESC) AS place
    FROM recovery.run
), going AS (
    SELECT id FROM placed
    WHERE place > %(newest)s AND state IN ('done', 'cancelled') AND changed_at < clock_timestamp() - %(keep)s
          AND EXISTS (SELECT FROM recovery.evidence AS e WHERE e.run = placed.id)
    ORDER BY number LIMIT %(most)s
)
DELETE FROM recovery.run WHERE id IN (SELECT id FROM going) RETURNING id, number;

-- name: unfinished
SELECT id, run::text FROM recovery.run WHERE state NOT IN ('done', 'cancelled') ORDER BY number DESC;
