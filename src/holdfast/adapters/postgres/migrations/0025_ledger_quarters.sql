-- Proofs out of logs that nobody has looked at for long: as few places on the disk as can be.
--
-- A tile's 8 KB stood apart from its row, in five pieces that an index of their own finds. Now a row is a quarter of a
-- tile, 64 hashes, and holds them itself: three rows are a page, and one of them is all that a proof needs of a tile,
-- for the roots over all four quarters stand in each. And with each signed root stand the peaks that it was made of,
-- which is most of a proof's right side; before, that took the newest entries, unpacked and hashed.
--
-- Tiles are copied as they are, also damaged ones: verifying tells. A process of the version before adds nothing more.

ALTER TABLE ledger.tile RENAME TO whole_tile;
ALTER INDEX ledger.tile_pkey RENAME TO whole_tile_pkey;

CREATE TABLE ledger.tile (
    log_id        integer NOT NULL,
    level         smallint NOT NULL,
    quarter       bigint NOT NULL,
    hashes        bytea STORAGE PLAIN NOT NULL CHECK (length(hashes) = 2048),
    quarter_roots bytea STORAGE PLAIN NOT NULL CHECK (length(quarter_roots) = 128),
    root          bytea STORAGE PLAIN CHECK (length(root) = 32),
    CHECK ((quarter % 4 = 3) = (root IS NOT NULL))
);
COMMENT ON TABLE ledger.tile IS
    'Quarters of full tiles only: what a partial one holds is in the roots of the level below, or in the last segments.';
COMMENT ON COLUMN ledger.tile.quarter IS 'Its first hash is number 64 * quarter of the level.';
COMMENT ON COLUMN ledger.tile.quarter_roots IS 'Over all four quarters of its tile, one behind the other.';
COMMENT ON COLUMN ledger.tile.root IS 'Over the whole tile, in its last quarter.';

CREATE FUNCTION ledger.quarter_roots_of(tile bytea) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    level bytea := tile;
BEGIN
    WHILE length(level) > 128 LOOP
        level := (SELECT string_agg(sha256('\x01'::bytea || substring(level FROM at FOR 64)), ''::bytea ORDER BY at)
                    FROM generate_series(1, length(level), 64) AS at);
    END LOOP;
    RETURN level;
END $$;

-- In the order in which they were written.
INSERT INTO ledger.tile
SELECT log_id, level, index * 4 + n, substring(hashes FROM n * 2048 + 1 FOR 2048), quarter_roots,
       CASE n WHEN 3 THEN root END
  FROM (SELECT *, generate_series(0, 3) AS n
          FROM (SELECT log_id, level, index, hashes || ''::bytea AS hashes, root,
                       ledger.quarter_roots_of(hashes || ''::bytea) AS quarter_roots
                  FROM ledger.whole_tile OFFSET 0) AS whole) AS quarters;

DROP FUNCTION ledger.quarter_roots_of;
DROP TABLE ledger.whole_tile;

ALTER TABLE ledger.tile ADD PRIMARY KEY (log_id, level, quarter);
-- What fills no tile of the level above yet is read out of this alone, as far as the pages are known to be visible to
-- all: vacuum says so, and must not wait until a fifth of a table is new that nothing else is ever done to. Most new
-- rows are of level 0: behind all others of their log, they leave full pages.
CREATE INDEX tile_root ON ledger.tile (log_id, level DESC, quarter) INCLUDE (root) WHERE root IS NOT NULL;
ALTER TABLE ledger.tile SET (autovacuum_vacuum_insert_scale_factor = 0.02);

ALTER TABLE ledger.growth ADD COLUMN peaks bytea CHECK (length(peaks) % 32 = 0);
COMMENT ON COLUMN ledger.growth.peaks IS
    'The roots of the perfect trees that the tree of to_size leaves is made of, the smallest and rightmost first; not '
    'known of growths that are older than this column.';

ALTER TABLE ledger.tile ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_the_tenant ON ledger.tile FOR SELECT USING (log_id IN (SELECT id FROM ledger.log));
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        GRANT SELECT, INSERT ON ledger.tile TO holdfast_ledger;
        -- It serves all tenants.
        CREATE POLICY served ON ledger.tile TO holdfast_ledger USING (true);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT SELECT ON ledger.tile TO holdfast_console;
    END IF;
END $$;

ANALYZE ledger.tile;
