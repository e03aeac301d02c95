-- name: lock
-- One at a time makes a log's sums anew. Goes with the connection, or with `unlock`.
SELECT pg_try_advisory_lock(70156, %(log_id)s)

-- name: unlock
-- Let others do it.
SELECT pg_advisory_unlock(70156, %(log_id)s)

-- name: unfinished
-- Sums that somebody began to make, and never finished.
SELECT id FROM ledger.book WHERE log_id = %(log_id)s AND NOT in_force

-- name: in_force
-- The sums in force.
SELECT id FROM ledger.book WHERE log_id = %(log_id)s AND in_force

-- name: other_zones
-- The logs whose sums are of another time zone than their tenant's is now.
SELECT b.log_id
  FROM ledger.book AS b
  JOIN ledger.log AS l ON l.id = b.log_id
  JOIN ledger.tenant AS t ON t.key = l.tenant
 WHERE b.in_force AND b.time_zone <> t.time_zone

-- name: position
-- How far the sums in force have come.
SELECT position FROM ledger.followed WHERE fold = 'rollups' AND log_id = %(log_id)s

-- name: hold
-- The same, and nobody moves it until the transaction ends.
SELECT position FROM ledger.followed WHERE fold = 'rollups' AND log_id = %(log_id)s FOR UPDATE

-- name: pruned
-- The end of the last growth whose entries retention took.
SELECT coalesce(max(g.to_size), 0)
  FROM ledger.growth AS g
 WHERE g.log_id = %(log_id)s
   AND NOT EXISTS (
       SELECT FROM ledger.segment AS s WHERE s.log_id = g.log_id AND s.first = g.from_size AND s.at = g.at
  )

-- name: trust_corrected
-- What entries said that can be read no more: which leaves they corrected.
INSERT INTO ledger.corrected (book, leaf, by_leaf)
SELECT %(book)s, leaf, by_leaf FROM ledger.corrected WHERE book = %(former)s AND by_leaf < %(pruned)s

-- name: trust_void
-- And which of them were void.
INSERT INTO ledger.void_correction (book, leaf)
SELECT %(book)s, leaf FROM ledger.void_correction WHERE book = %(former)s AND leaf < %(pruned)s

-- name: advance
-- How far sums that are being made have come.
UPDATE ledger.book SET position = %(to_size)s
 WHERE id = %(book)s AND NOT in_force AND position = %(from_size)s
RETURNING position

-- name: days
-- How many days were touched, and how many of them by entries that are not kept any more.
SELECT count(*), count(*) FILTER (WHERE leaf < %(pruned)s) FROM ledger.touched WHERE book = %(former)s

-- name: cells_differ
-- Finest sums that are not the same, of days that can be made anew.
SELECT format('%%s, %%s, device %%L, user %%L, cost centre %%L', coalesce(a.day, b.day),
              (ARRAY['print', 'scan', 'copy', 'fax'])[coalesce(a.kind, b.kind) + 1],
              d.name, p.name, c.name),
       concat_ws(' ', a.jobs, a.failed, a.sheets, a.mono_impressions, a.colour_impressions, a.scan_pages,
                 a.fax_pages, a.amount, a.currency),
       concat_ws(' ', b.jobs, b.failed, b.sheets, b.mono_impressions, b.colour_impressions, b.scan_pages,
                 b.fax_pages, b.amount, b.currency),
       count(*) OVER ()
  FROM (SELECT * FROM ledger.cell WHERE book = %(former)s) AS a
  FULL JOIN (SELECT * FROM ledger.cell WHERE book = %(book)s) AS b
    ON (a.day, a.person, a.device, a.cost_centre, a.kind, a.currency)
     = (b.day, b.person, b.device, b.cost_centre, b.kind, b.currency)
  LEFT JOIN ledger.member AS d ON d.id = coalesce(a.device, b.device)
  LEFT JOIN ledger.member AS p ON p.id = coalesce(a.person, b.person)
  LEFT JOIN ledger.member AS c ON c.id = coalesce(a.cost_centre, b.cost_centre)
 WHERE (coalesce(a.jobs, 0), coalesce(a.failed, 0), coalesce(a.sheets, 0), coalesce(a.mono_impressions, 0),
        coalesce(a.colour_impressions, 0), coalesce(a.scan_pages, 0), coalesce(a.fax_pages, 0),
        coalesce(a.amount, 0))
    <> (coalesce(b.jobs, 0), coalesce(b.failed, 0), coalesce(b.sheets, 0), coalesce(b.mono_impressions, 0),
        coalesce(b.colour_impressions, 0), coalesce(b.scan_pages, 0), coalesce(b.fax_pages, 0),
        coalesce(b.amount, 0))
   AND coalesce(a.day, b.day) NOT IN
       (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)
 ORDER BY 1
 LIMIT %(most)s

-- name: days_differ
-- Sums by dimension over a day that are not the same.
SELECT format('%%s over %%s, %%s', (ARRAY['all', 'device', 'user', 'cost centre'])[coalesce(a.dimension, b.dimension) + 1],
              coalesce(a.period, b.period), coalesce(m.name, '')),
       concat_ws(' ', a.jobs, a.failed, a.sheets, a.mono_impressions, a.colour_impressions, a.scan_pages,
                 a.fax_pages, a.amount, a.currency),
       concat_ws(' ', b.jobs, b.failed, b.sheets, b.mono_impressions, b.colour_impressions, b.scan_pages,
                 b.fax_pages, b.amount, b.currency),
       count(*) OVER ()
  FROM (SELECT * FROM ledger.rollup WHERE book = %(former)s AND grain = 0) AS a
  FULL JOIN (SELECT * FROM ledger.rollup WHERE book = %(book)s AND grain = 0) AS b
    ON (a.dimension, a.period, a.member, a.kind, a.currency) = (b.dimension, b.period, b.member, b.kind, b.currency)
  LEFT JOIN ledger.member AS m ON m.id = coalesce(a.member, b.member)
 WHERE (coalesce(a.jobs, 0), coalesce(a.failed, 0), coalesce(a.sheets, 0), coalesce(a.mono_impressions, 0),
        coalesce(a.colour_impressions, 0), coalesce(a.scan_pages, 0), coalesce(a.fax_pages, 0),
        coalesce(a.amount, 0))
    <> (coalesce(b.jobs, 0), coalesce(b.failed, 0), coalesce(b.sheets, 0), coalesce(b.mono_impressions, 0),
        coalesce(b.colour_impressions, 0), coalesce(b.scan_pages, 0), coalesce(b.fax_pages, 0),
        coalesce(b.amount, 0))
   AND coalesce(a.period, b.period) NOT IN
       (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)
 ORDER BY 1
 LIMIT %(most)s

-- name: papers_differ
-- Sheets by format over a day that are not the same.
SELECT format('%%s by %%s over %%s, %%s', coalesce(a.format, b.format),
              (ARRAY['all', 'device', 'user', 'cost centre'])[coalesce(a.dimension, b.dimension) + 1],
              coalesce(a.period, b.period), coalesce(m.name, '')),
       coalesce(a.sheets, 0)::text, coalesce(b.sheets, 0)::text, count(*) OVER ()
  FROM (SELECT * FROM ledger.rollup_paper WHERE book = %(former)s AND grain = 0) AS a
  FULL JOIN (SELECT * FROM ledger.rollup_paper WHERE book = %(book)s AND grain = 0) AS b
    ON (a.dimension, a.period, a.member, a.format) = (b.dimension, b.period, b.member, b.format)
  LEFT JOIN ledger.member AS m ON m.id = coalesce(a.member, b.member)
 WHERE coalesce(a.sheets, 0) <> coalesce(b.sheets, 0)
   AND coalesce(a.period, b.period) NOT IN
       (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)
 ORDER BY 1
 LIMIT %(most)s

-- name: corrections_differ
-- Leaves that one of them takes for corrected, or for void, and the other one does not.
SELECT format('leaf %%s', coalesce(a.leaf, b.leaf)), coalesce(a.what, 'stands'), coalesce(b.what, 'stands'),
       count(*) OVER ()
  FROM (SELECT leaf, 'corrected by ' || by_leaf AS what FROM ledger.corrected
         WHERE book = %(former)s AND by_leaf >= %(pruned)s
         UNION ALL
        SELECT leaf, 'void' FROM ledger.void_correction WHERE book = %(former)s AND leaf >= %(pruned)s) AS a
  FULL JOIN (SELECT leaf, 'corrected by ' || by_leaf AS what FROM ledger.corrected
              WHERE book = %(book)s AND by_leaf >= %(pruned)s
              UNION ALL
             SELECT leaf, 'void' FROM ledger.void_correction WHERE book = %(book)s AND leaf >= %(pruned)s) AS b
    ON a.leaf = b.leaf
 WHERE a.what IS DISTINCT FROM b.what
 ORDER BY coalesce(a.leaf, b.leaf)
 LIMIT %(most)s

-- name: coarser_differ
-- Months and years in force that are not the sums of their days.
SELECT format('%%s over the %%s of %%s, %%s',
              (ARRAY['all', 'device', 'user', 'cost centre'])[coalesce(a.dimension, b.dimension) + 1],
              (ARRAY['month', 'year'])[coalesce(a.grain, b.grain)], coalesce(a.period, b.period),
              coalesce(m.name, '')),
       concat_ws(' ', a.jobs, a.failed, a.sheets, a.mono_impressions, a.colour_impressions, a.scan_pages,
                 a.fax_pages, a.amount, a.currency),
       concat_ws(' ', b.jobs, b.failed, b.sheets, b.mono_impressions, b.colour_impressions, b.scan_pages,
                 b.fax_pages, b.amount, b.currency),
       count(*) OVER ()
  FROM (SELECT * FROM ledger.rollup WHERE book = %(former)s AND grain > 0) AS a
  FULL JOIN (
       SELECT dimension, grain, date_trunc((ARRAY['month', 'year'])[grain], period::timestamp)::date AS period,
              member, kind, currency, sum(jobs) AS jobs, sum(failed) AS failed, sum(sheets) AS sheets,
              sum(mono_impressions) AS mono_impressions, sum(colour_impressions) AS colour_impressions,
              sum(scan_pages) AS scan_pages, sum(fax_pages) AS fax_pages, sum(amount) AS amount
         FROM (SELECT dimension, period, member, kind, currency, jobs, failed, sheets, mono_impressions,
                      colour_impressions, scan_pages, fax_pages, amount
                 FROM ledger.rollup WHERE book = %(former)s AND grain = 0) AS days
        CROSS JOIN generate_series(1, 2) AS grain
        GROUP BY 1, 2, 3, 4, 5, 6
  ) AS b
    ON (a.dimension, a.grain, a.period, a.member, a.kind, a.currency)
     = (b.dimension, b.grain, b.period, b.member, b.kind, b.currency)
  LEFT JOIN ledger.member AS m ON m.id = coalesce(a.member, b.member)
 WHERE (coalesce(a.jobs, 0), coalesce(a.failed, 0), coalesce(a.sheets, 0), coalesce(a.mono_impressions, 0),
        coalesce(a.colour_impressions, 0), coalesce(a.scan_pages, 0), coalesce(a.fax_pages, 0),
        coalesce(a.amount, 0))
    <> (coalesce(b.jobs, 0), coalesce(b.failed, 0), coalesce(b.sheets, 0), coalesce(b.mono_impressions, 0),
        coalesce(b.colour_impressions, 0), coalesce(b.scan_pages, 0), coalesce(b.fax_pages, 0),
        coalesce(b.amount, 0))
 ORDER BY 1
 LIMIT %(most)s

-- name: coarser_papers_differ
-- The same of sheets by format.
SELECT format('%%s by %%s over the %%s of %%s, %%s', coalesce(a.format, b.format),
              (ARRAY['all', 'device', 'user', 'cost centre'])[coalesce(a.dimension, b.dimension) + 1],
              (ARRAY['month', 'year'])[coalesce(a.grain, b.grain)], coalesce(a.period, b.period),
              coalesce(m.name, '')),
       coalesce(a.sheets, 0)::text, coalesce(b.sheets, 0)::text, count(*) OVER ()
  FROM (SELECT * FROM ledger.rollup_paper WHERE book = %(former)s AND grain > 0) AS a
  FULL JOIN (
       SELECT dimension, grain, date_trunc((ARRAY['month', 'year'])[grain], period::timestamp)::date AS period,
              member, format, sum(sheets) AS sheets
         FROM (SELECT dimension, period, member, format, sheets
                 FROM ledger.rollup_paper WHERE book = %(former)s AND grain = 0) AS days
        CROSS JOIN generate_series(1, 2) AS grain
        GROUP BY 1, 2, 3, 4, 5
  ) AS b
    ON (a.dimension, a.grain, a.period, a.member, a.format) = (b.dimension, b.grain, b.period, b.member, b.format)
  LEFT JOIN ledger.member AS m ON m.id = coalesce(a.member, b.member)
 WHERE coalesce(a.sheets, 0) <> coalesce(b.sheets, 0)
 ORDER BY 1
 LIMIT %(most)s

-- name: drop_lost_cells
-- Days that cannot be made anew have nothing of the new sums.
DELETE FROM ledger.cell
 WHERE book = %(book)s
   AND day IN (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)

-- name: drop_lost_days
-- The same, of sums by dimension.
DELETE FROM ledger.rollup
 WHERE book = %(book)s AND grain = 0
   AND period IN (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)

-- name: drop_lost_papers
-- The same, of sheets by format.
DELETE FROM ledger.rollup_paper
 WHERE book = %(book)s AND grain = 0
   AND period IN (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)

-- name: take_cells
-- Days that cannot be made anew keep the sums that they have.
INSERT INTO ledger.cell
SELECT %(book)s, day, person, device, cost_centre, kind, currency, jobs, failed, sheets, mono_impressions,
       colour_impressions, scan_pages, fax_pages, amount
  FROM ledger.cell
 WHERE book = %(former)s
   AND day IN (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)

-- name: take_days
-- The same, of sums by dimension.
INSERT INTO ledger.rollup
SELECT %(book)s, dimension, grain, period, member, kind, currency, jobs, failed, sheets, mono_impressions,
       colour_impressions, scan_pages, fax_pages, amount
  FROM ledger.rollup
 WHERE book = %(former)s AND grain = 0
   AND period IN (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)

-- name: take_papers
-- The same, of sheets by format.
INSERT INTO ledger.rollup_paper
SELECT %(book)s, dimension, grain, period, member, format, sheets
  FROM ledger.rollup_paper
 WHERE book = %(former)s AND grain = 0
   AND period IN (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)

-- name: take_touched
-- They were touched by what is not kept any more.
INSERT INTO ledger.touched AS was (book, day, leaf)
SELECT %(book)s, day, leaf FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s
    ON CONFLICT (book, day) DO UPDATE SET leaf = excluded.leaf

-- name: add_coarser
-- Months and years are the sums of their days.
INSERT INTO ledger.rollup
SELECT %(book)s, dimension, grain, date_trunc((ARRAY['month', 'year'])[grain], period::timestamp)::date AS start,
       member, kind, currency, sum(jobs), sum(failed), sum(sheets), sum(mono_impressions),
       sum(colour_impressions), sum(scan_pages), sum(fax_pages), sum(amount)
  FROM (SELECT dimension, period, member, kind, currency, jobs, failed, sheets, mono_impressions,
               colour_impressions, scan_pages, fax_pages, amount
          FROM ledger.rollup WHERE book = %(book)s AND grain = 0) AS days
 CROSS JOIN generate_series(1, 2) AS grain
 GROUP BY dimension, grain, start, member, kind, currency

-- name: add_coarser_papers
-- The same, of sheets by format.
INSERT INTO ledger.rollup_paper
SELECT %(book)s, dimension, grain, date_trunc((ARRAY['month', 'year'])[grain], period::timestamp)::date AS start,
       member, format, sum(sheets)
  FROM (SELECT dimension, period, member, format, sheets
          FROM ledger.rollup_paper WHERE book = %(book)s AND grain = 0) AS days
 CROSS JOIN generate_series(1, 2) AS grain
 GROUP BY dimension, grain, start, member, format

-- name: retire
-- The former sums are in force no longer.
UPDATE ledger.book SET in_force = false WHERE id = %(former)s

-- name: enforce
-- The new ones are.
UPDATE ledger.book SET in_force = true WHERE id = %(book)s

-- name: forget_cells
-- Delete a book, table by table.
DELETE FROM ledger.cell WHERE book = %(book)s

-- name: forget_rollups
-- The sums by dimension.
DELETE FROM ledger.rollup WHERE book = %(book)s

-- name: forget_papers
-- The sheets by format.
DELETE FROM ledger.rollup_paper WHERE book = %(book)s

-- name: forget_corrected
-- What was corrected.
DELETE FROM ledger.corrected WHERE book = %(book)s

-- name: forget_void
-- What was void.
DELETE FROM ledger.void_correction WHERE book = %(book)s

-- name: forget_touched
-- Which days were touched.
DELETE FROM ledger.touched WHERE book = %(book)s

-- name: forget_book
-- And itself, unless it is in force.
DELETE FROM ledger.book WHERE id = %(book)s AND NOT in_force
