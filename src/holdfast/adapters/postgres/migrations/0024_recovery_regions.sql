-- What recovery's process may do when a cluster is moved: open its incident, and see how the ledger stands.

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_recovery') THEN
        GRANT USAGE ON SCHEMA communication, ledger TO holdfast_recovery;
        GRANT SELECT ON communication.incident, communication.incident_component, communication.incident_update,
            communication.incident_revision, communication.incident_change TO holdfast_recovery;
        GRANT INSERT ON communication.incident, communication.incident_component, communication.incident_update,
            communication.incident_revision, communication.incident_change TO holdfast_recovery;
        GRANT UPDATE (version, title, impact, phase, draft, began_at, published_at, resolved_at, merged_into)
            ON communication.incident TO holdfast_recovery;
        GRANT UPDATE (state), DELETE ON communication.incident_component TO holdfast_recovery;
        -- It reads no address.
        GRANT SELECT (id, channel, language, topics, component_ids, cluster_keys, customer, standing, created_at,
                      confirmed_at, failing_since, paused_at, ended_at)
            ON communication.subscription TO holdfast_recovery;
        GRANT SELECT, INSERT ON communication.announcement TO holdfast_recovery;
        GRANT UPDATE (recipients) ON communication.announcement TO holdfast_recovery;
        GRANT INSERT ON communication.delivery TO holdfast_recovery;
        GRANT SELECT (id, key, announcement_id, subscription_id, channel, queued_at, due_at, attempts, leased_until,
                      sent_at, given_up_at, last_error) ON communication.delivery TO holdfast_recovery;
        GRANT SELECT ON ledger.log, ledger.growth, ledger.published TO holdfast_recovery;
    END IF;
END $$;
