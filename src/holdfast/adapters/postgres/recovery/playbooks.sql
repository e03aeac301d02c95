-- The revisions of playbooks.

-- name: in_turn
-- Two who find the same change number it once.
SELECT pg_advisory_xact_lock(7016, hashtext(%(name)s));

-- name: newest
SELECT revision, sha256 FROM recovery.playbook WHERE name = %(name)s ORDER BY revision DESC LIMIT 1;

-- name: add
INSERT INTO recovery.playbook (name, revision, sha256, playbook)
VALUES (%(name)s, %(revision)s, %(sha256)s, %(playbook)s::jsonb);

-- name: journal
INSERT INTO holdfast.journal (at, actor, event, facts)
VALUES (clock_timestamp(), 'recovery', 'playbook.revised', %(facts)s);

-- name: all
SELECT playbook::text, since FROM recovery.playbook WHERE name = %(name)s ORDER BY revision DESC;
