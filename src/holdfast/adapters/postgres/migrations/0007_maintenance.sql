-- Maintenance as readers are told of it. What it takes out of counted time stays in availability.maintenance:
-- rows that only the database's clock announces. Time that is added later is a row of its own, announced then.

CREATE TABLE communication.series (
    id            text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    version       integer NOT NULL CHECK (version >= 1),
    title         text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    body          text NOT NULL,
    rule          text NOT NULL,
    time_zone     text NOT NULL,
    first_at      timestamptz NOT NULL,
    lasts         interval NOT NULL CHECK (lasts > interval '0'),
    component_ids integer[] NOT NULL,
    remind        interval[] NOT NULL DEFAULT '{}',
    starts_by_clock boolean NOT NULL,
    ends_by_clock   boolean NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by    text NOT NULL,
    ended_at      timestamptz,
    ended_by      text
);
COMMENT ON COLUMN communication.series.rule IS 'An RRULE of RFC 5545, in local time of time_zone, without DTSTART.';

CREATE TABLE communication.maintenance (
    id              text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    version         integer NOT NULL CHECK (version >= 1),
    title           text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    body            text NOT NULL,
    stage           text NOT NULL
                    CHECK (stage IN ('scheduled', 'in_progress', 'verifying', 'completed', 'cancelled')),
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL,
    starts_by_clock boolean NOT NULL,
    ends_by_clock   boolean NOT NULL,
    remind          interval[] NOT NULL DEFAULT '{}',
    reminded        interval[] NOT NULL DEFAULT '{}',
    began_at        timestamptz,
    ended_at        timestamptz,
    announced_at    timestamptz NOT NULL DEFAULT now(),
    announced_by    text NOT NULL,
    series_id       text REFERENCES communication.series,
    occurs_at       timestamptz,
    series_version  integer NOT NULL DEFAULT 0,
    CHECK (starts_at < ends_at),
    -- Two replicas that plan the next occurrence at once plan one.
    UNIQUE (series_id, occurs_at)
);
CREATE INDEX maintenance_by_end ON communication.maintenance (ends_at);
CREATE INDEX maintenance_unfinished ON communication.maintenance (starts_at)
    WHERE stage NOT IN ('completed', 'cancelled');
COMMENT ON COLUMN communication.maintenance.occurs_at IS 'Its place in the series, wherever it was moved to since.';

CREATE TABLE communication.maintenance_component (
    maintenance_id text NOT NULL REFERENCES communication.maintenance,
    component_id   integer NOT NULL REFERENCES estate.component,
    PRIMARY KEY (maintenance_id, component_id)
);

CREATE TABLE communication.maintenance_update (
    id             text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    maintenance_id text NOT NULL REFERENCES communication.maintenance,
    number         integer NOT NULL,
    at             timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    stage          text NOT NULL,
    body           text NOT NULL,
    author         text NOT NULL,
    affected       jsonb NOT NULL,
    UNIQUE (maintenance_id, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON communication.maintenance_update
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

CREATE TABLE communication.maintenance_change (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    maintenance_id text NOT NULL REFERENCES communication.maintenance,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor          text NOT NULL,
    field          text NOT NULL,
    before         text NOT NULL,
    after          text NOT NULL
);
CREATE INDEX change_of_maintenance ON communication.maintenance_change (maintenance_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON communication.maintenance_change
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

-- The rows that count belong to a maintenance now. One that began later or ended earlier than planned gives
-- back the difference: the window that counts is [greatest(starts_at, began_at), least(ends_at, ended_at)), and
-- whether it was announced in time is judged by starts_at. Of one that somebody has to start nothing counts
-- before that. A component that is no longer concerned is withdrawn.
ALTER TABLE availability.maintenance
    ADD COLUMN maintenance_id text REFERENCES communication.maintenance,
    ADD COLUMN began_at timestamptz,
    ADD COLUMN ended_at timestamptz,
    ADD COLUMN awaits_start boolean NOT NULL DEFAULT false;
ALTER TABLE availability.maintenance_component ADD COLUMN withdrawn_at timestamptz;
-- What begins by being announced begins at that very moment, which the transaction's time is for all of it.
ALTER TABLE availability.maintenance ALTER COLUMN announced_at SET DEFAULT now();
CREATE INDEX counted_of_maintenance ON availability.maintenance (maintenance_id);

-- What was planned before there was more to say about it.
WITH told AS (
    INSERT INTO communication.maintenance (id, version, title, body, stage, starts_at, ends_at, starts_by_clock,
                                           ends_by_clock, announced_at, announced_by, began_at, ended_at)
    SELECT left(md5('maintenance ' || id), 12), 1, coalesce(nullif(btrim(left(title, 200)), ''), 'Planned maintenance'),
           '', CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled' WHEN ends_at <= now() THEN 'completed'
                    WHEN starts_at <= now() THEN 'in_progress' ELSE 'scheduled' END,
           starts_at, ends_at, true, true, announced_at, announced_by,
           CASE WHEN cancelled_at IS NULL AND starts_at <= now() THEN starts_at END,
           CASE WHEN cancelled_at IS NULL AND ends_at <= now() THEN ends_at END
    FROM availability.maintenance
    RETURNING id
)
INSERT INTO communication.maintenance_component (maintenance_id, component_id)
SELECT left(md5('maintenance ' || c.maintenance_id), 12), c.component_id
FROM availability.maintenance_component c JOIN told ON told.id = left(md5('maintenance ' || c.maintenance_id), 12);
UPDATE availability.maintenance SET maintenance_id = left(md5('maintenance ' || id), 12);

DO $$
DECLARE
    writer text;
BEGIN
    FOREACH writer IN ARRAY ARRAY['holdfast_controller', 'holdfast_console'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = writer);
        EXECUTE format('GRANT SELECT ON communication.maintenance, availability.maintenance TO %I', writer);
        EXECUTE format('GRANT SELECT, INSERT ON communication.series, communication.maintenance_component, '
                       'communication.maintenance_update, communication.maintenance_change, '
                       'availability.maintenance_component TO %I', writer);
        -- Without announced_at: nobody says when something was announced but this database.
        EXECUTE format('REVOKE INSERT ON availability.maintenance FROM %I', writer);
        EXECUTE format('GRANT INSERT (starts_at, ends_at, title, announced_by, maintenance_id) '
                       'ON availability.maintenance TO %I', writer);
        EXECUTE format('GRANT INSERT (id, version, title, body, stage, starts_at, ends_at, starts_by_clock, '
                       'ends_by_clock, remind, reminded, began_at, ended_at, announced_by, series_id, occurs_at, '
                       'series_version) ON communication.maintenance TO %I', writer);
        EXECUTE format('GRANT UPDATE (version, title, body, rule, time_zone, first_at, lasts, component_ids, remind, '
                       'starts_by_clock, ends_by_clock, ended_at, ended_by) ON communication.series TO %I', writer);
        EXECUTE format('GRANT UPDATE (version, title, body, stage, starts_at, ends_at, starts_by_clock, ends_by_clock, '
                       'remind, reminded, began_at, ended_at, occurs_at, series_version) '
                       'ON communication.maintenance TO %I', writer);
        EXECUTE format('GRANT UPDATE (title, began_at, ended_at, awaits_start, cancelled_at, cancelled_by) '
                       'ON availability.maintenance TO %I', writer);
        EXECUTE format('GRANT UPDATE (withdrawn_at) ON availability.maintenance_component TO %I', writer);
        EXECUTE format('GRANT DELETE ON communication.maintenance_component TO %I', writer);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_site') THEN
        GRANT SELECT ON communication.series, communication.maintenance, communication.maintenance_component,
            communication.maintenance_update, communication.maintenance_change TO holdfast_site;
    END IF;
END $$;
