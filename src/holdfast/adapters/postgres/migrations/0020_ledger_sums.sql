-- Sums by one dimension, so that a report reads one row for what it tells: also over all kinds, and of users over
-- months and years only. A user has a few cells a day: sums of a user's days were as many rows again as the cells
-- that they are made of. Cells stand over months too, for reports by two dimensions at once.
--
-- What is there is made anew out of the cells of days, in this transaction; a process of the version before folds
-- nothing more (its table is gone), and the new one goes on where it stood. Sums that were being made anew then stay
-- unfinished, and whoever begins again clears them away.

ALTER TABLE ledger.cell ADD COLUMN grain smallint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ledger.cell.grain IS '0: days, 1: months';
COMMENT ON COLUMN ledger.cell.day IS 'A month''s is its first.';
ALTER TABLE ledger.cell DROP CONSTRAINT cell_pkey;

INSERT INTO ledger.cell
SELECT book, date_trunc('month', day::timestamp)::date AS month, person, device, cost_centre, kind, currency, sum(jobs),
       sum(failed), sum(sheets), sum(mono_impressions), sum(colour_impressions), sum(scan_pages), sum(fax_pages),
       sum(amount), 1
  FROM ledger.cell
 WHERE grain = 0 AND book IN (SELECT id FROM ledger.book WHERE in_force)
 GROUP BY book, month, person, device, cost_centre, kind, currency
 ORDER BY book, month, person, device;

-- The days of one user or device, and of one by the other, are few cells among very many.
ALTER TABLE ledger.cell ADD PRIMARY KEY (book, grain, day, person, device, cost_centre, kind, currency);
CREATE INDEX cell_of_person ON ledger.cell (book, grain, person, day);
CREATE INDEX cell_of_device ON ledger.cell (book, grain, device, day);
CREATE INDEX cell_of_cost_centre ON ledger.cell (book, grain, cost_centre, day);

CREATE TABLE ledger.sums (
    book      integer NOT NULL,
    dimension smallint NOT NULL,
    kind      smallint NOT NULL,
    grain     smallint NOT NULL,
    period    date NOT NULL,
    member    integer NOT NULL,
    currency  text NOT NULL,
    jobs               bigint NOT NULL,
    failed             bigint NOT NULL,
    sheets             bigint NOT NULL,
    mono_impressions   bigint NOT NULL,
    colour_impressions bigint NOT NULL,
    scan_pages         bigint NOT NULL,
    fax_pages          bigint NOT NULL,
    amount             numeric NOT NULL,
    PRIMARY KEY (book, dimension, kind, grain, period, member, currency)
) WITH (fillfactor = 80);
COMMENT ON TABLE ledger.sums IS 'Sums by one dimension, and by none (0): what the cells come to.';
COMMENT ON COLUMN ledger.sums.kind IS 'As in the cells; -1: over all of them.';
COMMENT ON COLUMN ledger.sums.grain IS '0: days (none of users: they are read from the cells), 1: months, 2: years';

-- What the cells of a book come to. Users are summed up over months at once: their days would be most of the rows.
CREATE FUNCTION ledger.sums_of(asked integer) RETURNS SETOF ledger.sums
LANGUAGE sql STABLE AS $$
WITH narrower AS MATERIALIZED (
    SELECT dimension,
           CASE dimension WHEN 2 THEN date_trunc('month', day::timestamp)::date ELSE day END AS day,
           CASE dimension WHEN 1 THEN device WHEN 2 THEN person WHEN 3 THEN cost_centre ELSE 0 END AS member,
           kind, currency, sum(jobs) AS jobs, sum(failed) AS failed, sum(sheets) AS sheets,
           sum(mono_impressions) AS mono_impressions, sum(colour_impressions) AS colour_impressions,
           sum(scan_pages) AS scan_pages, sum(fax_pages) AS fax_pages, sum(amount) AS amount
      FROM ledger.cell CROSS JOIN generate_series(0, 3) AS dimension
     WHERE book = asked AND ledger.cell.grain = 0
     GROUP BY 1, 2, 3, 4, 5
)
SELECT asked, dimension::smallint, told.kind, grain::smallint,
       CASE grain WHEN 0 THEN day ELSE date_trunc(CASE grain WHEN 1 THEN 'month' ELSE 'year' END, day::timestamp)
           END::date AS period,
       member, currency, sum(jobs)::bigint, sum(failed)::bigint, sum(sheets)::bigint, sum(mono_impressions)::bigint,
       sum(colour_impressions)::bigint, sum(scan_pages)::bigint, sum(fax_pages)::bigint, sum(amount)
  FROM narrower
 CROSS JOIN generate_series(0, 2) AS grain
 CROSS JOIN LATERAL (VALUES (narrower.kind), (-1::smallint)) AS told (kind)
 WHERE dimension <> 2 OR grain > 0
 GROUP BY dimension, told.kind, grain, period, member, currency
$$;

INSERT INTO ledger.sums
SELECT made.*
  FROM ledger.book CROSS JOIN LATERAL ledger.sums_of(book.id) AS made
 WHERE book.in_force
 ORDER BY made.grain DESC, made.period, made.dimension, made.kind, made.member;

DROP TABLE ledger.rollup;

ANALYZE ledger.cell;
ANALYZE ledger.sums;

ALTER TABLE ledger.sums ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_the_tenant ON ledger.sums FOR SELECT USING (book IN (SELECT id FROM ledger.book));
REVOKE EXECUTE ON FUNCTION ledger.sums_of FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_ledger') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.sums TO holdfast_ledger;
        GRANT EXECUTE ON FUNCTION ledger.sums_of TO holdfast_ledger;
        -- It serves all tenants.
        CREATE POLICY served ON ledger.sums TO holdfast_ledger USING (true);
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'holdfast_console') THEN
        GRANT SELECT ON ledger.sums TO holdfast_console;
    END IF;
END $$;
