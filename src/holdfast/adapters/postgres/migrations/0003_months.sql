-- Frozen months: what an agreement's month came to when it closed, and every correction of it.

CREATE TABLE availability.month (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agreement        text NOT NULL,
    month            text NOT NULL CHECK (month ~ '^\d{4}-\d{2}$'),
    starts_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL,
    formula          text NOT NULL,
    terms            json NOT NULL,
    figures          json NOT NULL,
    intervals_sha256 text NOT NULL CHECK (intervals_sha256 ~ '^[0-9a-f]{64}$'),
    corrects         bigint,
    frozen_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (starts_at < ends_at),
    CHECK (frozen_at >= ends_at),
    CHECK (corrects < id),
    UNIQUE (id, agreement, month),
    -- A correction is one of the same month.
    FOREIGN KEY (corrects, agreement, month) REFERENCES availability.month (id, agreement, month)
);
COMMENT ON COLUMN availability.month.month IS 'In the time zone that the agreement had when it closed.';
COMMENT ON COLUMN availability.month.terms IS 'What the figures were made by, the components with their ids included.';
-- One first row per month, and one correction per row: a chain, never a tree.
CREATE UNIQUE INDEX month_chain ON availability.month (agreement, month, coalesce(corrects, 0));
CREATE INDEX month_by_end ON availability.month (ends_at);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON availability.month
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_controller') THEN
        GRANT SELECT, INSERT ON availability.month TO holdfast_controller;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_site') THEN
        GRANT SELECT ON availability.month TO holdfast_site;
    END IF;
END $$;
