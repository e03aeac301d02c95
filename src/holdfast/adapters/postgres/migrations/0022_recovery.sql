-- Recovery: runs of playbooks with their lease and epoch, and the revisions of the playbooks.

CREATE SCHEMA recovery;

CREATE TABLE recovery.run (
    id            text PRIMARY KEY,
    number        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    subject       text NOT NULL,
    playbook      text NOT NULL,
    moves_traffic boolean NOT NULL,
    state         text NOT NULL,
    run           jsonb NOT NULL,
    epoch         bigint NOT NULL DEFAULT 0,
    owner         text NOT NULL DEFAULT '',
    leased_until  timestamptz,
    leased_for    interval,
    started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (state IN ('running', 'cancelling', 'done', 'cancelled', 'needs operator', 'parked')),
    CHECK (num_nonnulls(leased_until, leased_for) <> 1),
    CHECK (octet_length(run::text) < 16777216)
);
COMMENT ON COLUMN recovery.run.run IS 'The run as it stands, with its playbook as it was when the run began.';
COMMENT ON COLUMN recovery.run.epoch IS 'Of whoever took it on last: what carries an older one is refused.';
COMMENT ON COLUMN recovery.run.leased_for IS
    'How long the lease is. One that ends later than so long from now was given before the clock went back.';

-- Two failovers of one cluster at a time would fence each other's side.
CREATE UNIQUE INDEX run_moves_traffic_once ON recovery.run (subject)
    WHERE moves_traffic AND state NOT IN ('done', 'cancelled');
CREATE INDEX run_active ON recovery.run (number) WHERE state IN ('running', 'cancelling');

-- Epochs never go back, and what is over stays as it is, whoever writes.
CREATE FUNCTION recovery.refuse_older() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF new.epoch < old.epoch OR new.id <> old.id OR old.state IN ('done', 'cancelled') AND new.state <> old.state THEN
        RAISE EXCEPTION 'run % is in epoch % and %, which stays', old.id, old.epoch, old.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER refuse_older BEFORE UPDATE ON recovery.run
    FOR EACH ROW EXECUTE FUNCTION recovery.refuse_older();
CREATE TRIGGER kept_for_ever BEFORE DELETE OR TRUNCATE ON recovery.run
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

CREATE TABLE recovery.epoch (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    last     bigint NOT NULL
);
INSERT INTO recovery.epoch (last) VALUES (0);
COMMENT ON TABLE recovery.epoch IS
    'The newest epoch of all runs. At least the time in seconds: epochs go on after this database was restored.';

CREATE TABLE recovery.playbook (
    name     text NOT NULL,
    revision integer NOT NULL CHECK (revision > 0),
    sha256   bytea NOT NULL CHECK (length(sha256) = 32),
    playbook jsonb NOT NULL,
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (name, revision)
);
COMMENT ON TABLE recovery.playbook IS 'Each playbook as it once was run, by revision.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON recovery.playbook
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

CREATE TABLE recovery.fence (
    scope  text PRIMARY KEY,
    run_id text NOT NULL,
    epoch  bigint NOT NULL,
    turn   bigint NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE recovery.fence IS 'The newest that each target in this database has heard of: older ones come late.';

CREATE TABLE recovery.mark (
    name  text PRIMARY KEY,
    value text NOT NULL,
    sets  bigint NOT NULL DEFAULT 1
);
COMMENT ON TABLE recovery.mark IS 'What practice runs set. It means nothing to anybody.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_recovery') THEN
        GRANT USAGE ON SCHEMA holdfast, estate, availability, recovery TO holdfast_recovery;
        GRANT SELECT ON ALL TABLES IN SCHEMA estate, availability TO holdfast_recovery;
        GRANT SELECT, INSERT ON holdfast.journal TO holdfast_recovery;
        GRANT SELECT, INSERT ON recovery.run, recovery.playbook, recovery.fence, recovery.mark
            TO holdfast_recovery;
        GRANT SELECT, UPDATE (last) ON recovery.epoch TO holdfast_recovery;
        GRANT UPDATE (state, run, epoch, owner, leased_until, leased_for, changed_at) ON recovery.run
            TO holdfast_recovery;
        GRANT UPDATE (run_id, epoch, turn, at) ON recovery.fence TO holdfast_recovery;
        GRANT UPDATE (value, sets) ON recovery.mark TO holdfast_recovery;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT USAGE ON SCHEMA recovery TO holdfast_console;
        GRANT SELECT, INSERT ON recovery.run, recovery.playbook TO holdfast_console;
        -- People start, approve, cancel and resume. They hold no lease, and no epoch is theirs to give.
        GRANT UPDATE (state, run, changed_at) ON recovery.run TO holdfast_console;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_controller') THEN
        GRANT USAGE ON SCHEMA recovery TO holdfast_controller;
        GRANT SELECT ON recovery.run TO holdfast_controller;
    END IF;
END $$;
