-- Who may use the console and the API.
--
-- No secret is ever in here in the clear: passwords as argon2id; tokens, sessions, invitations and recovery
-- codes as SHA-256; second factors encrypted. The console's login alone reads any of it.

CREATE SCHEMA identity;

CREATE TABLE identity.account (
    id             uuid PRIMARY KEY,
    name           text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._@+-]{0,99}$'),
    full_name      text NOT NULL DEFAULT '',
    role           text NOT NULL CHECK (role IN ('viewer', 'communicator', 'operator', 'commander', 'admin')),
    customer       text,
    password_hash  text,
    totp_secret    bytea,
    totp_step      bigint,
    issuer         text,
    subject        text,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by     text NOT NULL,
    disabled_at    timestamptz,
    UNIQUE (issuer, subject),
    CHECK ((issuer IS NULL) = (subject IS NULL)),
    -- Whom a provider vouches for has no other way in.
    CHECK (issuer IS NULL OR (password_hash IS NULL AND totp_secret IS NULL)),
    -- A customer's account sees that customer's private page and nothing else.
    CHECK (customer IS NULL OR role = 'viewer')
);
COMMENT ON COLUMN identity.account.totp_step IS 'The newest time step that was used: a code works once.';

CREATE TABLE identity.recovery_code (
    account_id  uuid NOT NULL REFERENCES identity.account,
    code_sha256 bytea NOT NULL CHECK (length(code_sha256) = 32),
    used_at     timestamptz,
    PRIMARY KEY (account_id, code_sha256)
);

CREATE TABLE identity.invitation (
    account_id uuid PRIMARY KEY REFERENCES identity.account,
    sha256     bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE identity.invitation IS 'One for each account at most; gone once it is used or replaced.';

CREATE TABLE identity.session (
    sha256       bytea PRIMARY KEY CHECK (length(sha256) = 32),
    account_id   uuid NOT NULL REFERENCES identity.account,
    created_at   timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    confirmed_at timestamptz,
    address      text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN identity.session.confirmed_at IS 'When the second factor was given; without it nothing is open.';
CREATE INDEX session_of_account ON identity.session (account_id);
CREATE INDEX session_to_prune ON identity.session (expires_at);

CREATE TABLE identity.attempt (
    key          bytea PRIMARY KEY CHECK (length(key) = 32),
    failures     integer NOT NULL,
    last_at      timestamptz NOT NULL,
    paused_until timestamptz
);
COMMENT ON TABLE identity.attempt IS 'Logins that failed or are under way, by a hash of whom or whence.';
CREATE INDEX attempt_to_prune ON identity.attempt (last_at);

CREATE TABLE identity.token (
    id           uuid PRIMARY KEY,
    sha256       bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    name         text NOT NULL,
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL,
    created_by   text NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
-- The journal names a token by its name.
CREATE UNIQUE INDEX token_in_force_once ON identity.token (name) WHERE revoked_at IS NULL;

-- The audit trail is read by actor and by kind of event.
CREATE INDEX journal_by_actor ON holdfast.journal (actor, id DESC);
CREATE INDEX journal_by_event ON holdfast.journal (event text_pattern_ops, id DESC);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT USAGE ON SCHEMA identity TO holdfast_console;
        GRANT SELECT, INSERT ON identity.account, identity.recovery_code, identity.invitation, identity.session,
            identity.attempt, identity.token TO holdfast_console;
        -- A name, an id, a provider's subject and who made it stay as they are: the journal refers to them.
        GRANT UPDATE (full_name, role, customer, password_hash, totp_secret, totp_step, disabled_at)
            ON identity.account TO holdfast_console;
        GRANT UPDATE (used_at) ON identity.recovery_code TO holdfast_console;
        GRANT UPDATE (sha256, expires_at) ON identity.invitation TO holdfast_console;
        GRANT UPDATE (seen_at) ON identity.session TO holdfast_console;
        GRANT UPDATE (failures, last_at, paused_until) ON identity.attempt TO holdfast_console;
        -- What a token may do, and until when, is settled when it is made.
        GRANT UPDATE (revoked_at, last_used_at) ON identity.token TO holdfast_console;
        GRANT DELETE ON identity.session, identity.recovery_code, identity.invitation, identity.attempt
            TO holdfast_console;
    END IF;
END $$;
