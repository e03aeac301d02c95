-- name: importer
-- While its source is in force.
SELECT i.id, i.shown
  FROM ledger.importer AS i
  JOIN ledger.source AS s ON s.tenant = i.tenant AND s.key = i.source
 WHERE i.tenant = %(tenant)s AND i.source = %(source)s AND s.revoked_at IS NULL

-- name: add_importer
-- Of a source that imports and is in force.
INSERT INTO ledger.importer (tenant, source, shown)
SELECT tenant, key, %(shown)b
  FROM ledger.source
 WHERE tenant = %(tenant)s AND key = %(source)s AND kind = 'importer' AND revoked_at IS NULL
ON CONFLICT DO NOTHING

-- name: take_turn
-- One after the other gives numbers, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('holdfast ledger importer', %(importer)s))

-- name: alone
-- Until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('holdfast ledger ' || %(what)s, 0))

-- name: numbers
-- The number of each mark that has one, by its place.
SELECT asked.n, i.seq
  FROM unnest(%(marks)b::bytea[], %(occurrences)s::integer[]) WITH ORDINALITY AS asked (mark, occurrence, n)
  JOIN ledger.imported AS i
    ON i.importer = %(importer)s AND i.mark = asked.mark AND i.occurrence = asked.occurrence

-- name: highest
SELECT coalesce(max(seq), 0) FROM ledger.imported WHERE importer = %(importer)s

-- name: keep
INSERT INTO ledger.imported (importer, mark, occurrence, seq)
SELECT %(importer)s, mark, occurrence, seq
  FROM unnest(%(marks)b::bytea[], %(occurrences)s::integer[], %(seqs)s::bigint[])
    AS new (mark, occurrence, seq)
