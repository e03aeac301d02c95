-- Which tables files are: of the database that is connected to.

-- name: databases
SELECT oid, datname FROM pg_catalog.pg_database WHERE datallowconn;

-- name: tables
-- Tables, what is like them, and where their long values are. Those of other sessions have no file to us.
SELECT pg_catalog.pg_relation_filenode(c.oid),
       pg_catalog.format('%%I.%%I', n.nspname, c.relname), c.relisshared
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 'S') AND pg_catalog.pg_relation_filenode(c.oid) IS NOT NULL
 UNION ALL
SELECT pg_catalog.pg_relation_filenode(c.reltoastrelid),
       pg_catalog.format('%%I.%%I', n.nspname, c.relname) || %(beside)s, c.relisshared
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.reltoastrelid <> 0 AND pg_catalog.pg_relation_filenode(c.reltoastrelid) IS NOT NULL;
