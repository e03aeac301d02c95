-- Completeness: what sources sent and claim, what devices counted, and what of it does not fit together.
-- Standings, gaps, clocks and metered jobs are derived from the logs, and can be folded anew at any time.

CREATE TABLE ledger.standing (
    tenant      text NOT NULL,
    source      text NOT NULL,
    epoch       bigint NOT NULL,
    lowest      bigint NOT NULL,
    highest     bigint NOT NULL CHECK (highest >= lowest),
    entries     bigint NOT NULL,
    leaf        bigint NOT NULL,
    received_at timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, source, epoch)
);
COMMENT ON COLUMN ledger.standing.leaf IS 'Of its newest entry, which came in at `received_at`.';

CREATE TABLE ledger.gap (
    tenant text NOT NULL,
    source text NOT NULL,
    epoch  bigint NOT NULL,
    first  bigint NOT NULL,
    last   bigint NOT NULL CHECK (last >= first),
    since  timestamptz NOT NULL,
    PRIMARY KEY (tenant, source, epoch, first)
);
CREATE INDEX gap_by_age ON ledger.gap (tenant, since);
COMMENT ON TABLE ledger.gap IS 'Numbers between 1 and the highest that have not come. `since`: a later one came.';

CREATE TABLE ledger.clock (
    tenant      text NOT NULL,
    source      text NOT NULL,
    device      text NOT NULL,
    marked      bigint NOT NULL CHECK (marked > 0),
    first_leaf  bigint NOT NULL,
    last_leaf   bigint NOT NULL,
    since       timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    off         interval NOT NULL,
    right_leaf  bigint,
    PRIMARY KEY (tenant, source, device)
);
COMMENT ON COLUMN ledger.clock.off IS 'By how much the clock was off in the newest marked entry; ahead is positive.';
COMMENT ON COLUMN ledger.clock.right_leaf IS 'The entry with which it was well again: after `last_leaf`, or it is off now.';

CREATE TABLE ledger.claim (
    tenant   text NOT NULL,
    source   text NOT NULL,
    epoch    bigint NOT NULL,
    highest  bigint NOT NULL,
    lowest   bigint,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    again_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, source, epoch, highest)
);
COMMENT ON TABLE ledger.claim IS
    'What sources say they have given out. Those that came true go when a higher one comes.';

CREATE TABLE ledger.reading (
    tenant  text NOT NULL,
    device  text NOT NULL,
    counter text NOT NULL,
    read_at timestamptz NOT NULL,
    value   bigint NOT NULL CHECK (value >= 0),
    source  text NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, device, counter, source, read_at)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.reading
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();
COMMENT ON TABLE ledger.reading IS 'What a device''s own counters said, as a source read them: one source''s never stand in another''s way.';

CREATE TABLE ledger.metered_device (
    id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL,
    device text NOT NULL,
    wanted timestamptz NOT NULL,
    since  timestamptz,
    UNIQUE (tenant, device)
);
COMMENT ON TABLE ledger.metered_device IS
    'Devices with readings, the first one of `wanted`: their jobs from `since` on are in ledger.metered.';

CREATE TABLE ledger.metered (
    device_id   integer NOT NULL,
    sign        smallint NOT NULL CHECK (sign IN (1, -1)),
    occurred_at timestamptz NOT NULL,
    leaf        bigint NOT NULL,
    corrects    bigint,
    sheets      bigint,
    mono        integer,
    colour      integer,
    scan_pages  integer,
    fax_pages   integer,
    PRIMARY KEY (device_id, occurred_at, leaf, sign)
);
CREATE INDEX metered_corrected ON ledger.metered (corrects) WHERE corrects IS NOT NULL;
COMMENT ON TABLE ledger.metered IS
    'Quantities of the jobs of metered devices. NULL: the entry does not tell it. A correction takes its leaf out.';

CREATE TABLE ledger.settled (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant  text NOT NULL,
    what    text NOT NULL CHECK (what IN ('gap', 'conflict', 'meter')),
    subject text NOT NULL,
    epoch   bigint,
    first   bigint,
    last    bigint CHECK (last >= first),
    until   timestamptz,
    reason  text NOT NULL CHECK (reason <> ''),
    actor   text NOT NULL CHECK (actor <> ''),
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (CASE what WHEN 'gap' THEN num_nulls(epoch, first, last) = 0
                     WHEN 'conflict' THEN num_nulls(first, last) = 0
                     ELSE until IS NOT NULL END)
);
CREATE INDEX settled_of_tenant ON ledger.settled (tenant, what, subject);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.settled
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();
COMMENT ON TABLE ledger.settled IS
    'What an operator looked into and will not come right: numbers, conflicts'' leaves, a device''s meter until then.';

CREATE TABLE ledger.concern (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   text NOT NULL,
    kind     text NOT NULL,
    subject  text NOT NULL,
    since    timestamptz NOT NULL,
    facts    jsonb NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    told_at  timestamptz,
    over_at  timestamptz
);
CREATE UNIQUE INDEX concern_stands_once ON ledger.concern (tenant, kind, subject) WHERE over_at IS NULL;
COMMENT ON COLUMN ledger.concern.told_at IS 'When a process last took it to tell it to the operators.';
COMMENT ON TABLE ledger.concern IS 'What somebody must look into, from when on it was found until it was over.';

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['standing', 'gap', 'clock', 'claim', 'reading', 'metered_device', 'metered',
                                'settled', 'concern']
    LOOP
        EXECUTE format('ALTER TABLE ledger.%I ENABLE ROW LEVEL SECURITY', name);
        -- Inside a policy the devices are read as their reader may read them.
        EXECUTE format('CREATE POLICY of_the_tenant ON ledger.%I FOR SELECT USING (%s)', name, CASE name
            WHEN 'metered' THEN 'device_id IN (SELECT id FROM ledger.metered_device)'
            ELSE 'tenant = nullif(current_setting(''holdfast.tenant'', true), '''')'
                 ' OR current_setting(''holdfast.tenant'', true) = ''*''' END);
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
            EXECUTE format('GRANT SELECT, INSERT ON ledger.%I TO holdfast_ledger', name);
            EXECUTE format('CREATE POLICY served ON ledger.%I TO holdfast_ledger USING (true)', name);
        END IF;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
            EXECUTE format('GRANT SELECT ON ledger.%I TO holdfast_console', name);
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        GRANT USAGE ON SCHEMA holdfast, ledger TO holdfast_ledger;
        GRANT SELECT, INSERT ON holdfast.journal TO holdfast_ledger;
        -- Derived, or superseded: none of it is the log's.
        GRANT UPDATE ON ledger.standing, ledger.clock, ledger.metered_device TO holdfast_ledger;
        GRANT UPDATE (again_at, lowest) ON ledger.claim TO holdfast_ledger;
        GRANT UPDATE (over_at, told_at, facts) ON ledger.concern TO holdfast_ledger;
        GRANT DELETE ON ledger.gap, ledger.claim, ledger.metered TO holdfast_ledger;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT USAGE ON SCHEMA ledger TO holdfast_console;
    END IF;
END $$;
