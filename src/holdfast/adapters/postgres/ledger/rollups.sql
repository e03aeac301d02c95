-- name: book
-- The sums of a log that are in force.
SELECT id, time_zone FROM ledger.book WHERE log_id = %(log_id)s AND in_force

-- name: open_book
-- A log's first sums, or others that are made beside them.
INSERT INTO ledger.book (log_id, time_zone, in_force)
VALUES (%(log_id)s, %(time_zone)s, %(in_force)s)
RETURNING id

-- name: settled
-- Which of these leaves are corrected, or corrections that are void.
SELECT leaf FROM ledger.corrected WHERE book = %(book)s AND leaf = ANY(%(leaves)s)
 UNION ALL
SELECT leaf FROM ledger.void_correction WHERE book = %(book)s AND leaf = ANY(%(leaves)s)

-- name: trusted
-- Which leaves are known to correct these.
SELECT leaf, by_leaf FROM ledger.corrected WHERE book = %(book)s AND leaf = ANY(%(leaves)s)

-- name: members
-- The ids of those of these names that have one.
SELECT m.dimension, m.name, m.id
  FROM unnest(%(dimensions)s::smallint[], %(names)s::text[]) AS asked (dimension, name)
  JOIN ledger.member AS m
    ON m.log_id = %(log_id)s AND m.dimension = asked.dimension AND m.name = asked.name

-- name: add_members
-- Ids for names; those that have one keep it.
INSERT INTO ledger.member (log_id, dimension, name)
SELECT %(log_id)s, dimension, name
  FROM unnest(%(dimensions)s::smallint[], %(names)s::text[]) AS new (dimension, name)
    ON CONFLICT DO NOTHING
RETURNING dimension, name, id

-- name: add_sums
-- Add to the finest sums, and to those by one dimension: the same rows, summed up on their way as ledger.sums_of
-- does. A book that is being made has the cells of days alone: the rest is made of them at the end.
WITH new AS MATERIALIZED (
    SELECT *
      FROM unnest(%(day)b::date[], %(person)b::integer[], %(device)b::integer[], %(cost_centre)b::integer[],
                  %(kind)b::smallint[], %(currency)b::text[], %(jobs)b::bigint[], %(failed)b::bigint[],
                  %(sheets)b::bigint[], %(mono_impressions)b::bigint[], %(colour_impressions)b::bigint[],
                  %(scan_pages)b::bigint[], %(fax_pages)b::bigint[], %(amount)s::numeric[])
        AS new (day, person, device, cost_centre, kind, currency, jobs, failed, sheets, mono_impressions,
                colour_impressions, scan_pages, fax_pages, amount)
), finest AS (
    INSERT INTO ledger.cell AS was
    SELECT %(book)s, CASE grain WHEN 0 THEN day ELSE date_trunc('month', day::timestamp) END::date AS period, person,
           device, cost_centre, kind, currency, sum(jobs), sum(failed), sum(sheets), sum(mono_impressions),
           sum(colour_impressions), sum(scan_pages), sum(fax_pages), sum(amount), grain
      FROM new CROSS JOIN generate_series(0, CASE WHEN %(finest_only)s THEN 0 ELSE 1 END) AS grain
     GROUP BY grain, period, person, device, cost_centre, kind, currency
     ORDER BY grain, period, person, device
        ON CONFLICT (book, grain, day, person, device, cost_centre, kind, currency) DO UPDATE
       SET jobs = was.jobs + excluded.jobs,
           failed = was.failed + excluded.failed,
           sheets = was.sheets + excluded.sheets,
           mono_impressions = was.mono_impressions + excluded.mono_impressions,
           colour_impressions = was.colour_impressions + excluded.colour_impressions,
           scan_pages = was.scan_pages + excluded.scan_pages,
           fax_pages = was.fax_pages + excluded.fax_pages,
           amount = was.amount + excluded.amount
), narrower AS MATERIALIZED (
    SELECT dimension,
           CASE dimension WHEN 2 THEN date_trunc('month', day::timestamp)::date ELSE day END AS day,
           CASE dimension WHEN 1 THEN device WHEN 2 THEN person WHEN 3 THEN cost_centre ELSE 0 END AS member,
           kind, currency, sum(jobs) AS jobs, sum(failed) AS failed, sum(sheets) AS sheets,
           sum(mono_impressions) AS mono_impressions, sum(colour_impressions) AS colour_impressions,
           sum(scan_pages) AS scan_pages, sum(fax_pages) AS fax_pages, sum(amount) AS amount
      FROM new CROSS JOIN generate_series(0, 3) AS dimension
     WHERE NOT %(finest_only)s
     GROUP BY 1, 2, 3, 4, 5
)
INSERT INTO ledger.sums AS was
SELECT %(book)s, dimension, told.kind, grain,
       CASE grain WHEN 0 THEN day ELSE date_trunc(CASE grain WHEN 1 THEN 'month' ELSE 'year' END, day::timestamp)
           END::date AS period,
       member, currency, sum(jobs), sum(failed), sum(sheets), sum(mono_impressions), sum(colour_impressions),
       sum(scan_pages), sum(fax_pages), sum(amount)
  FROM narrower
 CROSS JOIN generate_series(0, 2) AS grain
 CROSS JOIN LATERAL (VALUES (narrower.kind), (-1::smallint)) AS told (kind)
 WHERE dimension <> 2 OR grain > 0
 GROUP BY dimension, told.kind, grain, period, member, currency
    ON CONFLICT (book, dimension, kind, grain, period, member, currency) DO UPDATE
   SET jobs = was.jobs + excluded.jobs,
       failed = was.failed + excluded.failed,
       sheets = was.sheets + excluded.sheets,
       mono_impressions = was.mono_impressions + excluded.mono_impressions,
       colour_impressions = was.colour_impressions + excluded.colour_impressions,
       scan_pages = was.scan_pages + excluded.scan_pages,
       fax_pages = was.fax_pages + excluded.fax_pages,
       amount = was.amount + excluded.amount

-- name: add_papers
-- Add to the sheets by paper format.
WITH new AS MATERIALIZED (
    SELECT *
      FROM unnest(%(day)b::date[], %(person)b::integer[], %(device)b::integer[], %(cost_centre)b::integer[],
                  %(format)b::text[], %(sheets)b::bigint[])
        AS new (day, person, device, cost_centre, format, sheets)
), days AS MATERIALIZED (
    SELECT dimension, day, CASE dimension WHEN 1 THEN device WHEN 2 THEN person WHEN 3 THEN cost_centre ELSE 0 END
               AS member,
           format, sum(sheets) AS sheets
      FROM new CROSS JOIN generate_series(0, 3) AS dimension
     GROUP BY 1, 2, 3, 4
)
INSERT INTO ledger.rollup_paper AS was
SELECT %(book)s, dimension, grain,
       CASE grain WHEN 0 THEN day ELSE date_trunc(CASE grain WHEN 1 THEN 'month' ELSE 'year' END, day::timestamp)
           END::date AS period,
       member, format, sum(sheets)
  FROM days CROSS JOIN generate_series(0, CASE WHEN %(finest_only)s THEN 0 ELSE 2 END) AS grain
 GROUP BY dimension, grain, period, member, format
    ON CONFLICT (book, dimension, grain, period, member, format) DO UPDATE
   SET sheets = was.sheets + excluded.sheets

-- name: keep_corrected
-- Leaves that count no more.
INSERT INTO ledger.corrected (book, leaf, by_leaf)
SELECT %(book)s, * FROM unnest(%(leaves)s::bigint[], %(by_leaves)s::bigint[])

-- name: keep_void
-- Corrections that count nothing.
INSERT INTO ledger.void_correction (book, leaf) SELECT %(book)s, * FROM unnest(%(leaves)s::bigint[])

-- name: touch
-- The first leaf that changed a day.
INSERT INTO ledger.touched AS was (book, day, leaf)
SELECT %(book)s, * FROM unnest(%(days)s::date[], %(leaves)s::bigint[])
    ON CONFLICT (book, day) DO UPDATE SET leaf = excluded.leaf WHERE excluded.leaf < was.leaf
