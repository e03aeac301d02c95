-- name: mark
-- Leaves that are acknowledged while the second region is away.
INSERT INTO ledger.one_region (log_id, from_size, to_size, lsn)
VALUES (%(log_id)s, %(from_size)s, %(to_size)s, %(lsn)s)

-- name: waiting
-- What the second region is not known to have.
SELECT log_id, from_size, to_size, lsn, at, reached_at
  FROM ledger.one_region
 WHERE reached_at IS NULL
 ORDER BY lsn, id

-- name: reached
-- The second region has everything up to there.
UPDATE ledger.one_region
   SET reached_at = clock_timestamp()
 WHERE reached_at IS NULL AND lsn <= %(up_to)s
