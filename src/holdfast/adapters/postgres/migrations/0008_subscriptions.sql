-- Who asked to be told, what there is to tell, and what is on its way to whom.
--
-- Addresses are in here encrypted only, with a keyed hash to find them by; ending a subscription erases both.

CREATE TABLE communication.subscription (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    channel       text NOT NULL CHECK (channel IN ('mail', 'webhook', 'slack', 'teams')),
    address       bytea,
    address_hash  bytea CHECK (length(address_hash) = 32),
    language      text NOT NULL CHECK (length(language) BETWEEN 2 AND 35),
    topics        text[] NOT NULL CHECK (cardinality(topics) BETWEEN 1 AND 10),
    component_ids integer[] NOT NULL,
    cluster_keys  text[] NOT NULL,
    customer      text,
    standing      text NOT NULL CHECK (standing IN ('pending', 'active', 'paused', 'ended')),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    confirmed_at  timestamptz,
    asked_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    asked         timestamptz[] NOT NULL,
    failing_since timestamptz,
    refusals      integer NOT NULL DEFAULT 0,
    paused_at     timestamptz,
    ended_at      timestamptz,
    CHECK ((standing = 'ended') = (address IS NULL)),
    CHECK ((standing = 'ended') = (address_hash IS NULL))
);
COMMENT ON COLUMN communication.subscription.asked IS 'When requests to confirm were sent to this address, the newest ones.';
COMMENT ON COLUMN communication.subscription.asked_at IS 'The newest of `asked`.';
COMMENT ON COLUMN communication.subscription.refusals IS 'Mails in a row that the recipient''s server refused.';
CREATE UNIQUE INDEX subscription_once ON communication.subscription (channel, address_hash, coalesce(customer, ''))
    WHERE standing <> 'ended';
CREATE INDEX subscription_told ON communication.subscription (standing) WHERE standing = 'active';
CREATE INDEX subscription_asked ON communication.subscription (asked_at);

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
CREATE INDEX announcement_of_degradation ON communication.announcement (subject, told_at DESC)
    WHERE event LIKE 'degradation.%';

-- A delivery is there until it was made: a sender takes it for the length of a lease, delivers it, and marks it.
-- A sender that dies in between leaves it to be delivered again, under the same key; its next run need not wait
-- for the lease.
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
    holder          text,
    run             text,
    failing_since   timestamptz,
    sent_at         timestamptz,
    given_up_at     timestamptz,
    last_error      text NOT NULL DEFAULT '',
    UNIQUE (announcement_id, subscription_id),
    CHECK (num_nonnulls(announcement_id, letter) = 1),
    CHECK (announcement_id IS NULL OR subscription_id IS NOT NULL)
) WITH (fillfactor = 50);
COMMENT ON COLUMN communication.delivery.letter IS
    'What no announcement goes with (a request to confirm, a report), encrypted, its recipient too. Emptied when sent.';
COMMENT ON COLUMN communication.delivery.holder IS 'Who has the lease; `run` is its start, new with each.';
-- Letters first: somebody waits for them, whatever is announced to everybody meanwhile.
CREATE INDEX delivery_waiting ON communication.delivery (channel, (announcement_id IS NOT NULL), due_at, id)
    WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX delivery_waiting_of_subscription ON communication.delivery (subscription_id, id)
    WHERE sent_at IS NULL AND given_up_at IS NULL;
CREATE INDEX delivery_by_age ON communication.delivery USING brin (queued_at);

-- Whoever ends or pauses a subscription: what waits for it is dropped with it. As the owner, since those who may
-- end one (the site, for a visitor) may touch no delivery of others.
CREATE FUNCTION communication.drop_waiting() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM communication.delivery
    WHERE subscription_id = NEW.id AND sent_at IS NULL AND given_up_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER drop_waiting AFTER UPDATE OF standing ON communication.subscription FOR EACH ROW
    WHEN (NEW.standing IN ('ended', 'paused') AND OLD.standing <> NEW.standing)
    EXECUTE FUNCTION communication.drop_waiting();

-- Whom a notice concerns. The one place that decides it: a dry run counts what an announcement would fan out to.
CREATE FUNCTION communication.audience(topic text, components integer[], clusters text[], customers text[])
RETURNS TABLE (id uuid, channel text) LANGUAGE sql STABLE AS $$
    SELECT s.id, s.channel FROM communication.subscription AS s
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
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        -- An operator ends what somebody asks to have ended: the console erases an address, and never reads one.
        GRANT UPDATE (standing, ended_at, address, address_hash) ON communication.subscription TO holdfast_console;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_site') THEN
        -- Visitors subscribe, confirm and unsubscribe on the site. What they gave goes in and is not read again.
        GRANT INSERT ON communication.subscription TO holdfast_site;
        GRANT SELECT (id, channel, address_hash, language, topics, component_ids, cluster_keys, customer, standing,
                      created_at, confirmed_at, asked_at, asked, failing_since, paused_at, ended_at)
            ON communication.subscription TO holdfast_site;
        GRANT UPDATE (address, address_hash, language, topics, component_ids, cluster_keys, standing, confirmed_at,
                      asked_at, asked, failing_since, refusals, paused_at, ended_at)
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
        GRANT UPDATE (due_at, attempts, leased_until, holder, run, failing_since, sent_at, given_up_at, last_error,
                      letter) ON communication.delivery TO holdfast_sender;
        GRANT UPDATE (standing, confirmed_at, failing_since, refusals, paused_at, ended_at, address, address_hash)
            ON communication.subscription TO holdfast_sender;
    END IF;
END $$;
