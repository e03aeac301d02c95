-- name: rows
-- Records of a year, typed: 2,000 people who each use two devices and one cost centre.
INSERT INTO raw
SELECT 'acme', 'spooler-1', 1, n, 'job-' || n, (ARRAY['print', 'print', 'scan', 'copy'])[1 + spread % 4],
       timestamptz '2025-01-01 00:00:00Z' + (spread / 8 % 31536000) * interval '1 second', NULL, 'spooler-1',
       'device-' || (person * 2 + spread % 2) % 200, lpad(to_hex(person * 7919771003), 16, '0'),
       'c' || person % 30, 'pdf', 1 + spread % 30, jsonb_build_object('A4', 1 + spread % 30),
       spread % 40, spread / 64 % 40, spread % 2 = 0, 'completed',
       jsonb_build_object('total', jsonb_build_object('amount', 1 + spread % 400, 'currency', 'EUR')), 'exact'
  FROM generate_series({first}::bigint, {last}::bigint) AS n
 CROSS JOIN LATERAL (
       SELECT hashint8extended(n, 1) & 9007199254740991 AS spread,
              (hashint8extended(n, 2) & 9007199254740991) % 2000 AS person
  ) AS made

-- name: begun
-- A log that stands there with so many leaves, and whose sums have come that far.
WITH log AS (
    INSERT INTO ledger.log (tenant, origin) VALUES ('acme', 'ledger.example/acme') RETURNING id
), growth AS (
    INSERT INTO ledger.growth
    SELECT id, 0, {last}, sha256(''), '', now() FROM log
), followed AS (
    INSERT INTO ledger.followed SELECT 'rollups', id, {last} FROM log
)
INSERT INTO ledger.book (log_id, time_zone, in_force, position) SELECT id, 'UTC', true, {last} FROM log

-- name: members
INSERT INTO ledger.member (log_id, dimension, name)
SELECT DISTINCT log.id, dimension, CASE dimension WHEN 1 THEN device WHEN 2 THEN "user" ELSE cost_centre END
  FROM (SELECT DISTINCT device, "user", cost_centre FROM raw) AS who
 CROSS JOIN generate_series(1, 3) AS dimension
 CROSS JOIN ledger.log

-- name: finest
INSERT INTO ledger.cell
SELECT book.id, r.day, person.id, device.id, cost_centre.id, array_position(ARRAY['print', 'scan', 'copy'], r.kind) - 1,
       'EUR', r.jobs, 0, r.sheets, r.mono, r.colour, 0, 0, r.amount
  FROM (
       SELECT (occurred_at AT TIME ZONE 'UTC')::date AS day, "user", device, cost_centre, kind, count(*) AS jobs,
              sum((sheets ->> 'A4')::integer) AS sheets, sum(mono_impressions) AS mono,
              sum(colour_impressions) AS colour, sum((prices -> 'total' ->> 'amount')::integer) AS amount
         FROM raw
        GROUP BY 1, 2, 3, 4, 5
  ) AS r
  JOIN ledger.book ON book.in_force
  JOIN ledger.member AS device ON device.dimension = 1 AND device.name = r.device
  JOIN ledger.member AS person ON person.dimension = 2 AND person.name = r."user"
  JOIN ledger.member AS cost_centre ON cost_centre.dimension = 3 AND cost_centre.name = r.cost_centre
 ORDER BY 1, 2, 3, 4, 5, 6

-- name: months
INSERT INTO ledger.cell
SELECT book, date_trunc('month', day::timestamp)::date AS month, person, device, cost_centre, kind, currency, sum(jobs),
       sum(failed), sum(sheets), sum(mono_impressions), sum(colour_impressions), sum(scan_pages), sum(fax_pages),
       sum(amount), 1
  FROM ledger.cell
 GROUP BY book, month, person, device, cost_centre, kind, currency
 ORDER BY month, person, device

-- name: coarser
INSERT INTO ledger.sums
SELECT made.*
  FROM ledger.book CROSS JOIN LATERAL ledger.sums_of(book.id) AS made
 ORDER BY made.grain DESC, made.period, made.dimension, made.kind, made.member

-- name: papers
INSERT INTO ledger.rollup_paper
SELECT book, dimension, grain, date_trunc((ARRAY['day', 'month', 'year'])[grain + 1], day::timestamp)::date AS period,
       CASE dimension WHEN 1 THEN device WHEN 2 THEN person WHEN 3 THEN cost_centre ELSE 0 END AS member, 'A4',
       sum(sheets)
  FROM (SELECT book, day, device, person, cost_centre, sheets FROM ledger.cell WHERE grain = 0) AS cell
 CROSS JOIN generate_series(0, 3) AS dimension CROSS JOIN generate_series(0, 2) AS grain
 GROUP BY book, dimension, grain, period, member
 ORDER BY grain DESC, period, dimension, member

-- name: room
-- Bytes of all that reports are read from, with its indexes.
SELECT sum(pg_total_relation_size(each))
  FROM unnest(ARRAY['ledger.cell', 'ledger.sums', 'ledger.rollup_paper', 'ledger.member']::regclass[]) AS each

-- name: by_raw
-- The same report out of the rows.
SELECT {time}, {member}, count(*), sum((sheets ->> 'A4')::integer), sum(mono_impressions),
       sum(colour_impressions), sum((prices -> 'total' ->> 'amount')::integer)
  FROM raw
 WHERE tenant = 'acme' AND occurred_at >= '{since}' AND occurred_at < '{until}' AND {only}
 GROUP BY 1, 2
