-- Vantage points and heartbeats: who may deliver results from elsewhere, and what called in by itself.
--
-- No secret is ever in here: a token is its SHA-256.

CREATE TABLE availability.vantage_point (
    key          text PRIMARY KEY,
    token_sha256 bytea NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
    added_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at   timestamptz,
    last_seen_at timestamptz,
    last_address text NOT NULL DEFAULT ''
);
COMMENT ON TABLE availability.vantage_point IS
    'A delivery locks its row: deliveries of one vantage point take turns, and none outlives its token.';

-- Results that an agent had to give up because its spool was full: how many, from when to when. An agent
-- repeats what was not acknowledged, with counts that may have grown meanwhile.
CREATE TABLE availability.agent_loss (
    vantage     text NOT NULL,
    id          uuid NOT NULL,
    check_id    integer NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    good        bigint NOT NULL,
    degraded    bigint NOT NULL,
    partial     bigint NOT NULL,
    failed      bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (vantage, id, check_id)
);

-- Beats: the newest of each token. A token that left the estate is no longer listened for, and a token that is
-- replaced begins anew.
CREATE TABLE availability.heartbeat (
    token_sha256 bytea PRIMARY KEY CHECK (length(token_sha256) = 32),
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at     timestamptz,
    beat_at      timestamptz,
    failed       boolean NOT NULL DEFAULT false,
    message      text NOT NULL DEFAULT '',
    beats        bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Since when somebody listens for beats without a break. While nobody does, a missing beat says nothing.
CREATE TABLE availability.ear (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    open_since timestamptz NOT NULL,
    open_until timestamptz NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_controller') THEN
        GRANT SELECT, INSERT ON availability.vantage_point, availability.agent_loss, availability.heartbeat,
            availability.ear TO holdfast_controller;
        GRANT UPDATE (token_sha256, added_at, revoked_at, last_seen_at, last_address)
            ON availability.vantage_point TO holdfast_controller;
        GRANT UPDATE (first_at, last_at, good, degraded, partial, failed, recorded_at)
            ON availability.agent_loss TO holdfast_controller;
        GRANT UPDATE (since, ended_at, beat_at, failed, message, beats)
            ON availability.heartbeat TO holdfast_controller;
        GRANT UPDATE (open_since, open_until) ON availability.ear TO holdfast_controller;
    END IF;
END $$;
