"""Asks a copy that runs what it needs of PostgreSQL's programs: extensions, libraries, ICU, compression.

Sources: the catalogs pg_extension, pg_proc.probin, pg_database, pg_collation, pg_depend and pg_attribute, and
the views pg_settings and pg_file_settings.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from holdfast.backup.ports import Asked, Copy
from holdfast.backup.restore.needs import Extension, Needs, Use

MOST_DATABASES = 100
MOST_NAMES = 1000
"""Of extensions, of libraries: more are no database's."""
LONGEST_S = 20.0
BUDGET_S = 30.0

# A column that older versions do not have is read by its name out of the row's JSON.
CLUSTER = """
SELECT 'database', datname::text, coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
       datcollate::text, datctype::text, datallowconn::text, coalesce(to_jsonb(d) ->> 'datcollversion', '')
FROM pg_database d WHERE datname <> 'template0'
UNION ALL
SELECT 'setting', name, setting, '', '', '', '' FROM pg_settings
WHERE name IN ('block_size', 'segment_size', 'wal_block_size', 'data_checksums', 'wal_compression',
               'default_toast_compression', 'shared_preload_libraries')
UNION ALL
SELECT 'special', split_part(s, '=', 1), split_part(s, '=', 2), '', '', '', ''
FROM pg_db_role_setting, unnest(setconfig) s WHERE s LIKE 'default\\_toast\\_compression=%'
"""
# What the server was given may be less: libraries that this machine has not are left out.
FILES = """
SELECT name, setting FROM pg_file_settings
WHERE name IN ('wal_compression', 'default_toast_compression', 'shared_preload_libraries') ORDER BY seqno
"""
# initdb makes hundreds of ICU's collations: one counts where something uses it. Objects below 16384 are the
# server's own, and so are their libraries.
DATABASE = """
SELECT 'extension', extname::text, extversion FROM pg_extension
UNION ALL
SELECT DISTINCT 'library', p.probin, coalesce(e.extname::text, '')
FROM pg_proc p
LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
     AND d.refclassid = 'pg_extension'::regclass
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE p.probin IS NOT NULL AND (p.oid >= 16384 OR e.oid IS NOT NULL)
UNION ALL
SELECT 'icu', '', '' WHERE EXISTS (
    SELECT FROM pg_collation c JOIN pg_attribute a ON a.attcollation = c.oid
    WHERE c.collprovider = 'i' AND NOT a.attisdropped
) OR EXISTS (
    SELECT FROM pg_collation c JOIN pg_depend d ON d.refobjid = c.oid
    WHERE d.refclassid = 'pg_collation'::regclass AND c.collprovider = 'i'
)
UNION ALL
SELECT 'lz4', '', '' WHERE EXISTS (SELECT FROM pg_attribute WHERE attcompression = 'l' AND NOT attisdropped)
"""

Row = Sequence[str | None]


def needs_of(copy: Copy, database: str, monotonic: Callable[[], float]) -> Needs | None:
    """What all databases of a copy need, asking first in `database`; None when it does not tell.

    Takes BUDGET_S and one answer more at the most; databases that were not asked then are named.
    """
    ends = monotonic() + BUDGET_S
    cluster = copy.ask(database, CLUSTER, LONGEST_S)
    if cluster.error:
        return None
    files = copy.ask(database, FILES, LONGEST_S)
    names = [str(row[1]) for row in cluster.rows if row[0] == "database" and row[5] == "true"]
    told: dict[str, Sequence[Row]] = {}
    for name in names[:MOST_DATABASES]:
        asked = copy.ask(name, DATABASE, LONGEST_S) if monotonic() < ends else Asked((), "no time is left")
        if not asked.error:
            told[name] = asked.rows
    return learned(cluster.rows, files.rows, told, [each for each in names if each not in told])


def learned(
    cluster: Sequence[Row], files: Sequence[Row], told: Mapping[str, Sequence[Row]], unasked: Sequence[str]
) -> Needs:
    """The needs that the answers tell. Pure."""
    settings = {str(row[1]): str(row[2] or "") for row in cluster if row[0] == "setting"}
    settings |= {str(row[0]): str(row[1] or "") for row in files}
    databases = [row for row in cluster if row[0] == "database"]
    special = {str(row[2]) for row in cluster if row[0] == "special"}
    locales = sorted({str(each) for row in databases for each in row[3:5] if each})
    return Needs(
        tuple(_extensions(told))[:MOST_NAMES],
        tuple(sorted({lib for rows in told.values() for lib, of in _libraries(rows) if not of}))[:MOST_NAMES],
        tuple(_names(settings.get("shared_preload_libraries", ""))),
        tuple(_uses(databases, settings, special, told)),
        tuple(locales),
        _number(settings.get("block_size")),
        _number(settings.get("segment_size")),
        _number(settings.get("wal_block_size")),
        None if "data_checksums" not in settings else settings["data_checksums"] == "on",
        tuple(sorted({str(row[6]) for row in databases if row[2] == "c" and row[6]})),
        tuple(unasked),
    )


def _extensions(told: Mapping[str, Sequence[Row]]) -> Iterator[Extension]:
    where: dict[tuple[str, str], list[str]] = defaultdict(list)
    libraries: dict[tuple[str, str], set[str]] = defaultdict(set)
    for database, rows in told.items():
        own = [(str(row[1]), str(row[2] or "")) for row in rows if row[0] == "extension"]
        of = list(_libraries(rows))
        for each in own:
            where[each].append(database)
            libraries[each].update(library for library, name in of if name == each[0])
    for each in sorted(where):
        yield Extension(each[0], each[1], tuple(sorted(libraries[each])), tuple(sorted(where[each])))


def _libraries(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    return ((str(row[1]), str(row[2] or "")) for row in rows if row[0] == "library")


def _uses(
    databases: Sequence[Row],
    settings: Mapping[str, str],
    special: set[str],
    told: Mapping[str, Sequence[Row]],
) -> Iterator[Use]:
    icu = [str(row[1]) for row in databases if row[2] == "i"]
    yield from (Use("icu", f"database {each}") for each in icu)
    for name, rows in told.items():
        for row in rows:
            if row[0] in ("icu", "lz4") and not (row[0] == "icu" and name in icu):
                yield Use(str(row[0]), f"columns of {name}")
    for setting in ("wal_compression", "default_toast_compression"):
        values = {settings.get(setting, "")} | (special if setting.startswith("default") else set())
        yield from (Use(each, setting) for each in ("lz4", "zstd") if each in values)


def _names(preloaded: str) -> Iterator[str]:
    return (name for each in preloaded.split(",") if (name := each.strip().strip('"')))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
