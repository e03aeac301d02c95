-- Backups: for how long copies are kept, the changes that cut it and who approved them, and what was last known
-- of each region. What is restorable is told by the regions alone: here is only what pages show of it.

CREATE SCHEMA backup;

CREATE TABLE backup.keeping (
    database_key text NOT NULL,
    region_key   text NOT NULL,
    keep         jsonb NOT NULL,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (database_key, region_key)
);
COMMENT ON TABLE backup.keeping IS 'The Keep in force: the estate''s, or a wider one until two people approved.';

CREATE TABLE backup.retention_change (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    database_key text NOT NULL,
    region_key   text NOT NULL,
    from_keep    jsonb NOT NULL,
    to_keep      jsonb NOT NULL,
    asked_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    effective_at timestamptz,
    withdrawn_at timestamptz,
    CHECK (num_nonnulls(effective_at, withdrawn_at) <= 1)
);
CREATE UNIQUE INDEX retention_change_open_once ON backup.retention_change (database_key, region_key)
    WHERE effective_at IS NULL AND withdrawn_at IS NULL;

CREATE TABLE backup.retention_approval (
    change_id bigint NOT NULL REFERENCES backup.retention_change,
    person    text NOT NULL,
    actor     text NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (change_id, person)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON backup.retention_approval
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

CREATE TABLE backup.status (
    database_key text NOT NULL,
    region_key   text NOT NULL,
    reported_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    document     jsonb NOT NULL,
    PRIMARY KEY (database_key, region_key)
);
COMMENT ON TABLE backup.status IS 'What a region was last known to restore, for pages and metrics.';

DO $$
DECLARE
    reader text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_backup') THEN
        GRANT USAGE ON SCHEMA holdfast, estate, backup TO holdfast_backup;
        GRANT SELECT ON ALL TABLES IN SCHEMA estate TO holdfast_backup;
        GRANT SELECT, INSERT ON holdfast.journal TO holdfast_backup;
        GRANT SELECT, INSERT ON backup.keeping, backup.retention_change, backup.status TO holdfast_backup;
        GRANT UPDATE ON backup.keeping, backup.status TO holdfast_backup;
        GRANT UPDATE (effective_at, withdrawn_at) ON backup.retention_change TO holdfast_backup;
        GRANT DELETE ON backup.status TO holdfast_backup;
        -- It carries out what was approved, and approves nothing.
        GRANT SELECT ON backup.retention_approval TO holdfast_backup;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT USAGE ON SCHEMA backup TO holdfast_console;
        GRANT SELECT ON ALL TABLES IN SCHEMA backup TO holdfast_console;
        -- It approves, and carries out nothing.
        GRANT INSERT (change_id, person, actor) ON backup.retention_approval TO holdfast_console;
    END IF;
    FOREACH reader IN ARRAY ARRAY['holdfast_controller', 'holdfast_site'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader);
        EXECUTE format('GRANT USAGE ON SCHEMA backup TO %I', reader);
        EXECUTE format('GRANT SELECT ON backup.status TO %I', reader);
    END LOOP;
END $$;
