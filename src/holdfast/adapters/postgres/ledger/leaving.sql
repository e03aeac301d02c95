-- name: candidates
-- Persons of whom nothing was told since the time from which on entries are kept.
SELECT l.tenant, l.id,
       coalesce((SELECT g.to_size FROM ledger.growth AS g WHERE g.log_id = l.id ORDER BY g.from_size DESC LIMIT 1), 0),
       array_agg(p.pseudonym ORDER BY p.pseudonym)
  FROM ledger.log AS l
  JOIN (SELECT log_id, max(older_than) AS kept_from FROM ledger.pruned GROUP BY log_id) AS w ON w.log_id = l.id
 CROSS JOIN LATERAL (SELECT pseudonym FROM ledger.person WHERE tenant = l.tenant
                      GROUP BY pseudonym HAVING max(at) < w.kept_from) AS p
 WHERE NOT EXISTS (SELECT FROM ledger.hold AS h WHERE h.tenant = l.tenant AND h.lifted_at IS NULL)
 GROUP BY l.tenant, l.id
 ORDER BY l.tenant

-- name: stay
-- Of others of the tenant there are entries again.
DELETE FROM ledger.leaving WHERE tenant = %(tenant)s AND pseudonym <> ALL (%(pseudonyms)s::text[])

-- name: leave
INSERT INTO ledger.leaving (tenant, pseudonym)
SELECT %(tenant)s, each FROM unnest(%(pseudonyms)s::text[]) AS each
ON CONFLICT DO NOTHING

-- name: forget
SELECT ledger.forget(%(tenant)s, %(pseudonyms)s::text[])

-- name: write_journal
INSERT INTO holdfast.journal (actor, event, facts) VALUES (%(actor)s, %(event)s, %(facts)s)
