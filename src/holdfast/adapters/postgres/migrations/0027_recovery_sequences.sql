-- Before a region is left by force, recovery's process tells how far each source of a ledger has come.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_recovery') THEN
        GRANT SELECT ON ledger.standing TO holdfast_recovery;
    END IF;
END $$;
