-- Persons of whom no entry is kept any more: what is known of them goes with their entries.

CREATE TABLE ledger.leaving (
    tenant    text NOT NULL,
    pseudonym text NOT NULL,
    since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, pseudonym)
);
COMMENT ON TABLE ledger.leaving IS
    'Of these persons no entry was kept, since then. Who is told of again is taken out before their rows are read.';

-- Rows of persons are never changed, and go by ledger.forget alone.
DROP TRIGGER append_only ON ledger.person;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON ledger.person
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();
CREATE TRIGGER goes_by_forgetting BEFORE DELETE ON ledger.person
    FOR EACH STATEMENT WHEN (current_setting('holdfast.forgetting', true) IS DISTINCT FROM 'on')
    EXECUTE FUNCTION holdfast.refuse_change();

-- Takes away what is known of those who have been leaving for a day, where all of it was told before the time from
-- which on the tenant's entries are kept. Nothing while a legal hold stands. How many persons that were.
CREATE FUNCTION ledger.forget(whose text, pseudonyms text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET holdfast.forgetting = 'on' AS $$
DECLARE
    kept_from timestamptz := (SELECT max(p.older_than) FROM ledger.pruned AS p JOIN ledger.log AS l ON l.id = p.log_id
                               WHERE l.tenant = whose);
    forgotten bigint;
BEGIN
    IF kept_from IS NULL OR EXISTS (SELECT FROM ledger.hold WHERE tenant = whose AND lifted_at IS NULL) THEN
        RETURN 0;
    END IF;
    WITH due AS (
        -- Who looks one of them up at this moment waits here, or has taken them out before.
        DELETE FROM ledger.leaving AS l
         WHERE l.tenant = whose AND l.pseudonym = ANY (pseudonyms)
           AND l.since <= clock_timestamp() - interval '1 day'
           AND NOT EXISTS (SELECT FROM ledger.person AS p WHERE p.tenant = whose AND p.pseudonym = l.pseudonym
                              AND p.at >= kept_from)
        RETURNING l.pseudonym
    ), gone AS (
        DELETE FROM ledger.person AS p USING due WHERE p.tenant = whose AND p.pseudonym = due.pseudonym
        RETURNING p.pseudonym
    )
    SELECT count(DISTINCT pseudonym) INTO forgotten FROM gone;
    RETURN forgotten;
END $$;
REVOKE EXECUTE ON FUNCTION ledger.forget FROM PUBLIC;

ALTER TABLE ledger.leaving ENABLE ROW LEVEL SECURITY;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        -- Since when, the database's clock says.
        GRANT SELECT, INSERT (tenant, pseudonym), DELETE ON ledger.leaving TO holdfast_ledger;
        GRANT EXECUTE ON FUNCTION ledger.forget TO holdfast_ledger;
        CREATE POLICY serving ON ledger.leaving TO holdfast_ledger USING (true) WITH CHECK (true);
    END IF;
END $$;
