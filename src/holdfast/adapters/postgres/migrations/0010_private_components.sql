-- Whether a component's cluster is private, or was when the component was removed: what was told of it then is
-- still for nobody else.

ALTER TABLE estate.component ADD COLUMN private boolean NOT NULL DEFAULT false;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_controller') THEN
        GRANT UPDATE (private) ON estate.component TO holdfast_controller;
    END IF;
END $$;
