-- Finding: an index over each log's entries, which follows from them and can be folded anew, and the trail of who
-- read or exported what, which nobody changes.

CREATE TABLE ledger.finding (
    log_id        integer NOT NULL REFERENCES ledger.log,
    block         bigint NOT NULL CHECK (block >= 0),
    occurred_from timestamptz,
    occurred_to   timestamptz,
    terms         bytea STORAGE EXTERNAL NOT NULL CHECK (length(terms) = 16384),
    PRIMARY KEY (log_id, block)
);
COMMENT ON TABLE ledger.finding IS
    'What the 4,096 leaves from block * 4096 on may hold. Stored uncompressed: a look reads 64 bytes of it.';

CREATE TABLE ledger.mention (
    log_id integer NOT NULL REFERENCES ledger.log,
    leaf   bigint NOT NULL,
    by     bigint NOT NULL,
    what   text NOT NULL CHECK (what IN ('correction', 'conflict')),
    void   boolean NOT NULL,
    PRIMARY KEY (log_id, leaf, by)
);
CREATE INDEX mention_by ON ledger.mention (log_id, by);
COMMENT ON TABLE ledger.mention IS 'That the entry `by` corrects `leaf`, or came in conflict with it.';

CREATE TABLE ledger.access (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL CHECK (tenant <> ''),
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    who        text NOT NULL CHECK (who <> ''),
    way        text NOT NULL CHECK (way IN ('console', 'api', 'cli')),
    act        text NOT NULL CHECK (act IN ('read', 'export', 'trace')),
    wanted     jsonb NOT NULL,
    first_leaf bigint NOT NULL,
    end_leaf   bigint NOT NULL,
    also       bigint[] NOT NULL,
    entries    bigint
);
CREATE INDEX access_of_tenant ON ledger.access (tenant, id DESC);
COMMENT ON TABLE ledger.access IS
    'Written before anything is handed out: the leaves [first_leaf, end_leaf) that match `wanted`, and `also`.';

CREATE TABLE ledger.access_ended (
    access_id bigint PRIMARY KEY REFERENCES ledger.access,
    tenant    text NOT NULL,
    entries   bigint NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE ledger.access_ended IS 'Exports that were handed out whole, and how many entries that was.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.access
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.access_ended
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

ALTER TABLE ledger.finding ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.mention ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.access ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.access_ended ENABLE ROW LEVEL SECURITY;

CREATE POLICY of_the_tenant ON ledger.finding FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.mention FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
-- Also what is written to the trail: nobody can put a line into that of another tenant.
CREATE POLICY of_the_tenant ON ledger.access USING (
    tenant = nullif(current_setting('holdfast.tenant', true), '')
    OR current_setting('holdfast.tenant', true) = '*'
);
CREATE POLICY of_the_tenant ON ledger.access_ended USING (
    tenant = nullif(current_setting('holdfast.tenant', true), '')
    OR current_setting('holdfast.tenant', true) = '*'
);

DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        FOREACH name IN ARRAY ARRAY['finding', 'mention', 'access', 'access_ended'] LOOP
            EXECUTE format('GRANT SELECT, INSERT ON ledger.%I TO holdfast_ledger', name);
            EXECUTE format('CREATE POLICY served ON ledger.%I TO holdfast_ledger USING (true)', name);
        END LOOP;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT SELECT ON ledger.finding, ledger.mention TO holdfast_console;
        GRANT SELECT, INSERT ON ledger.access, ledger.access_ended TO holdfast_console;
    END IF;
END $$;
