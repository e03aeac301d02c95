-- name: reads
-- Relations that this transaction has locked: what its statements read, inside functions, too.
SELECT coalesce(string_agg(relation::text, ','), '') FROM pg_catalog.pg_locks
 WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation'

-- name: files
-- The files of these relations, of their partitions and children, and of their TOAST tables.
WITH RECURSIVE family(oid) AS (
    SELECT unnest(%(oids)s::oid[])
    UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN family f ON i.inhparent = f.oid
), members(oid) AS (
    SELECT oid FROM family
    UNION
    SELECT c.reltoastrelid FROM pg_catalog.pg_class c JOIN family f ON f.oid = c.oid WHERE c.reltoastrelid <> 0
)
SELECT pg_catalog.pg_relation_filenode(c.oid)::bigint
  FROM pg_catalog.pg_class c JOIN members m ON m.oid = c.oid
 WHERE pg_catalog.pg_relation_filenode(c.oid) IS NOT NULL

-- name: catalogs
SELECT pg_catalog.pg_relation_filenode(c.oid)::bigint FROM pg_catalog.pg_class c
 WHERE c.relnamespace = 'pg_catalog'::regnamespace AND pg_catalog.pg_relation_filenode(c.oid) IS NOT NULL

-- name: relations
SELECT pg_catalog.pg_relation_filenode(c.oid)::bigint, c.oid::bigint, c.relkind::text,
       n.nspname || '.' || c.relname,
       coalesce((SELECT tn.nspname || '.' || t.relname
                   FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
                  WHERE t.oid = coalesce(i.indrelid, owner.oid)), ''),
       n.nspname = 'pg_catalog'
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  LEFT JOIN pg_catalog.pg_class owner ON owner.reltoastrelid = c.oid AND c.relkind = 't'
 WHERE pg_catalog.pg_relation_filenode(c.oid) IS NOT NULL

-- name: named
SELECT pg_catalog.to_regclass(%(name)s)::oid::bigint
