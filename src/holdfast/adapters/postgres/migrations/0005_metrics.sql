-- Metrics that the estate names: one value a minute, and what hours and days came to. A minute without a value
-- has no row: it is a gap, never a zero.

CREATE TABLE availability.metric_minute (
    component_id integer NOT NULL REFERENCES estate.component,
    key          text NOT NULL,
    at           timestamptz NOT NULL,
    value        double precision NOT NULL,
    PRIMARY KEY (component_id, key, at)
) PARTITION BY RANGE (at);

-- Kept with every minute that is recorded, so that there is nothing to fold later.
CREATE TABLE availability.metric_hour (
    component_id integer NOT NULL,
    key          text NOT NULL,
    at           timestamptz NOT NULL,
    count        integer NOT NULL,
    lowest       double precision NOT NULL,
    total        double precision NOT NULL,
    highest      double precision NOT NULL,
    PRIMARY KEY (component_id, key, at)
) PARTITION BY RANGE (at);
CREATE TABLE availability.metric_day (LIKE availability.metric_hour INCLUDING ALL) PARTITION BY RANGE (at);

-- As make_partition and drop_partitions, for these tables. The partitions of all of them are months.

CREATE FUNCTION availability.make_metric_partitions(at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    starts timestamptz := date_trunc('month', at);
    parent text;
BEGIN
    -- Two that make the same partition at once would both find it missing, and one of them fail.
    PERFORM pg_advisory_xact_lock(7015, 2);
    FOREACH parent IN ARRAY ARRAY['metric_minute', 'metric_hour', 'metric_day'] LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS availability.%I PARTITION OF availability.%I '
                       'FOR VALUES FROM (%L) TO (%L)',
                       format('%s_%s', parent, to_char(starts, 'YYYYMMDD')), parent, starts,
                       starts + interval '1 month');
    END LOOP;
END $$;

CREATE FUNCTION availability.drop_metric_partitions(parent text, older_than timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    child text;
    ends timestamptz;
BEGIN
    IF parent NOT IN ('metric_minute', 'metric_hour', 'metric_day') THEN
        RAISE EXCEPTION 'not a table of metrics: %', parent;
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
REVOKE EXECUTE ON FUNCTION availability.make_metric_partitions, availability.drop_metric_partitions FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_controller') THEN
        GRANT SELECT, INSERT ON availability.metric_minute, availability.metric_hour, availability.metric_day
            TO holdfast_controller;
        GRANT UPDATE (count, lowest, total, highest) ON availability.metric_hour, availability.metric_day
            TO holdfast_controller;
        GRANT EXECUTE ON FUNCTION availability.make_metric_partitions, availability.drop_metric_partitions
            TO holdfast_controller;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_site') THEN
        GRANT SELECT ON availability.metric_minute, availability.metric_hour, availability.metric_day
            TO holdfast_site;
    END IF;
END $$;
