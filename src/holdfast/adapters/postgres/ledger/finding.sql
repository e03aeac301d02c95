-- name: log_of
-- A tenant's log and its size.
SELECT l.id, l.tenant, l.origin, g.to_size
  FROM ledger.log AS l
 CROSS JOIN LATERAL (
       SELECT to_size FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
  ) AS g
 WHERE l.tenant = %(tenant)s

-- name: looks
-- The rows of blocks, with a few lines of each filter, one behind the other.
SELECT block, occurred_from, occurred_to,
       coalesce((SELECT string_agg(substring(terms FROM line * 64 + 1 FOR 64), ''::bytea ORDER BY n)
                   FROM unnest(%(lines)s::integer[]) WITH ORDINALITY AS asked (line, n)), ''::bytea)
  FROM ledger.finding
 WHERE log_id = %(log_id)s AND block >= %(start)s AND block < %(end)s

-- name: position
-- How far the index has come in a log.
SELECT position FROM ledger.followed WHERE fold = %(fold)s AND log_id = %(log_id)s

-- name: mentions
-- Who mentions these leaves, and whom they mention.
SELECT leaf, by, what, void
  FROM ledger.mention
 WHERE log_id = %(log_id)s AND leaf = ANY (%(leaves)s)
 UNION
SELECT leaf, by, what, void
  FROM ledger.mention
 WHERE log_id = %(log_id)s AND by = ANY (%(leaves)s)
 ORDER BY by, leaf

-- name: keep_row
-- A block that became full.
INSERT INTO ledger.finding (log_id, block, occurred_from, occurred_to, terms)
VALUES (%(log_id)s, %(block)s, %(occurred_from)s, %(occurred_to)s, %(terms)b)

-- name: keep_mentions
-- What entries say of earlier ones.
INSERT INTO ledger.mention (log_id, leaf, by, what, void)
SELECT %(log_id)s, leaf, by, what, void
  FROM unnest(%(leaves)s::bigint[], %(by)s::bigint[], %(what)s::text[], %(void)s::boolean[])
    AS new (leaf, by, what, void)

-- name: forget
-- Everything that is derived, in one statement.
WITH rows AS (DELETE FROM ledger.finding WHERE log_id = %(log_id)s),
     mentions AS (DELETE FROM ledger.mention WHERE log_id = %(log_id)s)
DELETE FROM ledger.followed WHERE fold = %(fold)s AND log_id = %(log_id)s

-- name: received
-- When leaves came in.
SELECT asked.leaf, g.at
  FROM unnest(%(leaves)s::bigint[]) AS asked (leaf)
 CROSS JOIN LATERAL (
       SELECT at FROM ledger.growth
        WHERE log_id = %(log_id)s AND from_size <= asked.leaf
        ORDER BY from_size DESC
        LIMIT 1
  ) AS g

-- name: begin_access
-- That something is about to be handed out.
INSERT INTO ledger.access (tenant, who, way, act, wanted, first_leaf, end_leaf, also, entries)
VALUES (%(tenant)s, %(who)s, %(way)s, %(act)s, %(wanted)s, %(start)s, %(end)s, %(also)s, %(entries)s)
RETURNING id

-- name: access_ended
-- An export was handed out whole.
INSERT INTO ledger.access_ended (access_id, tenant, entries) VALUES (%(id)s, %(tenant)s, %(entries)s)

-- name: accesses
-- Who read or exported what touches these leaves, newest first.
SELECT a.id, a.at, a.who, a.way, a.act, a.wanted, a.first_leaf, a.end_leaf, a.also,
       coalesce(a.entries, e.entries)
  FROM ledger.access AS a
  LEFT JOIN ledger.access_ended AS e ON e.access_id = a.id
 WHERE a.tenant = %(tenant)s
   AND (%(before)s::bigint IS NULL OR a.id < %(before)s)
   AND (a.end_leaf > %(start)s OR cardinality(a.also) > 0)
   AND (%(end)s::bigint IS NULL OR a.first_leaf < %(end)s OR cardinality(a.also) > 0)
 ORDER BY a.id DESC
 LIMIT %(limit)s
