-- Frozen months. The table refuses UPDATE and DELETE; a correction is a row that names the one it corrects.

-- name: append_month
-- Two controllers that freeze the same month at once write one row: the second is absorbed.
INSERT INTO availability.month (agreement, starts_at, ends_at, formula, terms, figures, intervals_sha256, corrects)
VALUES (%(agreement)s, %(starts_at)s, %(ends_at)s, %(formula)s, %(terms)s, %(figures)s, %(sha256)s, %(corrects)s)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: months
SELECT id, agreement, starts_at, ends_at, formula, terms, figures, intervals_sha256, corrects, frozen_at
FROM availability.month ORDER BY id;

-- name: months_of
SELECT id, agreement, starts_at, ends_at, formula, terms, figures, intervals_sha256, corrects, frozen_at
FROM availability.month WHERE agreement = %(agreement)s AND starts_at = %(starts_at)s ORDER BY id;

-- name: first_transition
SELECT min(at) FROM availability.transition;
