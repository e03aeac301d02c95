-- What a witness has cosigned of the log of evidence; and runs that are over may go, once their evidence is kept.

CREATE TABLE recovery.evidence_cosigned (
    leaf bigint PRIMARY KEY REFERENCES recovery.evidence (leaf),
    note text NOT NULL CHECK (length(note) <= 100000),
    at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE recovery.evidence_cosigned IS 'The checkpoint with this leaf as its last, with a witness''s cosignature.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON recovery.evidence_cosigned
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

CREATE TABLE recovery.evidence_waiting (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    reason   text NOT NULL,
    told     text NOT NULL,
    since    timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE recovery.evidence_waiting IS 'Why the newest entries are not cosigned. No row: nothing is known to stand in the way.';

-- What was run stays until its evidence is in the log, and a week at least: a request that is sent again must find
-- its run. Afterwards the evidence tells of it.
CREATE FUNCTION recovery.refuse_losing_run() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF old.state NOT IN ('done', 'cancelled') OR old.changed_at > clock_timestamp() - interval '7 days'
       OR NOT EXISTS (SELECT FROM recovery.evidence AS e WHERE e.run = old.id) THEN
        RAISE EXCEPTION 'run % is needed still', old.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN old;
END $$;
DROP TRIGGER kept_for_ever ON recovery.run;
CREATE TRIGGER kept_for_ever BEFORE TRUNCATE ON recovery.run
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();
CREATE TRIGGER kept_until_told BEFORE DELETE ON recovery.run
    FOR EACH ROW EXECUTE FUNCTION recovery.refuse_losing_run();
CREATE INDEX run_over ON recovery.run (changed_at) WHERE state IN ('done', 'cancelled');

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_recovery') THEN
        GRANT SELECT, INSERT (leaf, note) ON recovery.evidence_cosigned TO holdfast_recovery;
        GRANT SELECT, INSERT (reason, told), UPDATE (reason, told, since), DELETE
            ON recovery.evidence_waiting TO holdfast_recovery;
        GRANT DELETE ON recovery.run TO holdfast_recovery;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT SELECT ON recovery.evidence_cosigned, recovery.evidence_waiting TO holdfast_console;
    END IF;
END $$;
