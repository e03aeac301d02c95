-- Incidents, and everything that was ever said about them.
--
-- The head of an incident is rewritten; what was said (updates, their revisions, changes) only grows.

CREATE SCHEMA communication;

CREATE TABLE communication.incident (
    id           text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    version      integer NOT NULL CHECK (version >= 1),
    title        text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    impact       text NOT NULL CHECK (impact IN ('none', 'minor', 'major', 'critical')),
    phase        text NOT NULL
                 CHECK (phase IN ('investigating', 'identified', 'monitoring', 'resolved', 'postmortem')),
    draft        boolean NOT NULL,
    began_at     timestamptz NOT NULL,
    declared_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    declared_by  text NOT NULL,
    published_at timestamptz,
    resolved_at  timestamptz,
    merged_into  text REFERENCES communication.incident,
    rule         text NOT NULL DEFAULT '',
    CHECK (merged_into <> id),
    CHECK (draft = (published_at IS NULL))
);
CREATE INDEX incident_by_beginning ON communication.incident (began_at DESC);
COMMENT ON COLUMN communication.incident.published_at IS 'The database''s clock, when it ceased to be a draft.';

-- The components as told last; what was told at each update is kept with it.
CREATE TABLE communication.incident_component (
    incident_id  text NOT NULL REFERENCES communication.incident,
    component_id integer NOT NULL REFERENCES estate.component,
    state        text NOT NULL,
    PRIMARY KEY (incident_id, component_id)
);
CREATE INDEX incident_of_component ON communication.incident_component (component_id);

CREATE TABLE communication.incident_update (
    id          text PRIMARY KEY CHECK (id ~ '^[a-z0-9]{12}$'),
    incident_id text NOT NULL REFERENCES communication.incident,
    number      integer NOT NULL,
    at          timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    phase       text NOT NULL,
    body        text NOT NULL,
    author      text NOT NULL,
    affected    jsonb NOT NULL,
    UNIQUE (incident_id, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON communication.incident_update
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

-- An edit: what the update says from then on. The newest revision counts, the others are its visible trail.
CREATE TABLE communication.incident_revision (
    update_id   text NOT NULL REFERENCES communication.incident_update,
    number      integer NOT NULL CHECK (number >= 1),
    body        text NOT NULL,
    shown_at    timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    author      text NOT NULL,
    PRIMARY KEY (update_id, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON communication.incident_revision
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

CREATE TABLE communication.incident_change (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id text NOT NULL REFERENCES communication.incident,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor       text NOT NULL,
    field       text NOT NULL,
    before      text NOT NULL,
    after       text NOT NULL
);
CREATE INDEX change_of_incident ON communication.incident_change (incident_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON communication.incident_change
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

DO $$
DECLARE
    writer text;
BEGIN
    -- The controller declares by rule, the console by hand.
    FOREACH writer IN ARRAY ARRAY['holdfast_controller', 'holdfast_console'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = writer);
        EXECUTE format('GRANT USAGE ON SCHEMA holdfast, estate, availability, communication TO %I', writer);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA estate, availability, communication TO %I', writer);
        EXECUTE format('GRANT SELECT, INSERT ON holdfast.journal TO %I', writer);
        EXECUTE format('GRANT INSERT ON communication.incident, communication.incident_component, '
                       'communication.incident_update, communication.incident_revision, '
                       'communication.incident_change TO %I', writer);
        EXECUTE format('GRANT UPDATE (version, title, impact, phase, draft, began_at, published_at, resolved_at, '
                       'merged_into) ON communication.incident TO %I', writer);
        EXECUTE format('GRANT UPDATE (state), DELETE ON communication.incident_component TO %I', writer);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_site') THEN
        GRANT USAGE ON SCHEMA communication TO holdfast_site;
        GRANT SELECT ON ALL TABLES IN SCHEMA communication TO holdfast_site;
    END IF;
END $$;
