-- Who may do what with the logs: the process that serves them adds to them and changes nothing; who reads them
-- for people sees the tenant that it says it reads for, and nobody's when it says none.

CREATE TABLE ledger.one_region (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log_id     integer NOT NULL REFERENCES ledger.log,
    from_size  bigint NOT NULL,
    to_size    bigint NOT NULL CHECK (to_size > from_size),
    lsn        bigint NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    reached_at timestamptz
);
COMMENT ON TABLE ledger.one_region IS
    'Leaves [from_size, to_size) were acknowledged while the second region was away; `reached_at`: it has them.';
CREATE INDEX one_region_open ON ledger.one_region (lsn) WHERE reached_at IS NULL;

-- Who follows, and how far, is for those to see who may read all statistics: the owner of the tables, so that the
-- process which serves needs no more than its answer. LSNs are bytes from the WAL's beginning.
CREATE FUNCTION ledger.standby(name text, OUT permitted boolean, OUT followers integer, OUT flushed bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
           count(*)::integer,
           min(coalesce(pg_wal_lsn_diff(flush_lsn, '0/0'), 0))::bigint
      FROM pg_stat_replication
     WHERE application_name = name AND state IN ('catchup', 'streaming');
$$;
REVOKE EXECUTE ON FUNCTION ledger.standby FROM PUBLIC;

ALTER TABLE ledger.log ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.growth ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.segment ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.tile ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.run ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.conflict ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.published ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.one_region ENABLE ROW LEVEL SECURITY;

-- A setting that was made for one transaction is empty in the next one, not unset; and the empty name is that of
-- the log over all tenants' checkpoints.
CREATE POLICY of_the_tenant ON ledger.log FOR SELECT USING (
    tenant = nullif(current_setting('holdfast.tenant', true), '')
    OR current_setting('holdfast.tenant', true) = '*'
);
-- Inside a policy the log is read as its reader may read it.
CREATE POLICY of_the_tenant ON ledger.growth FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.segment FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.tile FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.run FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.conflict FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.published FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.one_region FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));

DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        GRANT USAGE ON SCHEMA holdfast, estate, ledger TO holdfast_ledger;
        GRANT SELECT ON ALL TABLES IN SCHEMA estate TO holdfast_ledger;
        GRANT SELECT, INSERT ON holdfast.journal TO holdfast_ledger;
        FOREACH name IN ARRAY
            ARRAY['log', 'growth', 'segment', 'tile', 'run', 'conflict', 'published', 'one_region']
        LOOP
            EXECUTE format('GRANT SELECT, INSERT ON ledger.%I TO holdfast_ledger', name);
            -- It serves all tenants.
            EXECUTE format('CREATE POLICY served ON ledger.%I TO holdfast_ledger USING (true)', name);
        END LOOP;
        GRANT EXECUTE ON FUNCTION ledger.standby TO holdfast_ledger;
        GRANT UPDATE (reached_at) ON ledger.one_region TO holdfast_ledger;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT USAGE ON SCHEMA ledger TO holdfast_console;
        GRANT SELECT ON ledger.log, ledger.growth, ledger.segment, ledger.tile, ledger.run, ledger.conflict,
            ledger.published, ledger.one_region TO holdfast_console;
    END IF;
END $$;
