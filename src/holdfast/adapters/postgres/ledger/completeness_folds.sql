-- name: standings
-- How these sources' epochs stood.
SELECT s.source, s.epoch, s.lowest, s.highest, s.entries, s.leaf, s.received_at, s.occurred_at
  FROM unnest(%(sources)s::text[], %(epochs)s::bigint[]) AS asked (source, epoch)
  JOIN ledger.standing AS s
    ON s.tenant = %(tenant)s AND s.source = asked.source AND s.epoch = asked.epoch

-- name: gaps
-- The gaps that any of these ranges falls into: those that begin in it, and the last one that begins before.
SELECT DISTINCT g.source, g.epoch, g.first, g.last, g.since
  FROM unnest(%(sources)s::text[], %(epochs)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[])
    AS came (source, epoch, first, last)
 CROSS JOIN LATERAL (
       SELECT * FROM ledger.gap
        WHERE tenant = %(tenant)s AND source = came.source AND epoch = came.epoch
          AND first BETWEEN came.first AND came.last
        UNION ALL
       (SELECT * FROM ledger.gap
         WHERE tenant = %(tenant)s AND source = came.source AND epoch = came.epoch AND first < came.first
         ORDER BY first DESC LIMIT 1)
  ) AS g
 WHERE g.last >= came.first
 ORDER BY g.source, g.epoch, g.first

-- name: keep_standings
-- How they stand now.
INSERT INTO ledger.standing (tenant, source, epoch, lowest, highest, entries, leaf, received_at, occurred_at)
SELECT %(tenant)s, new.*
  FROM unnest(%(sources)s::text[], %(epochs)s::bigint[], %(lowests)s::bigint[], %(highests)s::bigint[],
              %(entries)s::bigint[], %(leaves)s::bigint[], %(received)s::timestamptz[],
              %(occurred)s::timestamptz[]) AS new
ON CONFLICT (tenant, source, epoch) DO UPDATE
   SET lowest = excluded.lowest, highest = excluded.highest, entries = excluded.entries, leaf = excluded.leaf,
       received_at = excluded.received_at, occurred_at = excluded.occurred_at

-- name: forget_gaps
-- Gaps that were filled, wholly or in part.
DELETE FROM ledger.gap AS g
 USING unnest(%(sources)s::text[], %(epochs)s::bigint[], %(firsts)s::bigint[]) AS gone (source, epoch, first)
 WHERE g.tenant = %(tenant)s AND g.source = gone.source AND g.epoch = gone.epoch AND g.first = gone.first

-- name: keep_gaps
-- Gaps that are new, or what is left of one.
INSERT INTO ledger.gap (tenant, source, epoch, first, last, since)
SELECT %(tenant)s, new.*
  FROM unnest(%(sources)s::text[], %(epochs)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[],
              %(since)s::timestamptz[]) AS new

-- name: clocks
-- The devices whose clock is or was off.
SELECT source, device, marked, first_leaf, last_leaf, since, last_at, off, right_leaf
  FROM ledger.clock
 WHERE tenant = %(tenant)s

-- name: keep_clock
-- How a clock stands now.
INSERT INTO ledger.clock (tenant, source, device, marked, first_leaf, last_leaf, since, last_at, off, right_leaf)
VALUES (%(tenant)s, %(source)s, %(device)s, %(marked)s, %(first_leaf)s, %(last_leaf)s, %(since)s, %(last_at)s,
        %(off)s, %(right_leaf)s)
ON CONFLICT (tenant, source, device) DO UPDATE
   SET marked = excluded.marked, last_leaf = excluded.last_leaf, since = excluded.since,
       last_at = excluded.last_at, off = excluded.off, right_leaf = excluded.right_leaf

-- name: runs
-- Which numbers came in a growth; of entries that retention took.
SELECT source, epoch, first, last, leaf
  FROM ledger.run
 WHERE log_id = %(log_id)s AND leaf >= %(from_size)s AND leaf < %(to_size)s
 ORDER BY leaf

-- name: metered_devices
-- The devices whose jobs are collected, and since when.
SELECT device, since FROM ledger.metered_device WHERE tenant = %(tenant)s AND since IS NOT NULL

-- name: to_meter
-- Devices with readings from a time from which on their jobs were not collected.
SELECT device, wanted
  FROM ledger.metered_device
 WHERE tenant = %(tenant)s AND (since IS NULL OR wanted < since)

-- name: came_since
-- The growth from which on entries came in at that time or later.
SELECT coalesce(min(from_size), %(position)s)
  FROM ledger.growth
 WHERE log_id = %(log_id)s AND at >= %(since)s AND from_size < %(position)s

-- name: hold_position
-- How far the fold has come, held until the transaction ends.
SELECT position FROM ledger.followed WHERE fold = %(fold)s AND log_id = %(log_id)s FOR UPDATE

-- name: forget_metered
-- The jobs of devices that are collected anew.
DELETE FROM ledger.metered AS m
 USING ledger.metered_device AS d
 WHERE d.id = m.device_id AND d.tenant = %(tenant)s AND d.device = ANY(%(devices)s)

-- name: keep_metered_device
-- A device's jobs are collected from then on.
UPDATE ledger.metered_device
   SET since = %(since)s, wanted = greatest(wanted, %(since)s)
 WHERE tenant = %(tenant)s AND device = %(device)s

-- name: corrected
-- Which of these leaves were corrected and by which, among the jobs of metered devices.
SELECT DISTINCT m.corrects, m.leaf
  FROM ledger.metered AS m
  JOIN ledger.metered_device AS d ON d.id = m.device_id
 WHERE d.tenant = %(tenant)s AND m.corrects = ANY(%(leaves)s)

-- name: keep_metered
-- Quantities of jobs.
INSERT INTO ledger.metered (device_id, occurred_at, leaf, sign, corrects, sheets, mono, colour, scan_pages,
                            fax_pages)
SELECT d.id, new.occurred_at, new.leaf, new.sign, new.corrects, new.sheets, new.mono, new.colour, new.scan_pages,
       new.fax_pages
  FROM unnest(%(devices)s::text[], %(occurred)s::timestamptz[], %(leaves)s::bigint[], %(signs)s::smallint[],
              %(corrects)s::bigint[], %(sheets)s::bigint[], %(mono)s::integer[], %(colour)s::integer[],
              %(scan_pages)s::integer[], %(fax_pages)s::integer[])
    AS new (device, occurred_at, leaf, sign, corrects, sheets, mono, colour, scan_pages, fax_pages)
  JOIN ledger.metered_device AS d ON d.tenant = %(tenant)s AND d.device = new.device
