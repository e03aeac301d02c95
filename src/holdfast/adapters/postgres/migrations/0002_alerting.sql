-- Alerting: what is open, who was told, who is left alone, and what is on its way to a channel.
--
-- No secret is ever in here: a channel is its key in the estate file, never its URL.

CREATE SCHEMA alerting;

-- A round of decisions names the version that it was made on. Rounds that were made on the same board cannot
-- both be stored, whoever leads: the later one finds the version moved on, and stores nothing.
CREATE TABLE alerting.round (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO alerting.round (version) VALUES (0);

CREATE TABLE alerting.alert (
    id          text PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('down', 'burn', 'budget', 'unknown')),
    subject     text NOT NULL,
    severity    smallint NOT NULL CHECK (severity BETWEEN 1 AND 2),
    opened_at   timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL,
    fired_at    timestamptz NOT NULL,
    paged_at    timestamptz,
    resolved_at timestamptz,
    summary     text NOT NULL,
    muted_by    text NOT NULL,
    agreements  text[] NOT NULL,
    components  text[] NOT NULL,
    facts       jsonb NOT NULL
) WITH (fillfactor = 50);
COMMENT ON COLUMN alerting.alert.fired_at IS 'The newest look that found it firing; rewritten with every look.';
CREATE UNIQUE INDEX alert_open_once ON alerting.alert (kind, subject) WHERE resolved_at IS NULL;
CREATE INDEX alert_by_opening ON alerting.alert (opened_at DESC);

CREATE TABLE alerting.told (
    channel   text NOT NULL,
    alert_id  text NOT NULL REFERENCES alerting.alert ON DELETE CASCADE,
    severity  smallint NOT NULL CHECK (severity BETWEEN 1 AND 2),
    told_at   timestamptz NOT NULL,
    group_key text NOT NULL,
    PRIMARY KEY (channel, alert_id)
);
CREATE INDEX told_of_alert ON alerting.told (alert_id);

CREATE TABLE alerting.silence (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pattern    text NOT NULL,
    reason     text NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at    timestamptz NOT NULL,
    ended_by   text
);
CREATE INDEX silence_by_end ON alerting.silence (ends_at);

-- A message is there until it was sent: a sender takes it for the length of a lease, sends it, and marks it.
-- A sender that dies between sending and marking leaves it to be sent again, under the same key.
CREATE TABLE alerting.outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key          uuid NOT NULL DEFAULT gen_random_uuid(),
    channel      text NOT NULL,
    group_key    text NOT NULL,
    title        text NOT NULL,
    body         text NOT NULL,
    severity     smallint CHECK (severity BETWEEN 1 AND 2),
    queued_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts     integer NOT NULL DEFAULT 0,
    leased_until timestamptz,
    sent_at      timestamptz,
    given_up_at  timestamptz,
    last_error   text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN alerting.outbox.attempts IS 'Counts leases: the holder of an older one can no longer fail it.';
CREATE INDEX outbox_waiting ON alerting.outbox (channel, group_key, id)
    WHERE sent_at IS NULL AND given_up_at IS NULL;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_controller') THEN
        GRANT USAGE ON SCHEMA alerting TO holdfast_controller;
        GRANT SELECT ON ALL TABLES IN SCHEMA alerting TO holdfast_controller;
        GRANT INSERT, DELETE ON alerting.alert, alerting.told, alerting.silence, alerting.outbox
            TO holdfast_controller;
        GRANT UPDATE ON alerting.round, alerting.alert, alerting.told TO holdfast_controller;
        GRANT UPDATE (ends_at, ended_by) ON alerting.silence TO holdfast_controller;
        GRANT UPDATE (due_at, attempts, leased_until, sent_at, given_up_at, last_error)
            ON alerting.outbox TO holdfast_controller;
    END IF;
END $$;
