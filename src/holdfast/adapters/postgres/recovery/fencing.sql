-- The fence of targets in Holdfast's own database, and the marks of practice runs behind it.

-- name: pass
-- Nothing comes back for who comes late. The row stays locked until the transaction ends.
INSERT INTO recovery.fence AS known (scope, run_id, epoch, turn)
VALUES (%(scope)s, %(run_id)s, %(epoch)s, %(turn)s)
ON CONFLICT (scope) DO UPDATE SET run_id = excluded.run_id, epoch = excluded.epoch, turn = excluded.turn,
                                  at = clock_timestamp()
WHERE (excluded.epoch, excluded.turn) >= (known.epoch, known.turn)
RETURNING epoch;

-- name: mark
SELECT value FROM recovery.mark WHERE name = %(name)s;

-- name: put_mark
INSERT INTO recovery.mark AS known (name, value) VALUES (%(name)s, %(value)s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, sets = known.sets + 1;
