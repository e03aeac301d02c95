-- Accounts, sessions, second factors and tokens.

-- name: write_journal
INSERT INTO holdfast.journal (at, actor, event, facts) VALUES (%(at)s, %(actor)s, %(event)s, %(facts)s);

-- name: make_attempts
-- Sorted, so that two who attempt at once lock the rows in the same order.
INSERT INTO identity.attempt (key, failures, last_at)
SELECT key, 0, %(now)s FROM unnest(%(keys)s::bytea[]) AS key ORDER BY key
ON CONFLICT DO NOTHING;

-- name: lock_attempts
SELECT key, failures, last_at, paused_until FROM identity.attempt
WHERE key = ANY(%(keys)s::bytea[]) ORDER BY key FOR UPDATE;

-- name: keep_attempt
UPDATE identity.attempt SET failures = %(failures)s, last_at = %(last_at)s, paused_until = %(paused_until)s
WHERE key = %(key)s;

-- name: forget_attempt
DELETE FROM identity.attempt WHERE key = %s;

-- name: accounts
SELECT id, name, full_name, role, customer, totp_secret IS NOT NULL, issuer, subject, disabled_at
FROM identity.account ORDER BY name;

-- name: kept
SELECT id, name, full_name, role, customer, totp_secret IS NOT NULL, issuer, subject, disabled_at,
       password_hash, totp_secret
FROM identity.account WHERE name = %s;

-- name: kept_by_id
SELECT id, name, full_name, role, customer, totp_secret IS NOT NULL, issuer, subject, disabled_at,
       password_hash, totp_secret
FROM identity.account WHERE id = %s;

-- name: vouched_for
SELECT id, name, full_name, role, customer, totp_secret IS NOT NULL, issuer, subject, disabled_at
FROM identity.account WHERE issuer = %s AND subject = %s;

-- name: lock_accounts
-- The one to change and all administrators, so that two of them cannot make each other the last but none.
SELECT id, name, full_name, role, customer, totp_secret IS NOT NULL, issuer, subject, disabled_at
FROM identity.account WHERE id = %(id)s OR role = 'admin' ORDER BY id FOR UPDATE;

-- name: add_account
INSERT INTO identity.account (id, name, full_name, role, customer, password_hash, issuer, subject, created_by)
VALUES (%(id)s, %(name)s, %(full_name)s, %(role)s, %(customer)s, %(password_hash)s, %(issuer)s, %(subject)s,
        %(created_by)s)
ON CONFLICT DO NOTHING;

-- name: change_account
UPDATE identity.account
SET full_name = %(full_name)s, role = %(role)s, customer = %(customer)s, disabled_at = %(disabled_at)s
WHERE id = %(id)s;

-- name: invite
INSERT INTO identity.invitation AS i (account_id, sha256, expires_at)
VALUES (%(account)s, %(sha256)s, %(expires_at)s)
ON CONFLICT (account_id) DO UPDATE SET sha256 = excluded.sha256, expires_at = excluded.expires_at;

-- name: invited
SELECT a.id, a.name, a.full_name, a.role, a.customer, a.totp_secret IS NOT NULL, a.issuer, a.subject, a.disabled_at
FROM identity.invitation i JOIN identity.account a ON a.id = i.account_id
WHERE i.sha256 = %(sha256)s AND i.expires_at > %(now)s AND a.disabled_at IS NULL;

-- name: use_invitation
DELETE FROM identity.invitation i USING identity.account a
WHERE a.id = i.account_id AND i.sha256 = %(sha256)s AND i.expires_at > %(now)s AND a.disabled_at IS NULL
RETURNING i.account_id;

-- name: forget_invitation
DELETE FROM identity.invitation WHERE account_id = %s;

-- name: set_password
UPDATE identity.account SET password_hash = %(hash)s WHERE id = %(id)s;

-- name: rehash
UPDATE identity.account SET password_hash = %(new)s WHERE id = %(id)s AND password_hash = %(old)s;

-- name: set_factor
UPDATE identity.account SET totp_secret = %(sealed)s, totp_step = %(step)s
WHERE id = %(id)s AND NOT (%(first)s AND totp_secret IS NOT NULL);

-- name: clear_factor
UPDATE identity.account SET totp_secret = NULL, totp_step = NULL WHERE id = %s;

-- name: forget_codes
DELETE FROM identity.recovery_code WHERE account_id = %s;

-- name: keep_codes
INSERT INTO identity.recovery_code (account_id, code_sha256) SELECT %(id)s, unnest(%(codes)s::bytea[]);

-- name: codes_left
SELECT count(*) FROM identity.recovery_code WHERE account_id = %s AND used_at IS NULL;

-- name: use_step
UPDATE identity.account SET totp_step = %(step)s
WHERE id = %(id)s AND totp_secret IS NOT NULL AND (totp_step IS NULL OR totp_step < %(step)s);

-- name: use_code
UPDATE identity.recovery_code SET used_at = %(now)s
WHERE account_id = %(id)s AND code_sha256 = %(sha256)s AND used_at IS NULL;

-- name: open_session
INSERT INTO identity.session (sha256, account_id, created_at, seen_at, expires_at, confirmed_at, address)
VALUES (%(sha256)s, %(account)s, %(created_at)s, %(seen_at)s, %(expires_at)s, %(confirmed_at)s, %(address)s);

-- name: session
SELECT s.sha256, s.account_id, s.created_at, s.seen_at, s.expires_at, s.confirmed_at, s.address,
       a.id, a.name, a.full_name, a.role, a.customer, a.totp_secret IS NOT NULL, a.issuer, a.subject, a.disabled_at
FROM identity.session s JOIN identity.account a ON a.id = s.account_id WHERE s.sha256 = %s;

-- name: sessions
SELECT sha256, account_id, created_at, seen_at, expires_at, confirmed_at, address
FROM identity.session WHERE account_id = %s ORDER BY created_at DESC;

-- name: touch
UPDATE identity.session SET seen_at = %(seen_at)s WHERE sha256 = %(sha256)s;

-- name: end_session
DELETE FROM identity.session WHERE sha256 = %s;

-- name: end_sessions
-- All of an account's but the one to keep, where one is to be kept.
DELETE FROM identity.session WHERE account_id = %(id)s AND sha256 IS DISTINCT FROM %(keep)s;

-- name: prune_sessions
DELETE FROM identity.session WHERE expires_at <= %s;

-- name: prune_attempts
DELETE FROM identity.attempt WHERE last_at < %s;

-- name: add_token
INSERT INTO identity.token (id, sha256, name, scopes, created_at, created_by, expires_at)
VALUES (%(id)s, %(sha256)s, %(name)s, %(scopes)s, %(created_at)s, %(created_by)s, %(expires_at)s)
ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING;

-- name: token
SELECT id, name, scopes, created_at, created_by, expires_at, revoked_at, last_used_at
FROM identity.token WHERE sha256 = %s;

-- name: tokens
SELECT id, name, scopes, created_at, created_by, expires_at, revoked_at, last_used_at
FROM identity.token ORDER BY created_at DESC, id;

-- name: revoke_token
UPDATE identity.token SET revoked_at = %(now)s WHERE id = %(id)s AND revoked_at IS NULL;

-- name: note_use
UPDATE identity.token SET last_used_at = %(at)s WHERE id = %(id)s;

-- name: trail
SELECT id, at, actor, event, facts FROM holdfast.journal
WHERE (%(before)s::bigint IS NULL OR id < %(before)s)
  AND (%(actor)s::text = '' OR actor = %(actor)s)
  AND (%(event)s::text = '' OR event LIKE %(pattern)s)
ORDER BY id DESC LIMIT %(limit)s;
