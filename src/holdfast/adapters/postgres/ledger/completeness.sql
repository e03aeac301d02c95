-- name: tenants
-- Those with a log, a claim or a reading.
SELECT tenant FROM ledger.log WHERE tenant <> ''
 UNION SELECT tenant FROM ledger.claim
 UNION SELECT tenant FROM ledger.metered_device
 ORDER BY tenant

-- name: claim
-- A claim, beside those that have not come true. One that says less is the higher one, said again.
INSERT INTO ledger.claim (tenant, source, epoch, highest, lowest)
SELECT %(tenant)s, %(source)s, %(epoch)s, greatest(%(highest)s::bigint, max(highest)),
       least(%(lowest)s::bigint, min(lowest))
  FROM ledger.claim
 WHERE tenant = %(tenant)s AND source = %(source)s AND epoch = %(epoch)s
ON CONFLICT (tenant, source, epoch, highest) DO UPDATE
   SET again_at = excluded.again_at, lowest = excluded.lowest

-- name: forget_claims
-- Claims that came true say nothing any more beside a higher one, which has taken on their beginning.
DELETE FROM ledger.claim AS c
 USING ledger.standing AS s
 WHERE c.tenant = %(tenant)s AND c.source = %(source)s AND c.epoch = %(epoch)s
   AND s.tenant = c.tenant AND s.source = c.source AND s.epoch = c.epoch AND s.highest >= c.highest
   AND c.highest < (SELECT max(highest) FROM ledger.claim
                     WHERE tenant = %(tenant)s AND source = %(source)s AND epoch = %(epoch)s)

-- name: add_reading
-- A reading of a source, once for each counter and moment.
INSERT INTO ledger.reading (tenant, device, counter, read_at, value, source)
VALUES (%(tenant)s, %(device)s, %(counter)s, %(read_at)s, %(value)s, %(source)s)
ON CONFLICT DO NOTHING
RETURNING value

-- name: want_metered
-- The jobs of a device are wanted from its first reading on.
INSERT INTO ledger.metered_device AS known (tenant, device, wanted)
SELECT %(tenant)s, %(device)s, %(read_at)s
 WHERE NOT EXISTS (SELECT FROM ledger.metered_device
                    WHERE tenant = %(tenant)s AND device = %(device)s AND wanted <= %(read_at)s)
ON CONFLICT (tenant, device) DO UPDATE SET wanted = excluded.wanted WHERE known.wanted > excluded.wanted

-- name: reading
-- What a counter said at that moment.
SELECT value
  FROM ledger.reading
 WHERE tenant = %(tenant)s AND device = %(device)s AND counter = %(counter)s AND source = %(source)s
   AND read_at = %(read_at)s

-- name: standings
-- How each source of a tenant stands.
SELECT source, epoch, lowest, highest, entries, leaf, received_at, occurred_at
  FROM ledger.standing
 WHERE tenant = %(tenant)s AND source = coalesce(%(source)s::text, source)
 ORDER BY source, epoch

-- name: gaps
-- The oldest gaps of each source.
SELECT source, epoch, first, last, since
  FROM (
       SELECT *, row_number() OVER (PARTITION BY source ORDER BY since, epoch, first) AS n
         FROM ledger.gap
        WHERE tenant = %(tenant)s AND source = coalesce(%(source)s::text, source)
  ) AS each
 WHERE n <= %(most)s
 ORDER BY since, source, epoch, first

-- name: claims
-- What sources claim.
SELECT source, epoch, highest, lowest, at, again_at
  FROM ledger.claim
 WHERE tenant = %(tenant)s AND source = coalesce(%(source)s::text, source)
 ORDER BY source, epoch, highest

-- name: settled
-- Numbers that nobody waits for.
SELECT subject, epoch, first, last, reason, actor, at
  FROM ledger.settled
 WHERE tenant = %(tenant)s AND subject = coalesce(%(source)s::text, subject) AND what = 'gap'
 ORDER BY id

-- name: clashes
-- Conflict entries of each source, the unsettled first.
SELECT source, epoch, seq, leaf, at, is_settled
  FROM (
       SELECT c.source, c.epoch, c.seq, c.leaf, g.at, s.is_settled,
              row_number() OVER (PARTITION BY c.source ORDER BY s.is_settled, c.leaf) AS n
         FROM ledger.log AS l
         JOIN ledger.conflict AS c ON c.log_id = l.id
        CROSS JOIN LATERAL (
              SELECT at FROM ledger.growth
               WHERE log_id = l.id AND from_size <= c.leaf
               ORDER BY from_size DESC LIMIT 1
         ) AS g
        CROSS JOIN LATERAL (
              SELECT EXISTS (SELECT FROM ledger.settled
                              WHERE tenant = l.tenant AND what = 'conflict' AND subject = c.source
                                AND c.leaf BETWEEN first AND last) AS is_settled
         ) AS s
        WHERE l.tenant = %(tenant)s
  ) AS each
 WHERE n <= %(most)s
 ORDER BY is_settled, leaf

-- name: clocks
-- The devices whose clock is or was off.
SELECT source, device, marked, first_leaf, last_leaf, since, last_at, off, right_leaf
  FROM ledger.clock
 WHERE tenant = %(tenant)s
 ORDER BY source, device

-- name: trim_metered
-- The jobs behind the last readings before a time. A counter that is not read any more holds up nothing.
WITH kept AS (
    SELECT d.id, coalesce(min(last.read_at) FILTER (WHERE last.goes_on), %(before)s) AS since
      FROM ledger.metered_device AS d
     CROSS JOIN LATERAL (
           SELECT max(read_at) FILTER (WHERE read_at <= %(before)s) AS read_at,
                  max(read_at) > %(before)s AS goes_on
             FROM ledger.reading
            WHERE tenant = d.tenant AND device = d.device
            GROUP BY counter, source
           HAVING min(read_at) <= %(before)s
      ) AS last
     WHERE d.tenant = %(tenant)s
     GROUP BY d.id
), moved AS (
    UPDATE ledger.metered_device AS d
       SET since = kept.since, wanted = greatest(d.wanted, kept.since)
      FROM kept
     WHERE d.id = kept.id AND d.since < kept.since
    RETURNING d.id, d.since
), gone AS (
    DELETE FROM ledger.metered AS m
     USING moved
     WHERE m.device_id = moved.id AND m.occurred_at <= moved.since
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: stretches
-- Counters between two readings, and what the jobs in between add up to.
WITH pair AS (
    SELECT d.id, r.source, r.device, r.counter, r.read_at AS until, r.value,
           before.read_at AS since, before.value AS value_before
      FROM ledger.reading AS r
      JOIN ledger.metered_device AS d ON d.tenant = r.tenant AND d.device = r.device
     CROSS JOIN LATERAL (
           SELECT read_at, value
             FROM ledger.reading
            WHERE tenant = r.tenant AND device = r.device AND counter = r.counter AND source = r.source
              AND read_at < r.read_at
            ORDER BY read_at DESC
            LIMIT 1
      ) AS before
     WHERE r.tenant = %(tenant)s AND r.device = coalesce(%(device)s::text, r.device)
       AND r.read_at >= %(since)s AND d.since <= before.read_at
)
SELECT source, device, counter, since, until, value - value_before, sums.recorded, sums.jobs, sums.untold
  FROM pair
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(sign * told), 0)::bigint AS recorded,
              coalesce(sum(sign), 0)::bigint AS jobs,
              coalesce(sum(sign) FILTER (WHERE told IS NULL), 0)::bigint AS untold
         FROM (
              SELECT sign,
                     CASE pair.counter
                         WHEN 'impressions' THEN CASE WHEN num_nonnulls(mono, colour) > 0
                                                      THEN coalesce(mono, 0) + coalesce(colour, 0) END
                         WHEN 'mono_impressions' THEN mono
                         WHEN 'colour_impressions' THEN colour
                         WHEN 'sheets' THEN sheets
                         WHEN 'scan_pages' THEN scan_pages
                         WHEN 'fax_pages' THEN fax_pages
                     END::bigint AS told
                FROM ledger.metered
               WHERE device_id = pair.id
                 AND occurred_at > pair.since AND occurred_at <= pair.until
         ) AS job
  ) AS sums
 WHERE (%(settled)s OR NOT EXISTS (
       SELECT FROM ledger.settled AS s
        WHERE s.tenant = %(tenant)s AND s.what = 'meter' AND s.subject = pair.device AND s.until >= pair.until
   ))
 ORDER BY device, counter, source, until

-- name: settle
-- What will not come right.
INSERT INTO ledger.settled (tenant, what, subject, epoch, first, last, until, reason, actor, at)
VALUES (%(tenant)s, %(what)s, %(subject)s, %(epoch)s, %(first)s, %(last)s, %(until)s, %(reason)s, %(actor)s,
        %(at)s)

-- name: concerns
-- What stands, of a tenant or of all.
SELECT tenant, kind, subject, since, facts, found_at
  FROM ledger.concern
 WHERE over_at IS NULL AND tenant = coalesce(%(tenant)s::text, tenant)
 ORDER BY tenant, found_at, kind, subject

-- name: begin_concern
-- A concern begins, unless somebody was first.
INSERT INTO ledger.concern (tenant, kind, subject, since, facts, found_at)
VALUES (%(tenant)s, %(kind)s, %(subject)s, %(since)s, %(facts)s, %(at)s)
ON CONFLICT (tenant, kind, subject) WHERE over_at IS NULL DO NOTHING
RETURNING id

-- name: end_concern
-- A concern is over, unless somebody said so already.
UPDATE ledger.concern
   SET over_at = %(at)s
 WHERE tenant = %(tenant)s AND kind = %(kind)s AND subject = %(subject)s AND over_at IS NULL
RETURNING id

-- name: change_concern
-- What is to know of a concern that stands.
UPDATE ledger.concern
   SET facts = %(facts)s
 WHERE tenant = %(tenant)s AND kind = %(kind)s AND subject = %(subject)s AND over_at IS NULL
   AND facts <> %(facts)s

-- name: take_to_tell
-- What stands and is to be told now: one of several processes takes it.
UPDATE ledger.concern
   SET told_at = %(at)s
 WHERE over_at IS NULL AND (told_at IS NULL OR told_at <= %(before)s)
RETURNING tenant, kind, subject, since, facts, found_at

-- name: write_journal
-- The audit trail.
INSERT INTO holdfast.journal (at, actor, event, facts) VALUES (%(at)s, %(actor)s, %(event)s, %(facts)s)

-- name: still
-- Folds that have something to fold: since they moved, or it came.
SELECT f.fold, greatest(f.at, g.at), s.to_size - f.position
  FROM ledger.log AS l
  JOIN ledger.followed AS f ON f.log_id = l.id
 CROSS JOIN LATERAL (
       SELECT to_size FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
  ) AS s
 CROSS JOIN LATERAL (
       SELECT at FROM ledger.growth WHERE log_id = l.id AND from_size >= f.position ORDER BY from_size LIMIT 1
  ) AS g
 WHERE l.tenant = %(tenant)s AND f.position < s.to_size
 ORDER BY f.fold

-- name: logs
-- How each tenant's log stands.
SELECT l.tenant, l.origin, coalesce(g.to_size, 0), g.at, coalesce(p.size, 0), p.at,
       coalesce(r.leaves, 0)::bigint,
       (SELECT min(coalesce(f.position, 0))
          FROM (SELECT DISTINCT fold FROM ledger.followed) AS known
          LEFT JOIN ledger.followed AS f ON f.fold = known.fold AND f.log_id = l.id)
  FROM ledger.log AS l
  LEFT JOIN LATERAL (
       SELECT to_size, at FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
  ) AS g ON true
  LEFT JOIN LATERAL (
       SELECT size, at FROM ledger.published WHERE log_id = l.id ORDER BY size DESC LIMIT 1
  ) AS p ON true
 CROSS JOIN LATERAL (
       SELECT sum(to_size - from_size) AS leaves
         FROM ledger.one_region
        WHERE log_id = l.id AND reached_at IS NULL
  ) AS r
 WHERE l.tenant <> ''
 ORDER BY l.tenant
