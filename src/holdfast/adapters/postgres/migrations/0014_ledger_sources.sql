-- Who the ledger is for and who may add to it: tenants, their sources, and the tokens of both.

CREATE TABLE ledger.tenant (
    key       text PRIMARY KEY CHECK (key ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name      text NOT NULL CHECK (name <> ''),
    time_zone text NOT NULL,
    keep_days integer CHECK (keep_days > 0),
    added_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN ledger.tenant.key IS 'It is in the name of the tenant''s log, and so never changes.';
COMMENT ON COLUMN ledger.tenant.keep_days IS 'For how long entries are kept; NULL: as the estate says.';

CREATE TABLE ledger.source (
    tenant     text NOT NULL REFERENCES ledger.tenant,
    key        text NOT NULL CHECK (key ~ '^[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}$'),
    kind       text NOT NULL CHECK (kind IN ('device', 'client', 'importer')),
    name       text NOT NULL CHECK (name <> ''),
    added_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz,
    PRIMARY KEY (tenant, key)
);
COMMENT ON COLUMN ledger.source.revoked_at IS 'It adds nothing any more. Its entries stay, and so does its key.';

CREATE TABLE ledger.token (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant       text NOT NULL REFERENCES ledger.tenant,
    source       text,
    scope        text NOT NULL CHECK (scope IN ('post', 'read')),
    name         text NOT NULL DEFAULT '',
    sha256       bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    added_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at   timestamptz,
    last_used_at timestamptz,
    FOREIGN KEY (tenant, source) REFERENCES ledger.source,
    CHECK ((scope = 'post') = (source IS NOT NULL))
);
COMMENT ON TABLE ledger.token IS 'What a source posts with, or a reader reads one tenant with. The secret is kept nowhere.';

CREATE TABLE ledger.importer (
    id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    source text NOT NULL,
    shown  bytea NOT NULL CHECK (length(shown) = 16),
    UNIQUE (tenant, source),
    FOREIGN KEY (tenant, source) REFERENCES ledger.source
);
COMMENT ON COLUMN ledger.importer.shown IS
    'Shows under which key the marks were made: under another one every line would look new.';

CREATE TABLE ledger.imported (
    importer   integer NOT NULL REFERENCES ledger.importer,
    mark       bytea NOT NULL CHECK (length(mark) = 16),
    occurrence integer NOT NULL CHECK (occurrence >= 0),
    seq        bigint NOT NULL CHECK (seq > 0),
    PRIMARY KEY (importer, mark, occurrence) INCLUDE (seq)
);
CREATE UNIQUE INDEX imported_seq_once ON ledger.imported (importer, seq);
COMMENT ON TABLE ledger.imported IS
    'Which number a line of an imported file has got: the same line of the same file gets it again.';
COMMENT ON COLUMN ledger.imported.mark IS 'A keyed hash of the line. Nobody can try out whose line it was.';
COMMENT ON COLUMN ledger.imported.occurrence IS 'Equal lines of one file are counted from 0.';

ALTER TABLE ledger.tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.source ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.token ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.importer ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.imported ENABLE ROW LEVEL SECURITY;

-- Who says no tenant sees none. What was imported is nobody's to read but the ledger's own.
CREATE POLICY of_the_tenant ON ledger.tenant FOR SELECT
    USING (current_setting('holdfast.tenant', true) IN (key, '*'));
CREATE POLICY of_the_tenant ON ledger.source FOR SELECT
    USING (current_setting('holdfast.tenant', true) IN (tenant, '*'));
CREATE POLICY of_the_tenant ON ledger.token FOR SELECT
    USING (current_setting('holdfast.tenant', true) IN (tenant, '*'));

DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        GRANT USAGE ON SCHEMA holdfast, ledger TO holdfast_ledger;
        GRANT INSERT ON holdfast.journal TO holdfast_ledger;
        FOREACH name IN ARRAY ARRAY['tenant', 'source', 'token', 'importer', 'imported'] LOOP
            EXECUTE format('GRANT SELECT, INSERT ON ledger.%I TO holdfast_ledger', name);
            EXECUTE format('CREATE POLICY served ON ledger.%I TO holdfast_ledger USING (true)', name);
        END LOOP;
        -- A key, a kind and a secret are given once.
        GRANT UPDATE (name, time_zone, keep_days) ON ledger.tenant TO holdfast_ledger;
        GRANT UPDATE (revoked_at) ON ledger.source TO holdfast_ledger;
        GRANT UPDATE (revoked_at, last_used_at) ON ledger.token TO holdfast_ledger;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT USAGE ON SCHEMA ledger TO holdfast_console;
        GRANT SELECT ON ledger.tenant, ledger.source TO holdfast_console;
        GRANT SELECT (id, tenant, source, scope, name, added_at, revoked_at, last_used_at) ON ledger.token
            TO holdfast_console;
    END IF;
END $$;
