"""Whether a restore can succeed, said before it begins. Pure: given what is known of the place, it judges."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.backup.errors import NotFit
from holdfast.backup.model import Member, RestorePlan
from holdfast.backup.restore.journal import Marker, Step

RESERVE_BYTES = 128 * 1024 * 1024
"""What a server needs beside what is restored: its first WAL of its own, and its log."""

FEATURES: Mapping[str, str] = {
    "icu": "databases and collations that use ICU",
    "lz4": "WAL and columns that are compressed with lz4",
    "zstd": "WAL that is compressed with zstd",
}
"""What a build of PostgreSQL may lack, and what then cannot be read."""

_INIT_FORK = re.compile(r"(?:^|/)\d+_init$")


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of the folder to restore into. `free_bytes` is None when that cannot be known."""

    folder: Path
    is_empty: bool
    is_data_directory: bool
    marker: Marker | None
    in_use: bool
    free_bytes: int | None
    present_bytes: int = 0
    """How much of it is there already, and will be written over."""


@dataclass(frozen=True, slots=True)
class Build:
    """What is known of the programs. `lacks` are keys of FEATURES that they were built without."""

    folder: Path
    major: int
    lacks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Way:
    """How it is to be done."""

    resume: bool = False
    delta: bool = False
    tablespaces: Mapping[str, Path] | None = None
    """oid to folder."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What stands in the way, each with a hint, and what else is to be known."""

    needed_bytes: int
    problems: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def insist(self) -> None:
        """Raise NotFit for the problems, all in one."""
        if self.problems:
            hints = dict.fromkeys(hint for _, hint in self.problems if hint)
            raise NotFit("; ".join(text for text, _ in self.problems), hint="; ".join(hints))


def inspect(plan: RestorePlan, members: Sequence[Member], place: Place, build: Build, way: Way) -> Preflight:
    """Judge a restore of `plan`, whose newest backup has these members."""
    needed = needed_bytes(plan)
    problems = [
        *_folder(plan, place, way),
        *_space(place, needed),
        *_version(plan, build),
        *_tablespaces(plan, way),
    ]
    return Preflight(needed, tuple(problems), tuple(_notes(plan, members, build, way)))


def needed_bytes(plan: RestorePlan) -> int:
    """At most so much is written: the full backup, what the increments changed or added, and WAL."""
    wal = {piece.segment: piece.segment.size for piece in plan.wal}
    return sum(each.raw_bytes for each in plan.chain) + sum(wal.values())


def _folder(plan: RestorePlan, place: Place, way: Way) -> Iterable[tuple[str, str]]:
    if place.in_use:
        yield f"a server runs on {place.folder}", "stop it, or restore into another folder"
        return
    if place.is_empty:
        return
    if way.delta:
        if not (place.is_data_directory or place.marker):
            yield f"{place.folder} is no data directory", "--delta writes over one that is there"
        return
    if place.marker is None:
        yield f"{place.folder} is not empty", "choose an empty folder; or --delta, for a data directory"
    elif not way.resume:
        hint = "go on with --resume, write over it with --delta, or choose another folder"
        yield f"{place.folder} holds a restore of {place.marker.database} already", hint
    elif place.marker.chain != tuple(each.id for each in plan.chain):
        newest = place.marker.chain[-1] if place.marker.chain else "nothing"
        yield f"{place.folder} was begun from backup {newest}", "--delta makes it what is wanted now"
    elif place.marker.step is Step.READY:
        yield f"{place.folder} is restored already", "--delta makes it what is wanted now"


def _space(place: Place, needed: int) -> Iterable[tuple[str, str]]:
    if place.free_bytes is None:
        return
    missing = needed + RESERVE_BYTES - place.present_bytes - place.free_bytes
    if missing > 0:
        free, wanted = _size(place.free_bytes), _size(needed + RESERVE_BYTES)
        yield (
            f"{place.folder} has {free} free, and {wanted} are needed",
            f"make room for {_size(missing)} more, or restore to another disk",
        )


def _version(plan: RestorePlan, build: Build) -> Iterable[tuple[str, str]]:
    major = plan.backup.server_version // 10000
    if major != build.major:
        yield (
            f"the backup is of PostgreSQL {major}, and {build.folder} is PostgreSQL {build.major}",
            f"name the folder with the programs of PostgreSQL {major}: --bin-dir, or verification.bin_dir",
        )


def _tablespaces(plan: RestorePlan, way: Way) -> Iterable[tuple[str, str]]:
    known = {str(each.oid) for each in plan.backup.archives if each.oid}
    for oid, folder in (way.tablespaces or {}).items():
        if oid not in known:
            yield (
                f"the backup has no tablespace {oid}",
                f"it has {', '.join(sorted(known))}" if known else "it has none: leave --tablespace out",
            )
        elif not folder.is_absolute():
            yield f"{folder} is no absolute path", "tablespaces are mapped to absolute paths"


def _notes(plan: RestorePlan, members: Sequence[Member], build: Build, way: Way) -> Iterable[str]:
    unlogged = len({each.path for each in members if _INIT_FORK.search(each.path)})
    if unlogged:
        yield f"{unlogged} unlogged tables and indexes will be empty: their content is in no backup"
    for archive in plan.backup.archives:
        if archive.oid and str(archive.oid) not in (way.tablespaces or {}):
            yield f"tablespace {archive.oid} (was {archive.location}) goes inside the folder"
    for feature in sorted(build.lacks):
        yield f"{build.folder} was built without {feature}: it cannot read {FEATURES[feature]}"


def _size(count: int) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{-(-count // 2**20)} MiB"
