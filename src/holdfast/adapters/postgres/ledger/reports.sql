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

-- name: sums
-- Sums by one dimension or none, out of whole years, months and days. A piece that is not there is NULL, and so
-- nothing: what is left is a range of the key for each, whose rows the planner can count.
SELECT found.start, found.book, coalesce(m.name, ''), found.kind, found.currency, jobs, failed, sheets,
       mono_impressions, colour_impressions, scan_pages, fax_pages, amount
  FROM (
       SELECT CASE %(per)s::text
                  WHEN 'day' THEN r.period
                  WHEN 'week' THEN date_trunc('week', r.period::timestamp)::date
                  WHEN 'month' THEN date_trunc('month', r.period::timestamp)::date
                  WHEN 'year' THEN date_trunc('year', r.period::timestamp)::date
              END AS start,
              CASE WHEN %(by_book)s::boolean THEN r.book END AS book,
              CASE WHEN %(by_member)s::boolean THEN r.member END AS member,
              CASE WHEN %(by_kind)s::boolean THEN r.kind END AS kind,
              r.currency, sum(r.jobs)::bigint AS jobs, sum(r.failed)::bigint AS failed, sum(r.sheets)::bigint AS sheets,
              sum(r.mono_impressions)::bigint AS mono_impressions, sum(r.colour_impressions)::bigint AS colour_impressions,
              sum(r.scan_pages)::bigint AS scan_pages, sum(r.fax_pages)::bigint AS fax_pages, sum(r.amount)::text AS amount
         FROM ledger.rollup AS r
        WHERE r.book = ANY(%(books)s::integer[]) AND r.dimension = %(dimension)s::smallint
          AND (r.grain = 0 AND r.period >= %(day_from)s::date AND r.period < %(day_to)s::date
               OR r.grain = 1 AND r.period >= %(month_from)s::date AND r.period < %(month_to)s::date
               OR r.grain = 2 AND r.period >= %(year_from)s::date AND r.period < %(year_to)s::date
               OR r.grain = 1 AND r.period >= %(late_month_from)s::date AND r.period < %(late_month_to)s::date
               OR r.grain = 0 AND r.period >= %(late_day_from)s::date AND r.period < %(late_day_to)s::date)
          AND (%(members)s::integer[] IS NULL OR r.member = ANY(%(members)s::integer[]))
          AND (%(kind)s::smallint IS NULL OR r.kind = %(kind)s::smallint)
        GROUP BY 1, 2, 3, 4, 5
  ) AS found
  LEFT JOIN ledger.member AS m ON m.id = found.member

-- name: papers
-- Sheets by paper format, in the same way.
SELECT found.start, found.format, found.sheets
  FROM (
       SELECT CASE %(per)s::text
                  WHEN 'day' THEN r.period
                  WHEN 'week' THEN date_trunc('week', r.period::timestamp)::date
                  WHEN 'month' THEN date_trunc('month', r.period::timestamp)::date
                  WHEN 'year' THEN date_trunc('year', r.period::timestamp)::date
              END AS start,
              r.format, sum(r.sheets)::bigint AS sheets
         FROM ledger.rollup_paper AS r
        WHERE r.book = ANY(%(books)s::integer[]) AND r.dimension = %(dimension)s::smallint
          AND (r.grain = 0 AND r.period >= %(day_from)s::date AND r.period < %(day_to)s::date
               OR r.grain = 1 AND r.period >= %(month_from)s::date AND r.period < %(month_to)s::date
               OR r.grain = 2 AND r.period >= %(year_from)s::date AND r.period < %(year_to)s::date
               OR r.grain = 1 AND r.period >= %(late_month_from)s::date AND r.period < %(late_month_to)s::date
               OR r.grain = 0 AND r.period >= %(late_day_from)s::date AND r.period < %(late_day_to)s::date)
          AND (%(members)s::integer[] IS NULL OR r.member = ANY(%(members)s::integer[]))
        GROUP BY 1, 2
  ) AS found

-- name: finest
-- Sums by several dimensions at once, out of days.
SELECT found.start, found.book, coalesce(m.name, ''), found.kind, found.currency, jobs, failed, sheets,
       mono_impressions, colour_impressions, scan_pages, fax_pages, amount
  FROM (
       SELECT CASE %(per)s::text
                  WHEN 'day' THEN c.day
                  WHEN 'week' THEN date_trunc('week', c.day::timestamp)::date
                  WHEN 'month' THEN date_trunc('month', c.day::timestamp)::date
                  WHEN 'year' THEN date_trunc('year', c.day::timestamp)::date
              END AS start,
              CASE WHEN %(by_book)s::boolean THEN c.book END AS book,
              CASE %(member)s::smallint WHEN 1 THEN c.device WHEN 2 THEN c.person WHEN 3 THEN c.cost_centre END
                  AS member,
              CASE WHEN %(by_kind)s::boolean THEN c.kind END AS kind,
              c.currency, sum(c.jobs)::bigint AS jobs, sum(c.failed)::bigint AS failed, sum(c.sheets)::bigint AS sheets,
              sum(c.mono_impressions)::bigint AS mono_impressions, sum(c.colour_impressions)::bigint AS colour_impressions,
              sum(c.scan_pages)::bigint AS scan_pages, sum(c.fax_pages)::bigint AS fax_pages, sum(c.amount)::text AS amount
         FROM ledger.cell AS c
        WHERE c.book = ANY(%(books)s::integer[]) AND c.day >= %(since)s::date AND c.day < %(until)s::date
          AND (%(devices)s::integer[] IS NULL OR c.device = ANY(%(devices)s::integer[]))
          AND (%(persons)s::integer[] IS NULL OR c.person = ANY(%(persons)s::integer[]))
          AND (%(cost_centres)s::integer[] IS NULL OR c.cost_centre = ANY(%(cost_centres)s::integer[]))
          AND (%(kind)s::smallint IS NULL OR c.kind = %(kind)s::smallint)
        GROUP BY 1, 2, 3, 4, 5
  ) AS found
  LEFT JOIN ledger.member AS m ON m.id = found.member
