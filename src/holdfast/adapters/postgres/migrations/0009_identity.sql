-- Who may use the console and the API.
--
-- No secret is ever in here in the clear: passwords as argon2id, tokens and sessions as SHA-256, second factors
-- encrypted.

CREATE SCHEMA identity;

CREATE TABLE identity.account (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
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
    failures       integer NOT NULL DEFAULT 0,
    locked_until   timestamptz,
    UNIQUE (issuer, subject),
    CHECK ((issuer IS NULL) = (subject IS NULL)),
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

CREATE TABLE identity.session (
    sha256       bytea PRIMARY KEY CHECK (length(sha256) = 32),
    account_id   uuid NOT NULL REFERENCES identity.account,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    confirmed_at timestamptz,
    address      text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN identity.session.confirmed_at IS 'When the second factor was given; without it nothing is open.';
CREATE INDEX session_of_account ON identity.session (account_id);

CREATE TABLE identity.token (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sha256       bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    name         text NOT NULL,
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by   text NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT USAGE ON SCHEMA identity TO holdfast_console;
        GRANT SELECT, INSERT, UPDATE ON identity.account, identity.recovery_code, identity.session, identity.token
            TO holdfast_console;
        GRANT DELETE ON identity.session, identity.recovery_code TO holdfast_console;
    END IF;
END $$;
