-- What runs as the owner looks nothing up among its caller's temporary tables: those come before all others
-- unless they are named last, and whoever may make one could hand it a catalogue of their own.

ALTER FUNCTION availability.make_partition(text, timestamptz, timestamptz) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION availability.drop_partitions(text, timestamptz) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION availability.make_metric_partitions(timestamptz) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION availability.drop_metric_partitions(text, timestamptz) SET search_path = pg_catalog, pg_temp;

DO $$
BEGIN
    -- What agents log in with is the controller's business alone.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        REVOKE SELECT ON availability.vantage_point FROM holdfast_console;
    END IF;
END $$;
