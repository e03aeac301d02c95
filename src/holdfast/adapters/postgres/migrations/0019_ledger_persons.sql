-- Persons beside the logs, their erasure, legal holds, and what retention takes of the entries.

CREATE TABLE ledger.person (
    tenant    text NOT NULL,
    pseudonym text NOT NULL,
    told      bytea NOT NULL CHECK (length(told) = 32),
    sealed    bytea NOT NULL,
    digest    bytea NOT NULL GENERATED ALWAYS AS (sha256(sealed)) STORED,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, pseudonym, told),
    UNIQUE (tenant, digest)
);
COMMENT ON TABLE ledger.person IS 'What was told of a person, sealed under a key that is not in the database.';
COMMENT ON COLUMN ledger.person.told IS 'A keyed hash of what was told, so that the same told again finds its row.';
COMMENT ON COLUMN ledger.person.digest IS 'What entries carry.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.person
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

CREATE TABLE ledger.erasure (
    tenant    text NOT NULL,
    pseudonym text NOT NULL,
    actor     text NOT NULL,
    reason    text NOT NULL,
    asked_at  timestamptz NOT NULL,
    done_at   timestamptz,
    PRIMARY KEY (tenant, pseudonym)
);
CREATE INDEX erasure_open ON ledger.erasure (asked_at) WHERE done_at IS NULL;
COMMENT ON COLUMN ledger.erasure.done_at IS 'When the last store of keys had destroyed theirs.';

CREATE TABLE ledger.hold (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant    text NOT NULL,
    reason    text NOT NULL,
    actor     text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lifted_at timestamptz,
    lifted_by text,
    CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);
CREATE UNIQUE INDEX hold_open_once ON ledger.hold (tenant) WHERE lifted_at IS NULL;
COMMENT ON TABLE ledger.hold IS 'Legal holds: while one is open nothing of the tenant is pruned, nobody erased.';

CREATE TABLE ledger.keeping (
    tenant    text NOT NULL,
    since     timestamptz NOT NULL DEFAULT clock_timestamp(),
    keep_days integer CHECK (keep_days > 0),
    PRIMARY KEY (tenant, since)
);
COMMENT ON TABLE ledger.keeping IS
    'For how many days entries are to be kept, as it was found declared; NULL: for ever. Each change is a row.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.keeping
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

CREATE TABLE ledger.pruned (
    log_id     integer NOT NULL REFERENCES ledger.log,
    up_to      bigint NOT NULL CHECK (up_to > 0),
    older_than timestamptz NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (log_id, up_to)
);
COMMENT ON TABLE ledger.pruned IS
    'Entries below `up_to` are no longer kept, rightly: a segment that is missing anywhere else is damage.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.pruned
    FOR EACH STATEMENT EXECUTE FUNCTION holdfast.refuse_change();

-- For how many days entries are kept, by all that was declared in the last seven; NULL: for ever. What is shorter
-- than before counts a week later: a slip of the pen takes nothing away, nor does who breaks in for a day.
CREATE FUNCTION ledger.keep_in_force(whose text) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH counts AS (
        (SELECT keep_days, since FROM ledger.keeping
          WHERE tenant = whose AND since <= clock_timestamp() - interval '7 days' ORDER BY since DESC LIMIT 1)
        UNION ALL
        SELECT keep_days, since FROM ledger.keeping
         WHERE tenant = whose AND since > clock_timestamp() - interval '7 days'
    )
    SELECT CASE WHEN min(since) <= clock_timestamp() - interval '7 days' AND count(*) = count(keep_days)
                THEN max(keep_days) END
      FROM counts;
$$;

-- What may go of each log now, and why not more. The one place that decides: also against whoever serves.
--   old        growths from before `older_than`, from the beginning of the log on
--   published  in a checkpoint that was handed out, so that proofs of what goes can be verified for ever
--   tiled      in full tiles, since hashes of leaves that are in none are reckoned from the entries
--   folded     read by each of these folds
--   settled    from before the first thing that somebody must still look into: a gap, a conflict, a meter
CREATE FUNCTION ledger.prunable(
    of_log integer, keep_days integer, folds text[], OUT older_than timestamptz,
    OUT size bigint, OUT old bigint, OUT published bigint, OUT tiled bigint, OUT folded bigint,
    OUT settled bigint, OUT pruned bigint, OUT up_to bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH head AS (
        SELECT coalesce((SELECT g.to_size FROM ledger.growth AS g WHERE g.log_id = of_log
                          ORDER BY g.from_size DESC LIMIT 1), 0) AS size,
               coalesce((SELECT max(p.up_to) FROM ledger.pruned AS p WHERE p.log_id = of_log), 0) AS pruned,
               clock_timestamp() - make_interval(days => keep_days) AS older_than,
               (SELECT min(c.since) FROM ledger.concern AS c JOIN ledger.log AS l ON l.tenant = c.tenant
                 WHERE l.id = of_log AND c.over_at IS NULL
                   AND c.kind IN ('gap_overdue', 'conflict_found', 'meter_differs')) AS unsettled
    ), aged AS (
        SELECT head.*,
               -- Not the number of old growths: after a clock went back an older one may follow a younger one.
               coalesce((SELECT min(g.from_size) FROM ledger.growth AS g
                          WHERE g.log_id = of_log AND g.from_size >= head.pruned
                            AND (g.at >= head.older_than) IS NOT FALSE), head.size) AS old
          FROM head
    ), ends AS (
        SELECT aged.*,
               coalesce((SELECT max(p.size) FROM ledger.published AS p WHERE p.log_id = of_log), 0) AS published,
               size - size % 256 AS tiled,
               CASE WHEN cardinality(folds) = 0 THEN size
                    ELSE coalesce((SELECT min(coalesce(f.position, 0))
                                     FROM unnest(folds) AS wanted (fold)
                                     LEFT JOIN ledger.followed AS f
                                            ON f.fold = wanted.fold AND f.log_id = of_log), 0) END AS folded,
               -- Among the old ones alone: growths may be as many as entries.
               coalesce((SELECT min(g.from_size) FROM ledger.growth AS g
                          WHERE g.log_id = of_log AND g.from_size >= aged.pruned AND g.from_size < aged.old
                            AND g.at >= aged.unsettled), size) AS settled
          FROM aged
    ), bounded AS (
        SELECT ends.*, least(old, published, tiled, folded, settled) AS most FROM ends
    )
    SELECT older_than, size, old, published, tiled, folded, settled, pruned,
           -- Whole growths, and never less than went before.
           greatest(pruned, coalesce((SELECT g.to_size FROM ledger.growth AS g
                                       WHERE g.log_id = of_log AND g.from_size < most AND g.to_size <= most
                                       ORDER BY g.from_size DESC LIMIT 1), 0))
      FROM bounded;
$$;

-- Declares what of a log is no longer kept; sweeping takes it away. Returns up to where.
CREATE FUNCTION ledger.prune(of_log integer, folds text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    whose text := (SELECT tenant FROM ledger.log WHERE id = of_log);
    found record;
BEGIN
    IF coalesce(whose, '') = '' THEN
        RAISE EXCEPTION 'not a tenant''s log: %', of_log USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(7015, 20);
    SELECT * INTO found FROM ledger.prunable(of_log, ledger.keep_in_force(whose), folds);
    IF found.up_to > found.pruned
       AND NOT EXISTS (SELECT FROM ledger.hold WHERE tenant = whose AND lifted_at IS NULL) THEN
        INSERT INTO ledger.pruned (log_id, up_to, older_than) VALUES (of_log, found.up_to, found.older_than);
        RETURN found.up_to;
    END IF;
    RETURN found.pruned;
END $$;

-- What is declared and not held: a hold that was put since keeps what has not gone yet.
CREATE VIEW ledger.going AS
    SELECT p.log_id, max(p.up_to) AS up_to
      FROM ledger.pruned AS p
      JOIN ledger.log AS l ON l.id = p.log_id
     WHERE NOT EXISTS (SELECT FROM ledger.hold AS h WHERE h.tenant = l.tenant AND h.lifted_at IS NULL)
     GROUP BY p.log_id;

-- Drops each partition of which everything is going: quick, and nothing is left to clean up after it.
CREATE FUNCTION ledger.drop_pruned(OUT partition text, OUT segments bigint, OUT bytes bigint) RETURNS SETOF record
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET lock_timeout = '3s' AS $$
DECLARE
    stays boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(7015, 20);
    FOR partition IN
        SELECT c.relname
          FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'ledger.segment'::regclass
           AND (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz
               < clock_timestamp() - interval '1 day'
         ORDER BY c.relname
    LOOP
        -- Somebody may have been adding to it since before it was over.
        EXECUTE format('LOCK TABLE ledger.%I IN SHARE ROW EXCLUSIVE MODE', partition);
        EXECUTE format('SELECT EXISTS (SELECT FROM ledger.%I AS s LEFT JOIN ledger.going AS g USING (log_id)'
                       ' WHERE s.first + s.leaves > coalesce(g.up_to, 0))', partition) INTO stays;
        CONTINUE WHEN stays;
        EXECUTE format('SELECT count(*) FROM ledger.%I', partition) INTO segments;
        bytes := pg_total_relation_size(format('ledger.%I', partition)::regclass);
        EXECUTE format('DROP TABLE ledger.%I', partition);
        RETURN NEXT;
    END LOOP;
END $$;

-- Takes away, segment by segment, what is going elsewhere; at most so many at once. None are left: 0 rows.
CREATE FUNCTION ledger.sweep_pruned(most integer, OUT segments bigint, OUT bytes bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7015, 20);
    WITH gone AS (
        DELETE FROM ledger.segment AS s
         USING (SELECT each.log_id, each.first, each.at
                  FROM ledger.going AS g
                 CROSS JOIN LATERAL (SELECT log_id, first, at FROM ledger.segment
                                      WHERE log_id = g.log_id AND first < g.up_to
                                        AND first + leaves <= g.up_to
                                      ORDER BY first LIMIT most) AS each
                 LIMIT most) AS each
         WHERE s.log_id = each.log_id AND s.first = each.first AND s.at = each.at
        RETURNING octet_length(s.entries) AS length
    )
    SELECT count(*), coalesce(sum(length), 0) INTO segments, bytes FROM gone;
END $$;

-- Makes the partition of the month of `at`. Segments of that month that came before it are moved into it.
CREATE FUNCTION ledger.make_segments_of(at timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
SET lock_timeout = '3s' AS $$
DECLARE
    starts timestamptz := date_trunc('month', at);
    ends timestamptz := date_trunc('month', at) + interval '1 month';
    child text := format('segment_%s', to_char(date_trunc('month', at), 'YYYYMM'));
BEGIN
    IF to_regclass(format('ledger.%I', child)) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(7015, 20);
    -- Somebody else may have been faster: a cached answer would not tell.
    IF EXISTS (SELECT FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relname = child) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('CREATE TABLE ledger.%I (LIKE ledger.segment INCLUDING ALL)', child);
    EXECUTE format('ALTER TABLE ledger.%I ENABLE ROW LEVEL SECURITY', child);
    LOCK TABLE ledger.segment IN SHARE ROW EXCLUSIVE MODE;
    EXECUTE format('WITH moved AS (DELETE FROM ledger.segment_beyond WHERE at >= %L AND at < %L RETURNING *)'
                   ' INSERT INTO ledger.%I SELECT * FROM moved', starts, ends, child);
    EXECUTE format('ALTER TABLE ledger.segment ATTACH PARTITION ledger.%I FOR VALUES FROM (%L) TO (%L)',
                   child, starts, ends);
    RETURN child;
END $$;

REVOKE EXECUTE ON FUNCTION ledger.keep_in_force, ledger.prunable, ledger.prune, ledger.drop_pruned,
    ledger.sweep_pruned, ledger.make_segments_of FROM PUBLIC;
SELECT ledger.make_segments_of(now() + months * interval '1 month') FROM generate_series(0, 2) AS months;

ALTER TABLE ledger.person ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.erasure ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.hold ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.keeping ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.pruned ENABLE ROW LEVEL SECURITY;

DO $$
DECLARE
    name text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        GRANT SELECT, INSERT ON ledger.person, ledger.erasure, ledger.hold TO holdfast_ledger;
        GRANT SELECT ON ledger.keeping, ledger.pruned TO holdfast_ledger;
        -- Since when something counts, the database's clock decides.
        GRANT INSERT (tenant, keep_days) ON ledger.keeping TO holdfast_ledger;
        GRANT UPDATE (done_at) ON ledger.erasure TO holdfast_ledger;
        GRANT UPDATE (lifted_at, lifted_by) ON ledger.hold TO holdfast_ledger;
        -- What goes, goes by these alone.
        GRANT EXECUTE ON FUNCTION ledger.keep_in_force, ledger.prunable, ledger.prune, ledger.drop_pruned,
            ledger.sweep_pruned, ledger.make_segments_of TO holdfast_ledger;
        FOREACH name IN ARRAY ARRAY['person', 'erasure', 'hold', 'keeping', 'pruned'] LOOP
            EXECUTE format('CREATE POLICY serving ON ledger.%I TO holdfast_ledger USING (true) WITH CHECK (true)',
                           name);
        END LOOP;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        -- What is known of a person is read with the persons' keys, which the console has not.
        GRANT SELECT ON ledger.erasure, ledger.hold, ledger.keeping, ledger.pruned TO holdfast_console;
        FOREACH name IN ARRAY ARRAY['erasure', 'hold', 'keeping'] LOOP
            EXECUTE format(
                'CREATE POLICY of_tenant ON ledger.%I FOR SELECT TO holdfast_console
                     USING (tenant = current_setting(''holdfast.tenant'', true)
                            OR current_setting(''holdfast.tenant'', true) = ''*'')', name);
        END LOOP;
        CREATE POLICY of_tenant ON ledger.pruned FOR SELECT TO holdfast_console
            USING (log_id IN (SELECT id FROM ledger.log));
    END IF;
END $$;
