-- The queries of the log of evidence.

-- name: take_turn
-- One appends at a time: each signs what is before its own. Ends with the transaction.
SELECT pg_advisory_xact_lock(7015, 60);

-- name: hashes
SELECT hash FROM recovery.evidence ORDER BY leaf;

-- name: append
INSERT INTO recovery.evidence (leaf, id, about, run, subject, scenario, drill, passed, ended_at, content, note)
VALUES (%(leaf)s, %(id)s, %(about)s, %(run)s, %(subject)s, %(scenario)s, %(drill)s, %(passed)s, %(ended_at)s,
        %(content)s, %(note)s)
RETURNING leaf, id, content, note, at;

-- name: entries
SELECT leaf, id, content, note, at FROM recovery.evidence WHERE leaf >= %(first)s ORDER BY leaf LIMIT %(most)s;

-- name: by_id
SELECT leaf, id, content, note, at FROM recovery.evidence WHERE id = %(id)s;

-- name: about
SELECT leaf, id, content, note, at FROM recovery.evidence WHERE about = %(id)s ORDER BY leaf;

-- name: newest
SELECT leaf, id, content, note, at FROM recovery.evidence
WHERE run IS NOT NULL AND (%(subject)s::text IS NULL OR subject = %(subject)s)
      AND (%(scenario)s::text IS NULL OR scenario = %(scenario)s)
      AND (%(before)s::bigint IS NULL OR leaf < %(before)s)
ORDER BY leaf DESC LIMIT %(most)s;

-- name: last_drilled
SELECT max(ended_at) FROM recovery.evidence WHERE subject = %(subject)s AND scenario = %(scenario)s AND passed;

-- name: grown
-- Without a row nothing is kept yet.
WITH seen AS (SELECT leaf, note, at FROM recovery.evidence_cosigned ORDER BY leaf DESC LIMIT 1)
SELECT newest.leaf + 1, newest.note, seen.leaf + 1, seen.note, seen.at,
       (SELECT at FROM recovery.evidence WHERE leaf = coalesce(seen.leaf + 1, 0)),
       waiting.reason, waiting.told, waiting.since
FROM (SELECT leaf, note FROM recovery.evidence ORDER BY leaf DESC LIMIT 1) AS newest
     LEFT JOIN seen ON true
     LEFT JOIN recovery.evidence_waiting AS waiting ON true;

-- name: cosigned
SELECT leaf + 1, note, at FROM recovery.evidence_cosigned ORDER BY leaf;

-- name: keep_cosigned
INSERT INTO recovery.evidence_cosigned (leaf, note) VALUES (%(leaf)s, %(note)s)
ON CONFLICT DO NOTHING RETURNING leaf;

-- name: go_on
DELETE FROM recovery.evidence_waiting RETURNING reason;

-- name: keep_waiting
-- A row comes back when that is new.
INSERT INTO recovery.evidence_waiting AS w (reason, told) VALUES (%(reason)s, %(told)s)
ON CONFLICT (only_one) DO UPDATE SET reason = excluded.reason, told = excluded.told, since = clock_timestamp()
    WHERE w.reason <> excluded.reason
RETURNING reason;

-- name: unrecorded
-- Runs that are over and have no evidence, the oldest first.
SELECT run.id FROM recovery.run AS run
WHERE run.state IN ('done', 'cancelled')
      AND NOT EXISTS (SELECT FROM recovery.evidence AS e WHERE e.run = run.id)
ORDER BY run.number LIMIT %(most)s;

-- name: drilled
SELECT subject, scenario, ended_at, data_bytes, rpo_target_ms, rpo_contract_ms, rpo_measured_ms,
       rto_target_ms, rto_contract_ms, rto_measured_ms
FROM recovery.drilled WHERE passed ORDER BY leaf DESC LIMIT %(most)s;

-- name: tell
-- Two who would tell the same at once wait for each other, and one of them has no row.
INSERT INTO recovery.told (key) VALUES (%(key)s) ON CONFLICT DO NOTHING RETURNING key;

-- name: journal
INSERT INTO holdfast.journal (actor, event, facts) VALUES (%(actor)s, %(event)s, %(facts)s);
