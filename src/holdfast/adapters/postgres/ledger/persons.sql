-- name: stay
-- Who is told of does not leave. As a rule nobody does, and this finds nothing.
DELETE FROM ledger.leaving WHERE tenant = %(tenant)s AND pseudonym = ANY (%(pseudonyms)s::text[])

-- name: digests
-- The hashes of rows that are there.
SELECT pseudonym, told, digest
  FROM ledger.person
 WHERE tenant = %(tenant)s
   AND (pseudonym, told) IN (SELECT * FROM unnest(%(pseudonyms)s::text[], %(told)b::bytea[]))

-- name: keep
-- The same told at the same time by two becomes one row.
INSERT INTO ledger.person (tenant, pseudonym, told, sealed)
SELECT * FROM unnest(%(tenants)s::text[], %(pseudonyms)s::text[], %(told)b::bytea[], %(sealed)b::bytea[])
ON CONFLICT DO NOTHING

-- name: rows_of
-- All that was told of a person.
SELECT told, sealed, digest
  FROM ledger.person
 WHERE tenant = %(tenant)s AND pseudonym = %(pseudonym)s
 ORDER BY at, told

-- name: ask
-- Once for each person, whoever asks.
INSERT INTO ledger.erasure (tenant, pseudonym, actor, reason, asked_at)
VALUES (%(tenant)s, %(pseudonym)s, %(actor)s, %(reason)s, %(asked_at)s)
ON CONFLICT DO NOTHING

-- name: done
-- Every store has destroyed the keys.
UPDATE ledger.erasure SET done_at = %(at)s
 WHERE tenant = %(tenant)s AND pseudonym = %(pseudonym)s AND done_at IS NULL
RETURNING actor, reason

-- name: erasure
SELECT tenant, pseudonym, actor, reason, asked_at, done_at
  FROM ledger.erasure
 WHERE tenant = %(tenant)s AND pseudonym = %(pseudonym)s

-- name: erasures
-- All of them, or those that are not done.
SELECT tenant, pseudonym, actor, reason, asked_at, done_at
  FROM ledger.erasure
 WHERE done_at IS NULL OR NOT %(only_open)s
 ORDER BY asked_at, tenant, pseudonym

-- name: hold_on
-- Why nothing of a tenant may go.
SELECT reason FROM ledger.hold WHERE tenant = %(tenant)s AND lifted_at IS NULL

-- name: write_journal
INSERT INTO holdfast.journal (actor, event, facts) VALUES (%(actor)s, %(event)s, %(facts)s)
