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
-- Finest sums that are not the same. What comes to nothing is as good as not there.
SELECT format('%%s %%s, %%s, device %%L, user %%L, cost centre %%L', (ARRAY['day', 'month'])[grain + 1], day,
              (ARRAY['print', 'scan', 'copy', 'fax'])[kind + 1], d.name, p.name, c.name),
       found.kept || ' ' || currency, found.made || ' ' || currency, count(*) OVER ()
  FROM (
       SELECT grain, day, person, device, cost_centre, kind, currency, max(told) FILTER (WHERE book = %(former)s) AS kept,
              max(told) FILTER (WHERE book = %(book)s) AS made
         FROM (
              SELECT *, concat_ws(' ', jobs, failed, sheets, mono_impressions, colour_impressions,
                                  scan_pages, fax_pages, amount) AS told
                FROM ledger.cell
               WHERE book IN (%(former)s, %(book)s)
         ) AS cell
        WHERE told <> '0 0 0 0 0 0 0 0'
        GROUP BY grain, day, person, device, cost_centre, kind, currency
  ) AS found
  LEFT JOIN ledger.member AS d ON d.id = device
  LEFT JOIN ledger.member AS p ON p.id = person
  LEFT JOIN ledger.member AS c ON c.id = cost_centre
 WHERE found.kept IS DISTINCT FROM found.made
 ORDER BY 1
 LIMIT %(most)s

-- name: sums_differ
-- Sums by dimension in force that are not what the finest ones made anew come to.
SELECT concat_ws(', ', format('%%s over the %%s of %%s',
                              (ARRAY['all', 'device', 'user', 'cost centre'])[found.dimension + 1],
                              (ARRAY['day', 'month', 'year'])[grain + 1], period),
                 m.name, (ARRAY['print', 'scan', 'copy', 'fax'])[kind + 1]),
       found.kept || ' ' || currency, found.made || ' ' || currency, count(*) OVER ()
  FROM (
       SELECT dimension, kind, grain, period, member, currency, max(told) FILTER (WHERE in_force) AS kept,
              max(told) FILTER (WHERE NOT in_force) AS made
         FROM (
              SELECT *, concat_ws(' ', jobs, failed, sheets, mono_impressions, colour_impressions,
                                  scan_pages, fax_pages, amount) AS told
                FROM (SELECT *, true AS in_force FROM ledger.sums WHERE book = %(former)s
                       UNION ALL
                      SELECT *, false FROM ledger.sums_of(%(book)s)) AS both_of_them
         ) AS sums
        WHERE told <> '0 0 0 0 0 0 0 0'
        GROUP BY dimension, kind, grain, period, member, currency
  ) AS found
  LEFT JOIN ledger.member AS m ON m.id = member
 WHERE found.kept IS DISTINCT FROM found.made
 ORDER BY 1
 LIMIT %(most)s

-- name: papers_differ
-- Sheets by format that are not the same: those over months and years are the sums of the days made anew.
SELECT concat_ws(', ', format('%%s by %%s over the %%s of %%s', format,
                              (ARRAY['all', 'device', 'user', 'cost centre'])[found.dimension + 1],
                              (ARRAY['day', 'month', 'year'])[grain + 1], period),
                 m.name),
       found.kept::text, found.made::text, count(*) OVER ()
  FROM (
       SELECT dimension, grain, period, member, format, sum(sheets) FILTER (WHERE in_force) AS kept,
              sum(sheets) FILTER (WHERE NOT in_force) AS made
         FROM (
              SELECT dimension, grain, period, member, format, sheets, true AS in_force
                FROM ledger.rollup_paper
               WHERE book = %(former)s
               UNION ALL
              SELECT dimension, coarser,
                     CASE coarser WHEN 0 THEN period
                         ELSE date_trunc((ARRAY['month', 'year'])[coarser], period::timestamp) END::date,
                     member, format, sheets, false
                FROM ledger.rollup_paper CROSS JOIN generate_series(0, 2) AS coarser
               WHERE book = %(book)s AND grain = 0
         ) AS both_of_them
        GROUP BY dimension, grain, period, member, format
  ) AS found
  LEFT JOIN ledger.member AS m ON m.id = member
 WHERE coalesce(found.kept, 0) <> coalesce(found.made, 0)
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

-- name: drop_lost_cells
-- Days that cannot be made anew have nothing of the new sums.
DELETE FROM ledger.cell
 WHERE book = %(book)s
   AND day IN (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)

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
 WHERE book = %(former)s AND grain = 0
   AND day IN (SELECT day FROM ledger.touched WHERE book = %(former)s AND leaf < %(pruned)s)

-- name: add_months
-- The cells of months are the sums of their days'.
INSERT INTO ledger.cell
SELECT book, date_trunc('month', day::timestamp)::date AS month, person, device, cost_centre, kind, currency, sum(jobs),
       sum(failed), sum(sheets), sum(mono_impressions), sum(colour_impressions), sum(scan_pages), sum(fax_pages),
       sum(amount), 1
  FROM ledger.cell
 WHERE book = %(book)s AND grain = 0
 GROUP BY book, month, person, device, cost_centre, kind, currency
 ORDER BY month, person, device

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

-- name: add_sums
-- Sums by dimension are what the finest ones come to, in the order in which reports read them.
INSERT INTO ledger.sums
SELECT * FROM ledger.sums_of(%(book)s) ORDER BY grain DESC, period, dimension, kind, member

-- name: add_coarser_papers
-- Sheets by format over months and years are the sums of their days.
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

-- name: forget_sums
-- The sums by dimension.
DELETE FROM ledger.sums WHERE book = %(book)s

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
