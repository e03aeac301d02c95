-- Frozen months. The table refuses UPDATE and DELETE; a correction is a row that names the one it corrects.

-- name: append_month
-- Two controllers that freeze the same month at once write one row: the second is absorbed. The database's clock
-- decides whether the month has closed: a controller whose clock runs ahead freezes nothing too early.
INSERT INTO availability.month
    (agreement, month, starts_at, ends_at, formula, terms, figures, intervals_sha256, corrects)
SELECT %(agreement)s, %(month)s, %(starts_at)s, %(ends_at)s, %(formula)s, %(terms)s, %(figures)s, %(sha256)s,
       %(corrects)s
WHERE clock_timestamp() >= %(ends_at)s
ON CONFLICT (agreement, month, coalesce(corrects, 0)) DO NOTHING;

-- name: months
SELECT id, agreement, month, starts_at, ends_at, formula, terms, figures, intervals_sha256, corrects, frozen_at
FROM availability.month
WHERE (%(agreement)s::text IS NULL OR agreement = %(agreement)s)
  AND (%(ended_after)s::timestamptz IS NULL OR ends_at > %(ended_after)s)
ORDER BY id;

-- name: months_of
SELECT id, agreement, month, starts_at, ends_at, formula, terms, figures, intervals_sha256, corrects, frozen_at
FROM availability.month WHERE agreement = %(agreement)s AND month = %(month)s ORDER BY id;

-- name: known_since
SELECT min(first.at) AS at
FROM estate.probe p
CROSS JOIN LATERAL (SELECT min(at) AS at FROM availability.transition WHERE check_id = p.id) first
WHERE p.component_id = ANY(%s);
