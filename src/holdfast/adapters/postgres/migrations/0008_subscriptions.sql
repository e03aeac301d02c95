-- Who asked to be told, what there is to tell, and what is on its way to whom.
--
-- Addresses are in here encrypted only, with a keyed hash to find them by; ending a subscription erases both.

CREATE TABLE communication.subscription (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    channel        text NOT NULL CHECK (channel IN ('mail', 'webhook', 'slack', 'teams')),
    address        bytea,
    address_hash   bytea CHECK (length(address_hash) = 32),
    language       text NOT NULL,
    topics         text[] NOT NULL,
    component_ids  integer[] NOT NULL,
    cluster_keys   text[] NOT NULL,
    customer       text,
    standing       text NOT NULL CHECK (standing IN ('pending', 'active', 'paused', 'ended')),
    confirm_sha256 bytea,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    confirmed_at   timestamptz,
    asked_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    asked          integer NOT NULL DEFAULT 1,
    failing_since  timestamptz,
    paused_at      timestamptz,
    ended_at       timestamptz,
    CHECK ((standing = 'ended') = (address IS NULL)),
    CHECK ((standing = 'ended') = (address_hash IS NULL))
);
CREATE UNIQUE INDEX subscription_once ON communication.subscription (channel, address_hash, coalesce(customer, ''))
    WHERE standing <> 'ended';
CREATE INDEX subscription_told ON communication.subscription (standing) WHERE standing = 'active';

CREATE TABLE communication.announcement (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    event         text NOT NULL,
    subject       text NOT NULL,
    told_at       timestamptz NOT NULL,
    component_ids integer[] NOT NULL,
    cluster_keys  text[] NOT NULL,
    audience      text[],
    notice        json NOT NULL,
    recipients    integer NOT NULL,
    -- The same thing announced twice, by two replicas or by a repeated transaction, is announced once.
    UNIQUE (event, subject, told_at)
);
CREATE INDEX announcement_of_subject ON communication.announcement (subject, at);

-- A delivery is there until it was made: a sender takes it for the length of a lease, delivers it, and marks it.
-- A sender that dies in between leaves it to be delivered again, under the same key.
CREATE TABLE communication.delivery (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key             uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    announcement_id uuid REFERENCES communication.announcement,
    subscription_id uuid REFERENCES communication.subscription,
    letter          bytea,
    channel         text NOT NULL,
    queued_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts        integer NOT NULL DEFAULT 0,
    leased_until    timestamptz,
    sent_at         timestamptz,
    given_up_at     timestamptz,
    last_error      text NOT NULL DEFAULT '',
    UNIQUE (announcement_id, subscription_id),
    CHECK (num_nonnulls(announcement_id, letter) = 1)
) WITH (fillfactor = 50);
COMMENT ON COLUMN communication.delivery.letter IS
    'What no announcement goes with (a request to confirm, a report), encrypted: recipient and content.';
CREATE INDEX delivery_waiting ON communication.delivery (channel, due_at, id)
    WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX delivery_of_subscription ON communication.delivery (subscription_id);

-- Whom a notice concerns. The one place that decides it: a dry run counts what an announcement would fan out to.
CREATE FUNCTION communication.audience(topic text, components integer[], clusters text[], customers text[])
RETURNS SETOF communication.subscription LANGUAGE sql STABLE AS $$
    SELECT * FROM communication.subscription AS s
    WHERE s.standing = 'active'
      AND topic = ANY (s.topics)
      AND (cardinality(s.component_ids) = 0 AND cardinality(s.cluster_keys) = 0
           OR s.component_ids && components OR s.cluster_keys && clusters)
      AND (customers IS NULL OR s.customer = ANY (customers))
$$;

CREATE FUNCTION communication.announce(
    event text, subject text, told_at timestamptz, components integer[], clusters text[], customers text[],
    notice json
) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    announced uuid;
    reached integer;
BEGIN
    INSERT INTO communication.announcement (event, subject, told_at, component_ids, cluster_keys, audience, notice,
                                            recipients)
    VALUES (event, subject, told_at, components, clusters, customers, notice, 0)
    ON CONFLICT ON CONSTRAINT announcement_event_subject_told_at_key DO NOTHING
    RETURNING id INTO announced;
    IF announced IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO communication.delivery (announcement_id, subscription_id, channel)
    SELECT announced, s.id, s.channel
    FROM communication.audience(split_part(event, '.', 1), components, clusters, customers) AS s;
    GET DIAGNOSTICS reached = ROW_COUNT;
    UPDATE communication.announcement SET recipients = reached WHERE id = announced;
    PERFORM pg_notify('holdfast_outbox', '');
    RETURN reached;
END $$;

DO $$
DECLARE
    writer text;
BEGIN
    FOREACH writer IN ARRAY ARRAY['holdfast_controller', 'holdfast_console'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = writer);
        -- Neither reads an address.
        EXECUTE format('GRANT SELECT (id, channel, language, topics, component_ids, cluster_keys, customer, standing, '
                       'created_at, confirmed_at, failing_since, paused_at, ended_at) '
                       'ON communication.subscription TO %I', writer);
        EXECUTE format('GRANT SELECT, INSERT ON communication.announcement TO %I', writer);
        EXECUTE format('GRANT UPDATE (recipients) ON communication.announcement TO %I', writer);
        EXECUTE format('GRANT INSERT ON communication.delivery TO %I', writer);
        EXECUTE format('GRANT SELECT (id, key, announcement_id, subscription_id, channel, queued_at, due_at, attempts, '
                       'leased_until, sent_at, given_up_at, last_error) ON communication.delivery TO %I', writer);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_site') THEN
        -- Visitors subscribe, confirm and unsubscribe on the site.
        GRANT SELECT, INSERT ON communication.subscription TO holdfast_site;
        GRANT UPDATE (address, address_hash, language, topics, component_ids, cluster_keys, standing, confirm_sha256,
                      confirmed_at, asked_at, asked, failing_since, paused_at, ended_at)
            ON communication.subscription TO holdfast_site;
        GRANT INSERT ON communication.delivery TO holdfast_site;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_sender') THEN
        GRANT USAGE ON SCHEMA holdfast, estate, communication TO holdfast_sender;
        GRANT SELECT ON ALL TABLES IN SCHEMA estate TO holdfast_sender;
        GRANT SELECT, INSERT ON holdfast.journal TO holdfast_sender;
        GRANT SELECT ON communication.subscription, communication.announcement, communication.delivery
            TO holdfast_sender;
        GRANT INSERT, DELETE ON communication.delivery TO holdfast_sender;
        GRANT UPDATE (due_at, attempts, leased_until, sent_at, given_up_at, last_error, letter)
            ON communication.delivery TO holdfast_sender;
        GRANT UPDATE (standing, failing_since, paused_at, ended_at, address, address_hash)
            ON communication.subscription TO holdfast_sender;
    END IF;
END $$;
