"""What a database needs of PostgreSQL's programs beside their version, and what is missing in some. Pure.

It is learned from a copy that runs, at each verification, and kept with its record. Names in it were read in
a database, and come out of a store: they are shown, and compared with what is there, and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FEATURES: Mapping[str, str] = {"icu": "ICU", "lz4": "lz4", "zstd": "zstd"}
"""What a build of PostgreSQL may lack, and its name for people."""
_CONTRIB = """
adminpack amcheck autoinc auth_delay auto_explain bloom btree_gin btree_gist citext cube dblink
dict_int dict_xsyn earthdistance file_fdw fuzzystrmatch hstore insert_username intagg intarray isn
lo ltree moddatetime old_snapshot pageinspect passwordcheck pg_buffercache pg_freespacemap
pg_logicalinspect pg_overexplain pg_prewarm pg_stat_statements pg_surgery pg_trgm pg_visibility
pg_walinspect pgcrypto pgrowlocks pgstattuple postgres_fdw refint seg sslinfo tablefunc tcn
tsm_system_rows tsm_system_time unaccent uuid-ossp xml2
"""
CONTRIB = frozenset(_CONTRIB.split())
"""What is PostgreSQL's own, and comes in its package `contrib`."""
EVERYWHERE = frozenset({"", "c", "posix"})
"""Locales that every machine has."""
_SHOWN = 3
_LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that is installed in `databases`. `libraries` as its functions name them."""

    name: str
    version: str
    libraries: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """One of FEATURES, and what uses it: `database shop`, `columns of shop`, `wal_compression`."""

    feature: str
    by: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What one copy needed. `unasked`: databases that did not tell theirs."""

    extensions: tuple[Extension, ...] = ()
    libraries: tuple[str, ...] = ()
    """Of functions that belong to no extension."""
    preloaded: tuple[str, ...] = ()
    uses: tuple[Use, ...] = ()
    locales: tuple[str, ...] = ()
    """Of the operating system."""
    block_bytes: int | None = None
    file_blocks: int | None = None
    """Blocks in one file of a table."""
    wal_block_bytes: int | None = None
    checksums: bool | None = None
    sorted_by: tuple[str, ...] = ()
    """Versions of the operating system's library by whose locales databases are sorted."""
    unasked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """What programs have. What they do not tell is None: unknown, and never taken for there.

    `lacks` are keys of FEATURES. `extensions`: name to the version that they bring. `libraries` without their
    ending, `locales` of the machine as `folded` has them.
    """

    lacks: frozenset[str] | None = None
    extensions: Mapping[str, str] | None = None
    libraries: frozenset[str] | None = None
    locales: frozenset[str] | None = None
    block_bytes: int | None = None
    file_blocks: int | None = None
    wal_block_bytes: int | None = None
    libc: str | None = None
    """The version of this machine's library of locales."""


def missing(needs: Needs, offer: Offer, folder: Path, major: int) -> Iterator[tuple[str, str]]:
    """What the programs in `folder` lack of it, each with what to do. What nobody knows is left out."""
    yield from _blocks(needs, offer, folder)
    yield from _features(needs, offer, folder)
    named: set[str] = set()
    for each in needs.extensions:
        absent = offer.extensions is not None and each.name not in offer.extensions
        gone = [one for one in each.libraries if _is_gone(one, offer)]
        named.update(gone)
        where = f" (in {_list(each.databases)})" if each.databases else ""
        if absent:
            named.update(each.libraries)
            yield f"{folder} has no extension {_shown(each.name)}{where}", _install(each.name, major)
        elif gone:
            text = f"{folder} has no library {_list(gone)}, of the extension {_shown(each.name)}{where}"
            yield text, f"install {_shown(each.name)} {_shown(each.version)} for PostgreSQL {major}"
    seen = {_stem(each) for each in named}
    for name in dict.fromkeys((*needs.libraries, *needs.preloaded)):
        if _is_gone(name, offer) and _stem(name) not in seen:
            seen.add(_stem(name))
            kind = "shared_preload_libraries" if name in needs.preloaded else "functions"
            yield f"{folder} has no library {_shown(name)}, which {kind} name", _install(_stem(name), major)
    wanted = [each for each in needs.locales if folded(each) not in EVERYWHERE]
    absent_here = [each for each in wanted if offer.locales is not None and folded(each) not in offer.locales]
    if absent_here:
        yield (
            f"this machine has no locale {_list(absent_here)}, which databases use",
            "make it there (Debian: locale-gen)",
        )


def unknown(needs: Needs | None, offer: Offer, folder: Path) -> str:
    """What cannot be told, in one line; empty when all is known."""
    if needs is None:
        return "whether its extensions, ICU and compression fit is unknown: no verification has learned them"
    told = []
    if offer.lacks is None:
        told.append(f"how {folder} was built")
    if offer.extensions is None or offer.libraries is None:
        told.append(f"which extensions {folder} has")
    if offer.locales is None and any(folded(each) not in EVERYWHERE for each in needs.locales):
        told.append("which locales this machine has")
    if needs.unasked:
        told.append(f"what {_list(needs.unasked)} needs")
    return f"unknown: {', '.join(told)}" if told else ""


def differing(needs: Needs, offer: Offer) -> str:
    """Extensions that are there in another version than they were installed in; empty for none."""
    here = offer.extensions or {}
    others = [
        f"{_shown(each.name)} {_shown(each.version)} (here {_shown(here[each.name])})"
        for each in needs.extensions
        if each.name in here and here[each.name] not in ("", each.version)
    ]
    return f"extensions of another version: {_list(others)}" if others else ""


def sorted_otherwise(needs: Needs, offer: Offer) -> str:
    """What another library of locales than the server's means; empty when it is the same, or not known."""
    others = [each for each in needs.sorted_by if offer.libc not in (None, each)]
    if not others:
        return ""
    told = f"databases are sorted by the locales of libc {_list(others)}, and this machine has {offer.libc}"
    return f"{told}: REINDEX indexes on text before they are relied on"


def needs_at(learned: Iterable[tuple[datetime, Needs]], at: datetime | None) -> Needs | None:
    """What it needed at a moment, of what was learned at some: the last before it, else the first after it.

    None for `at` is the newest.
    """
    known = sorted(learned, key=lambda each: each[0])
    if not known:
        return None
    before = [each for each in known if at is None or each[0] <= at]
    return before[-1][1] if before else known[0][1]


def folded(locale: str) -> str:
    """A locale's name, as it is compared: `de_DE.UTF-8` is `de_DE.utf8`."""
    name, dot, codeset = locale.lower().partition(".")
    return name + dot + codeset.replace("-", "")


def _blocks(needs: Needs, offer: Offer, folder: Path) -> Iterator[tuple[str, str]]:
    for what, needed, here in (
        ("blocks", needs.block_bytes, offer.block_bytes),
        ("files", needs.file_blocks, offer.file_blocks),
        ("WAL blocks", needs.wal_block_bytes, offer.wal_block_bytes),
    ):
        if None not in (needed, here) and needed != here:
            yield (
                f"{folder} was built for {what} of another size ({here}, not {needed})",
                "name programs that were built as the server's: --bin-dir, or verification.bin_dir",
            )


def _features(needs: Needs, offer: Offer, folder: Path) -> Iterator[tuple[str, str]]:
    for feature, name in FEATURES.items():
        by = [each.by for each in needs.uses if each.feature == feature]
        if by and offer.lacks is not None and feature in offer.lacks:
            yield (
                f"{folder} was built without {name}, used by {_list(by)}",
                f"name programs that have {name}: --bin-dir, or verification.bin_dir",
            )


def _is_gone(library: str, offer: Offer) -> bool:
    """Whether it is known not to be there. One named by its place is looked for when a copy starts."""
    return (
        offer.libraries is not None and not library.startswith("/") and _stem(library) not in offer.libraries
    )


def _stem(library: str) -> str:
    return library.removeprefix("$libdir/").removesuffix(".so")


def _install(name: str, major: int) -> str:
    part = " (PostgreSQL's own: its package contrib)" if name in CONTRIB else ""
    return f"install {_shown(name)} for PostgreSQL {major}{part}, or name programs that have it: --bin-dir"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(_shown, names[:_SHOWN])) + more


def _shown(name: str) -> str:
    """A name as people may see it: it may hold anything."""
    return "".join(each if each.isprintable() else "?" for each in name[:_LONGEST_SHOWN])
