-- The foundation: the journal, the estate's registry, and availability.
--
-- What must never change is guarded here and not only in the program: the journal, transitions and results
-- refuse UPDATE and DELETE (partitions are dropped as a whole when their retention has passed), and a
-- timeline only grows.

CREATE SCHEMA IF NOT EXISTS holdfast;
CREATE SCHEMA estate;
CREATE SCHEMA availability;

CREATE FUNCTION holdfast.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'Append a correction instead.';
END $$;

CREATE TABLE holdfast.journal (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    event text NOT NULL,
    facts jsonb NOT NULL DEFAULT '{}'
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON holdfast.journal
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

-- The registry gives every component and check the id under which its history is kept. A removed one keeps
-- its row, so that its history stays readable, and gets the same id back when it returns.

CREATE TABLE estate.revision (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    applied_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_by    text NOT NULL,
    source_sha256 text NOT NULL,
    document      json NOT NULL
);

COMMENT ON COLUMN estate.revision.document IS 'json and not jsonb: the file''s order is the order on the page.';

CREATE TABLE estate.component (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster_key text NOT NULL,
    key         text NOT NULL,
    name        text NOT NULL,
    formerly    jsonb NOT NULL DEFAULT '[]',
    added_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed_at  timestamptz
);
COMMENT ON COLUMN estate.component.formerly IS 'The keys ("was:") that this row claimed when it was applied last.';
CREATE UNIQUE INDEX component_in_force ON estate.component (cluster_key, key) WHERE removed_at IS NULL;

CREATE TABLE estate.probe (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    component_id integer NOT NULL REFERENCES estate.component,
    key          text NOT NULL,
    formerly     jsonb NOT NULL DEFAULT '[]',
    added_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed_at   timestamptz
);
COMMENT ON TABLE estate.probe IS 'The checks of the estate ("check" is a reserved word in SQL).';
CREATE UNIQUE INDEX probe_in_force ON estate.probe (component_id, key) WHERE removed_at IS NULL;
CREATE INDEX probe_of_component ON estate.probe (component_id);

COMMENT ON COLUMN estate.probe.key IS 'The check''s key; of one that an agent runs key@vantage.';

-- How many vantage points must agree, per probe, from when on; one where nothing is said. Appended, so that
-- a change of the file does not change what was.
CREATE TABLE estate.quorum (
    probe_id integer NOT NULL REFERENCES estate.probe,
    at       timestamptz NOT NULL,
    needed   smallint NOT NULL CHECK (needed >= 1),
    PRIMARY KEY (probe_id, at)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON estate.quorum
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

-- Raw results: kept for days, partitioned by day. States and outcomes are the numbers of model.py.

CREATE TABLE availability.result (
    check_id       integer NOT NULL,
    at             timestamptz NOT NULL,
    outcome        smallint NOT NULL CHECK (outcome BETWEEN 0 AND 3),
    attempts       smallint NOT NULL,
    latency_bucket smallint NOT NULL,
    total_us       integer NOT NULL,
    resolve_us     integer,
    connect_us     integer,
    tls_us         integer,
    first_byte_us  integer,
    reason         text NOT NULL,
    PRIMARY KEY (check_id, at)
) PARTITION BY RANGE (at);
CREATE INDEX result_by_time ON availability.result USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
-- A statement's triggers are those of the table that it names: here the parent, in make_partition the children.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON availability.result
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

-- Roll-ups: one row per check and minute, hour or UTC day. The histogram is two parallel arrays ordered by
-- bucket (histogram.py); merging rows adds counts.

CREATE TABLE availability.rollup_minute (
    check_id integer NOT NULL,
    at       timestamptz NOT NULL,
    good     integer NOT NULL,
    degraded integer NOT NULL,
    failed   integer NOT NULL,
    buckets  smallint[] NOT NULL,
    counts   integer[] NOT NULL,
    PRIMARY KEY (check_id, at)
) PARTITION BY RANGE (at);
CREATE TABLE availability.rollup_hour (LIKE availability.rollup_minute INCLUDING ALL) PARTITION BY RANGE (at);
CREATE TABLE availability.rollup_day (LIKE availability.rollup_minute INCLUDING ALL) PARTITION BY RANGE (at);

-- Up to where each resolution is folded. A late result moves it back, and the fold is repeated from there.
CREATE TABLE availability.fold (
    resolution   text PRIMARY KEY CHECK (resolution IN ('minute', 'hour', 'day')),
    folded_until timestamptz NOT NULL
);

-- The truth behind every figure: a check is in `state` from `at` until its next transition. Because only
-- beginnings are stored, intervals can neither overlap nor leave a gap.

CREATE TABLE availability.transition (
    check_id    integer NOT NULL REFERENCES estate.probe,
    at          timestamptz NOT NULL,
    state       smallint NOT NULL CHECK (state BETWEEN 0 AND 5),
    reason      text NOT NULL,
    sample      boolean NOT NULL DEFAULT false,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (check_id, at)
);

CREATE FUNCTION availability.only_grow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    newest availability.transition;
BEGIN
    SELECT * INTO newest FROM availability.transition WHERE check_id = NEW.check_id ORDER BY at DESC LIMIT 1;
    IF newest.at >= NEW.at THEN
        -- The same transition again is a repeated batch (the answer to its commit was lost): absorbed.
        IF EXISTS (SELECT FROM availability.transition
                   WHERE check_id = NEW.check_id AND at = NEW.at AND state = NEW.state) THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION 'timeline of check % only grows: % is not after %', NEW.check_id, NEW.at, newest.at
            USING ERRCODE = 'check_violation', CONSTRAINT = 'timeline_only_grows';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER only_grow BEFORE INSERT ON availability.transition
    FOR EACH ROW EXECUTE FUNCTION availability.only_grow();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON availability.transition
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

-- What is known of each check now; rewritten with every flush, hence the room for in-place updates.
CREATE TABLE availability.check_state (
    check_id     integer PRIMARY KEY REFERENCES estate.probe,
    state        smallint NOT NULL,
    since        timestamptz NOT NULL,
    heard_at     timestamptz NOT NULL,
    known_until  timestamptz NOT NULL,
    silent_after timestamptz NOT NULL,
    reason       text NOT NULL,
    memory       jsonb NOT NULL
) WITH (fillfactor = 50);

-- One monitor records each share of the checks. Each take-over counts up, so that a monitor which lost its
-- connection learns whether another one has recorded since.
CREATE TABLE availability.lease (
    share smallint PRIMARY KEY,
    epoch bigint NOT NULL
);

-- Announced maintenance. The database's clock stamps the announcement: a notice cannot be back-dated.
CREATE TABLE availability.maintenance (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    announced_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    announced_by text NOT NULL,
    title        text NOT NULL,
    cancelled_at timestamptz,
    cancelled_by text,
    CHECK (starts_at < ends_at)
);
CREATE INDEX maintenance_by_end ON availability.maintenance (ends_at);
CREATE TABLE availability.maintenance_component (
    maintenance_id integer NOT NULL REFERENCES availability.maintenance,
    component_id   integer NOT NULL REFERENCES estate.component,
    PRIMARY KEY (maintenance_id, component_id)
);

-- Partitions are made and dropped through these two, so that the controller's role needs no right to change
-- tables. Both take the parent's bare name and refuse any other than the four above.

CREATE FUNCTION availability.make_partition(parent text, starts timestamptz, ends timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    child text := format('%s_%s', parent, to_char(starts, 'YYYYMMDD'));
BEGIN
    IF parent NOT IN ('result', 'rollup_minute', 'rollup_hour', 'rollup_day') THEN
        RAISE EXCEPTION 'not a partitioned table: %', parent;
    END IF;
    IF to_regclass(format('availability.%I', child)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Two that make the same partition at once would both find it missing, and one of them fail.
    PERFORM pg_advisory_xact_lock(7015, 2);
    EXECUTE format('CREATE TABLE IF NOT EXISTS availability.%I PARTITION OF availability.%I '
                   'FOR VALUES FROM (%L) TO (%L)', child, parent, starts, ends);
    IF parent = 'result' AND NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = format('availability.%I', child)::regclass AND tgname = 'append_only')
    THEN
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON availability.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change()', child);
    END IF;
END $$;

CREATE FUNCTION availability.drop_partitions(parent text, older_than timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    child text;
    ends timestamptz;
BEGIN
    IF parent NOT IN ('result', 'rollup_minute', 'rollup_hour', 'rollup_day') THEN
        RAISE EXCEPTION 'not a partitioned table: %', parent;
    END IF;
    FOR child, ends IN
        SELECT c.relname, (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = format('availability.%I', parent)::regclass
    LOOP
        IF ends <= older_than THEN
            EXECUTE format('DROP TABLE availability.%I', child);
            RETURN NEXT child;
        END IF;
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION availability.make_partition, availability.drop_partitions FROM PUBLIC;

-- Least privilege, where the roles exist (a database of your own may serve Holdfast with one role for all).
-- Neither role can update or delete what is append-only, even if the triggers were gone.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_controller') THEN
        GRANT USAGE ON SCHEMA holdfast, estate, availability TO holdfast_controller;
        GRANT SELECT ON ALL TABLES IN SCHEMA holdfast, estate, availability TO holdfast_controller;
        GRANT INSERT ON holdfast.journal, estate.revision, estate.component, estate.probe, estate.quorum,
            availability.result, availability.transition, availability.check_state, availability.fold,
            availability.lease,
            availability.rollup_minute, availability.rollup_hour, availability.rollup_day,
            availability.maintenance, availability.maintenance_component TO holdfast_controller;
        GRANT UPDATE (cluster_key, key, name, formerly, removed_at) ON estate.component TO holdfast_controller;
        GRANT UPDATE (key, formerly, removed_at) ON estate.probe TO holdfast_controller;
        GRANT UPDATE ON availability.check_state, availability.fold, availability.lease,
            availability.rollup_minute, availability.rollup_hour, availability.rollup_day TO holdfast_controller;
        GRANT UPDATE (cancelled_at, cancelled_by) ON availability.maintenance TO holdfast_controller;
        GRANT EXECUTE ON FUNCTION availability.make_partition, availability.drop_partitions TO holdfast_controller;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_site') THEN
        GRANT USAGE ON SCHEMA estate, availability TO holdfast_site;
        GRANT SELECT ON ALL TABLES IN SCHEMA estate, availability TO holdfast_site;
    END IF;
END $$;
