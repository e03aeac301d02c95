-- What is derived from the logs: how far each fold has come, and the sums that reports are read from. All of it
-- can be made anew out of the entries, and so it may be changed and deleted, which entries may not.

CREATE TABLE ledger.followed (
    fold     text NOT NULL CHECK (fold <> ''),
    log_id   integer NOT NULL REFERENCES ledger.log,
    position bigint NOT NULL CHECK (position >= 0),
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (fold, log_id)
);
COMMENT ON COLUMN ledger.followed.position IS
    'The leaves below it are folded in; it moves in the transaction that folds.';

CREATE TABLE ledger.book (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log_id    integer NOT NULL REFERENCES ledger.log,
    time_zone text NOT NULL,
    in_force  boolean NOT NULL,
    position  bigint NOT NULL DEFAULT 0,
    made_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX book_in_force_once ON ledger.book (log_id) WHERE in_force;
COMMENT ON TABLE ledger.book IS 'The sums of a log. Reports read the one in force; another one is made beside it.';
COMMENT ON COLUMN ledger.book.time_zone IS 'Its days are days of this zone: the tenant''s, when it was begun.';
COMMENT ON COLUMN ledger.book.position IS 'How far it was folded before it came into force; from then on: followed.';

CREATE TABLE ledger.member (
    id        integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log_id    integer NOT NULL REFERENCES ledger.log,
    dimension smallint NOT NULL CHECK (dimension BETWEEN 1 AND 3),
    name      text NOT NULL,
    UNIQUE (log_id, dimension, name)
);
COMMENT ON COLUMN ledger.member.dimension IS '1: device, 2: user, 3: cost centre';
COMMENT ON COLUMN ledger.member.name IS 'As records tell it; empty for those that do not.';

CREATE TABLE ledger.cell (
    book        integer NOT NULL,
    day         date NOT NULL,
    person      integer NOT NULL,
    device      integer NOT NULL,
    cost_centre integer NOT NULL,
    kind        smallint NOT NULL,
    currency    text NOT NULL,
    jobs               bigint NOT NULL,
    failed             bigint NOT NULL,
    sheets             bigint NOT NULL,
    mono_impressions   bigint NOT NULL,
    colour_impressions bigint NOT NULL,
    scan_pages         bigint NOT NULL,
    fax_pages          bigint NOT NULL,
    amount             numeric NOT NULL,
    PRIMARY KEY (book, day, person, device, cost_centre, kind, currency)
) WITH (fillfactor = 90);
COMMENT ON TABLE ledger.cell IS 'The finest sums: what a report is read from that asks for two dimensions at once.';
COMMENT ON COLUMN ledger.cell.kind IS '0: print, 1: scan, 2: copy, 3: fax';

CREATE TABLE ledger.rollup (
    book      integer NOT NULL,
    dimension smallint NOT NULL,
    grain     smallint NOT NULL,
    period    date NOT NULL,
    member    integer NOT NULL,
    kind      smallint NOT NULL,
    currency  text NOT NULL,
    jobs               bigint NOT NULL,
    failed             bigint NOT NULL,
    sheets             bigint NOT NULL,
    mono_impressions   bigint NOT NULL,
    colour_impressions bigint NOT NULL,
    scan_pages         bigint NOT NULL,
    fax_pages          bigint NOT NULL,
    amount             numeric NOT NULL,
    PRIMARY KEY (book, dimension, grain, period, member, kind, currency)
) WITH (fillfactor = 80);
COMMENT ON TABLE ledger.rollup IS 'Sums by one dimension, and by none (0), over days (0), months (1) and years (2).';

CREATE TABLE ledger.rollup_paper (
    book      integer NOT NULL,
    dimension smallint NOT NULL,
    grain     smallint NOT NULL,
    period    date NOT NULL,
    member    integer NOT NULL,
    format    text NOT NULL,
    sheets    bigint NOT NULL,
    PRIMARY KEY (book, dimension, grain, period, member, format)
) WITH (fillfactor = 80);
COMMENT ON TABLE ledger.rollup_paper IS 'Sheets by paper format, in the same way.';

CREATE TABLE ledger.corrected (
    book    integer NOT NULL,
    leaf    bigint NOT NULL,
    by_leaf bigint NOT NULL,
    PRIMARY KEY (book, leaf)
);
COMMENT ON TABLE ledger.corrected IS 'Leaves that count no more, and the ones that count in their place.';

CREATE TABLE ledger.void_correction (
    book integer NOT NULL,
    leaf bigint NOT NULL,
    PRIMARY KEY (book, leaf)
);
COMMENT ON TABLE ledger.void_correction IS 'Corrections that name nothing that could be corrected. They count nothing.';

CREATE TABLE ledger.touched (
    book integer NOT NULL,
    day  date NOT NULL,
    leaf bigint NOT NULL,
    PRIMARY KEY (book, day)
);
COMMENT ON TABLE ledger.touched IS
    'The first leaf that changed a day''s sums: once retention took it, that day cannot be made anew.';

ALTER TABLE ledger.followed ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.book ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.member ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.cell ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.rollup ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.rollup_paper ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.corrected ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.void_correction ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.touched ENABLE ROW LEVEL SECURITY;

-- Inside a policy the log, and so the book, is read as its reader may read it: one look for a statement.
CREATE POLICY of_the_tenant ON ledger.followed FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.book FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.member FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
CREATE POLICY of_the_tenant ON ledger.cell FOR SELECT USING (book IN (SELECT id FROM ledger.book));
CREATE POLICY of_the_tenant ON ledger.rollup FOR SELECT USING (book IN (SELECT id FROM ledger.book));
CREATE POLICY of_the_tenant ON ledger.rollup_paper FOR SELECT USING (book IN (SELECT id FROM ledger.book));
CREATE POLICY of_the_tenant ON ledger.corrected FOR SELECT USING (book IN (SELECT id FROM ledger.book));
CREATE POLICY of_the_tenant ON ledger.void_correction FOR SELECT USING (book IN (SELECT id FROM ledger.book));
CREATE POLICY of_the_tenant ON ledger.touched FOR SELECT USING (book IN (SELECT id FROM ledger.book));

DO $$
DECLARE
    each text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        GRANT SELECT, INSERT ON ledger.followed, ledger.book, ledger.member TO holdfast_ledger;
        GRANT UPDATE (position, at) ON ledger.followed TO holdfast_ledger;
        GRANT UPDATE (position, in_force), DELETE ON ledger.book TO holdfast_ledger;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.cell, ledger.rollup, ledger.rollup_paper,
            ledger.corrected, ledger.void_correction, ledger.touched TO holdfast_ledger;
        FOREACH each IN ARRAY ARRAY['followed', 'book', 'member', 'cell', 'rollup', 'rollup_paper', 'corrected',
                                    'void_correction', 'touched'] LOOP
            -- It serves all tenants.
            EXECUTE format('CREATE POLICY served ON ledger.%I TO holdfast_ledger USING (true)', each);
        END LOOP;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT SELECT ON ledger.followed, ledger.book, ledger.member, ledger.cell, ledger.rollup,
            ledger.rollup_paper, ledger.corrected, ledger.void_correction, ledger.touched TO holdfast_console;
    END IF;
END $$;
