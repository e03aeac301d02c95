-- The ledger: a Merkle log per tenant, and one over all tenants' checkpoints. Whoever serves it may only insert.

CREATE SCHEMA ledger;

CREATE TABLE ledger.log (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL UNIQUE,
    origin     text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN ledger.log.tenant IS 'The tenant''s key. The log over all checkpoints has the empty one.';

CREATE TABLE ledger.growth (
    log_id    integer NOT NULL REFERENCES ledger.log,
    from_size bigint NOT NULL CHECK (from_size >= 0),
    to_size   bigint NOT NULL CHECK (to_size > from_size),
    root      bytea NOT NULL CHECK (length(root) = 32),
    note      text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (log_id, from_size)
);
COMMENT ON TABLE ledger.growth IS
    'Each batch of each log, with its signed checkpoint. Two who append to the same size collide in the key.';

CREATE TABLE ledger.segment (
    log_id  integer NOT NULL,
    first   bigint NOT NULL,
    at      timestamptz NOT NULL,
    leaves  integer NOT NULL CHECK (leaves > 0),
    entries bytea STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (log_id, first, at)
) PARTITION BY RANGE (at);
CREATE TABLE ledger.segment_beyond PARTITION OF ledger.segment DEFAULT;
COMMENT ON COLUMN ledger.segment.entries IS 'A C2SP entry bundle of the leaves, compressed with zstd.';

CREATE TABLE ledger.tile (
    log_id integer NOT NULL,
    level  smallint NOT NULL,
    index  bigint NOT NULL,
    hashes bytea STORAGE EXTERNAL NOT NULL CHECK (length(hashes) = 8192),
    root   bytea NOT NULL CHECK (length(root) = 32),
    PRIMARY KEY (log_id, level, index) INCLUDE (root)
);
COMMENT ON TABLE ledger.tile IS
    'Full tiles only: what a partial one holds is in the roots of the level below, or in the last segments.';

CREATE TABLE ledger.run (
    log_id integer NOT NULL,
    source text NOT NULL,
    epoch  bigint NOT NULL,
    first  bigint NOT NULL,
    last   bigint NOT NULL,
    leaf   bigint NOT NULL,
    at     timestamptz NOT NULL,
    PRIMARY KEY (log_id, source, epoch, first)
);
COMMENT ON TABLE ledger.run IS
    'Numbers [first, last] of a source are the leaves from `leaf` on. All that is known of what a source sent.';
-- Verifying reads the runs of a stretch of the log: they were written at its time.
CREATE INDEX run_by_age ON ledger.run USING brin (at) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE ledger.conflict (
    log_id integer NOT NULL,
    source text NOT NULL,
    epoch  bigint NOT NULL,
    seq    bigint NOT NULL,
    came   bytea NOT NULL CHECK (length(came) = 32),
    leaf   bigint NOT NULL,
    PRIMARY KEY (log_id, source, epoch, seq, came)
);
COMMENT ON TABLE ledger.conflict IS 'A key that came again with other bytes, and the entry that tells it.';

CREATE TABLE ledger.published (
    log_id integer NOT NULL REFERENCES ledger.log,
    size   bigint NOT NULL,
    note   text NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (log_id, size)
);
COMMENT ON TABLE ledger.published IS 'Cosigned checkpoints, in both regions before anybody saw them.';
