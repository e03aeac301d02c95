-- Evidence of drills and of real recoveries: a Merkle log of its own, of which nothing is ever changed.

CREATE TABLE recovery.evidence (
    leaf     bigint PRIMARY KEY CHECK (leaf >= 0),
    id       text NOT NULL UNIQUE CHECK (id <> ''),
    about    text REFERENCES recovery.evidence (id),
    run      text UNIQUE,
    subject  text,
    scenario text,
    drill    boolean,
    passed   boolean,
    ended_at timestamptz,
    content  bytea STORAGE EXTENDED NOT NULL CHECK (length(content) <= 1048576),
    hash     bytea NOT NULL GENERATED ALWAYS AS (sha256('\x00'::bytea || content)) STORED,
    note     text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((run IS NULL) = (about IS NOT NULL)),
    CHECK (num_nulls(run, subject, scenario, drill, passed) IN (0, 5))
);
COMMENT ON TABLE recovery.evidence IS 'A row per leaf. Two who append to the same size collide in the key.';
COMMENT ON COLUMN recovery.evidence.content IS 'The entry in its canonical form (RFC 8785): all else is found in it.';
COMMENT ON COLUMN recovery.evidence.hash IS 'The leaf hash of RFC 6962.';
COMMENT ON COLUMN recovery.evidence.note IS 'The signed checkpoint over this leaf and all before it.';
COMMENT ON COLUMN recovery.evidence.about IS 'A remark''s evidence. An evidence has a run instead.';
CREATE INDEX evidence_by_subject ON recovery.evidence (subject, scenario, leaf) WHERE run IS NOT NULL;
CREATE INDEX evidence_about ON recovery.evidence (about, leaf) WHERE about IS NOT NULL;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON recovery.evidence
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

-- A leaf stands behind the last one: no place is left out.
CREATE FUNCTION recovery.refuse_gap() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF new.leaf <> (SELECT count(*) FROM recovery.evidence) THEN
        RAISE EXCEPTION 'leaf % is not the next one', new.leaf USING ERRCODE = 'check_violation';
    END IF;
    RETURN new;
END $$;
CREATE TRIGGER no_gap BEFORE INSERT ON recovery.evidence
    FOR EACH ROW EXECUTE FUNCTION recovery.refuse_gap();

-- What a public page may show of drills: nobody's name, and nothing that was found.
CREATE VIEW recovery.drilled AS
    SELECT e.leaf, e.subject, e.scenario, e.drill, e.passed, e.ended_at,
           (told.it ->> 'data_bytes')::bigint AS data_bytes,
           (told.it #>> '{rpo,target_ms}')::bigint AS rpo_target_ms,
           (told.it #>> '{rpo,contract_ms}')::bigint AS rpo_contract_ms,
           (told.it #>> '{rpo,measured_ms}')::bigint AS rpo_measured_ms,
           (told.it #>> '{rto,target_ms}')::bigint AS rto_target_ms,
           (told.it #>> '{rto,contract_ms}')::bigint AS rto_contract_ms,
           (told.it #>> '{rto,measured_ms}')::bigint AS rto_measured_ms
      FROM recovery.evidence AS e
     CROSS JOIN LATERAL (SELECT convert_from(e.content, 'UTF8')::jsonb AS it) AS told
     WHERE e.run IS NOT NULL;

CREATE TABLE recovery.told (
    key text PRIMARY KEY,
    at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE recovery.told IS 'What people were told of drills: of several processes one tells it, once.';

DO $$
DECLARE
    reader text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_recovery') THEN
        -- When it was kept, the database's clock says.
        GRANT SELECT, INSERT (leaf, id, about, run, subject, scenario, drill, passed, ended_at, content, note)
            ON recovery.evidence TO holdfast_recovery;
        GRANT SELECT, INSERT (key) ON recovery.told TO holdfast_recovery;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT SELECT ON recovery.evidence, recovery.drilled TO holdfast_console;
    END IF;
    FOREACH reader IN ARRAY ARRAY['holdfast_recovery', 'holdfast_controller', 'holdfast_site'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader);
        EXECUTE format('GRANT USAGE ON SCHEMA recovery TO %I', reader);
        EXECUTE format('GRANT SELECT ON recovery.drilled TO %I', reader);
    END LOOP;
END $$;
