-- name: see
-- Row-level security lets this tenant's rows through, until the transaction ends.
SELECT set_config('holdfast.tenant', %(tenant)s, true)

-- name: is_known
-- Whether there is such a tenant.
SELECT EXISTS (SELECT FROM ledger.tenant WHERE key = %(tenant)s)
    OR EXISTS (SELECT FROM ledger.log WHERE tenant = %(tenant)s)

-- name: standing
-- The sums in force of each tenant's log, and how far they have come.
SELECT b.id, l.id, l.tenant, b.time_zone, coalesce(f.position, 0), g.to_size,
       (SELECT count(*) FROM ledger.void_correction AS v WHERE v.book = b.id)
  FROM ledger.log AS l
 CROSS JOIN LATERAL (
       SELECT to_size FROM ledger.growth WHERE log_id = l.id ORDER BY from_size DESC LIMIT 1
  ) AS g
  LEFT JOIN ledger.book AS b ON b.log_id = l.id AND b.in_force
  LEFT JOIN ledger.followed AS f ON f.log_id = l.id AND f.fold = 'rollups'
 WHERE l.tenant <> '' AND (%(tenant)s::text IS NULL OR l.tenant = %(tenant)s)
 ORDER BY l.tenant

-- name: members
-- The ids that a name has in these logs.
SELECT id FROM ledger.member WHERE log_id = ANY(%(logs)s) AND dimension = %(dimension)s AND name = %(name)s

-- name: members_of
-- The ids of these members of these logs.
SELECT m.id
  FROM unnest(%(logs)s::integer[], %(names)s::text[]) AS asked (log_id, name)
  JOIN ledger.member AS m
    ON m.log_id = asked.log_id AND m.dimension = %(dimension)s AND m.name = asked.name

-- name: names
-- What members are called.
SELECT id, name FROM ledger.member WHERE id = ANY(%(ids)s)

-- name: kept
-- Sums by one dimension or none, as they are kept: each of them is one time of the report.
SELECT CASE WHEN %(per)s::text IS NOT NULL THEN r.period END AS start,
       CASE WHEN %(by)s::text <> 'kind' THEN r.book END AS book,
       CASE WHEN %(by)s::text = 'tenant' THEN r.book WHEN %(by)s::text = 'kind' THEN r.kind
           WHEN %(by)s::text IS NOT NULL THEN r.member END AS about,
       r.currency, r.amount::text, r.jobs, r.failed, r.sheets, r.mono_impressions, r.colour_impressions, r.scan_pages,
       r.fax_pages
  FROM ledger.sums AS r
 WHERE r.book = ANY(%(books)s::integer[]) AND r.dimension = %(dimension)s::smallint
   AND r.kind = ANY(%(kinds)s::smallint[]) AND r.grain = %(grain)s::smallint
   AND r.period >= %(since)s::date AND r.period < %(until)s::date
   AND (%(members)s::integer[] IS NULL OR r.member = ANY(%(members)s::integer[]))

-- name: sums
-- The same, added up out of whole years, months and days; by no times for NULL. A piece that is not there is NULL, and
-- so nothing: what is left is a range of the key for each, whose rows the planner can count.
SELECT date_trunc(%(per)s::text, r.period::timestamp)::date AS start,
       CASE WHEN %(by)s::text <> 'kind' THEN r.book END AS book,
       CASE WHEN %(by)s::text = 'tenant' THEN r.book WHEN %(by)s::text = 'kind' THEN r.kind
           WHEN %(by)s::text IS NOT NULL THEN r.member END AS about,
       r.currency, sum(r.amount)::text, sum(r.jobs)::bigint, sum(r.failed)::bigint, sum(r.sheets)::bigint,
       sum(r.mono_impressions)::bigint, sum(r.colour_impressions)::bigint, sum(r.scan_pages)::bigint,
       sum(r.fax_pages)::bigint
  FROM ledger.sums AS r
 WHERE r.book = ANY(%(books)s::integer[]) AND r.dimension = %(dimension)s::smallint
   AND r.kind = ANY(%(kinds)s::smallint[])
   AND (r.grain = 0 AND r.period >= %(day_from)s::date AND r.period < %(day_to)s::date
        OR r.grain = 1 AND r.period >= %(month_from)s::date AND r.period < %(month_to)s::date
        OR r.grain = 2 AND r.period >= %(year_from)s::date AND r.period < %(year_to)s::date
        OR r.grain = 1 AND r.period >= %(late_month_from)s::date AND r.period < %(late_month_to)s::date
        OR r.grain = 0 AND r.period >= %(late_day_from)s::date AND r.period < %(late_day_to)s::date)
   AND (%(members)s::integer[] IS NULL OR r.member = ANY(%(members)s::integer[]))
 GROUP BY 1, 2, 3, 4

-- name: papers
-- Sheets by paper format, in the same way.
SELECT date_trunc(%(per)s::text, r.period::timestamp)::date AS start,
       r.format, sum(r.sheets)::bigint
  FROM ledger.rollup_paper AS r
 WHERE r.book = ANY(%(books)s::integer[]) AND r.dimension = %(dimension)s::smallint
   AND (r.grain = 0 AND r.period >= %(day_from)s::date AND r.period < %(day_to)s::date
        OR r.grain = 1 AND r.period >= %(month_from)s::date AND r.period < %(month_to)s::date
        OR r.grain = 2 AND r.period >= %(year_from)s::date AND r.period < %(year_to)s::date
        OR r.grain = 1 AND r.period >= %(late_month_from)s::date AND r.period < %(late_month_to)s::date
        OR r.grain = 0 AND r.period >= %(late_day_from)s::date AND r.period < %(late_day_to)s::date)
   AND (%(members)s::integer[] IS NULL OR r.member = ANY(%(members)s::integer[]))
 GROUP BY 1, 2

-- name: finest
-- Sums by several dimensions at once, and those of users' days: of days or of months.
SELECT date_trunc(%(per)s::text, c.day::timestamp)::date AS start,
       CASE WHEN %(by)s::text <> 'kind' THEN c.book END AS book,
       CASE %(by)s::text WHEN 'tenant' THEN c.book WHEN 'kind' THEN c.kind WHEN 'device' THEN c.device
           WHEN 'user' THEN c.person WHEN 'cost_centre' THEN c.cost_centre END AS about,
       c.currency, sum(c.amount)::text, sum(c.jobs)::bigint, sum(c.failed)::bigint, sum(c.sheets)::bigint,
       sum(c.mono_impressions)::bigint, sum(c.colour_impressions)::bigint, sum(c.scan_pages)::bigint,
       sum(c.fax_pages)::bigint
  FROM ledger.cell AS c
 WHERE c.book = ANY(%(books)s::integer[]) AND c.grain = %(grain)s::smallint
   AND c.day >= %(since)s::date AND c.day < %(until)s::date
   AND (%(devices)s::integer[] IS NULL OR c.device = ANY(%(devices)s::integer[]))
   AND (%(persons)s::integer[] IS NULL OR c.person = ANY(%(persons)s::integer[]))
   AND (%(cost_centres)s::integer[] IS NULL OR c.cost_centre = ANY(%(cost_centres)s::integer[]))
   AND c.kind = ANY(%(kinds)s::smallint[])
 GROUP BY 1, 2, 3, 4
