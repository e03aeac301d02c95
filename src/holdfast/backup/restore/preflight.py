"""Whether a restore can succeed, said before it begins. Pure: given what is known of the place, it judges."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.backup.errors import NotFit
from holdfast.backup.model import Member, RestorePlan
from holdfast.backup.restore.chosen import Share
from holdfast.backup.restore.journal import Marker, Step
from holdfast.backup.restore.needs import Needs, Offer, differing, missing, sorted_otherwise, unknown

RESERVE_BYTES = 128 * 1024 * 1024
"""What a server needs beside what is restored: its first WAL of its own, and its log."""

MOST_TOLD = 30
"""Of what programs lack: a record out of a store may name anything."""

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
    """What is known of the programs. `minor` is None when they do not tell."""

    folder: Path
    major: int
    minor: int | None = None
    offer: Offer = field(default_factory=Offer)


@dataclass(frozen=True, slots=True)
class Way:
    """How it is to be done."""

    resume: bool = False
    delta: bool = False
    tablespaces: Mapping[str, Path] | None = None
    """oid to folder."""
    share: Share | None = None
    """Only these files are fetched."""


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
    needed = needed_bytes(plan, way.share)
    problems = [
        *_folder(plan, place, way),
        *_space(place, needed),
        *_version(plan, build),
        *_tablespaces(plan, way),
    ]
    return Preflight(needed, tuple(problems), tuple(_notes(plan, members, build, way)))


def with_needs(judged: Preflight, needs: Needs | None, build: Build, *, anyway: bool = False) -> Preflight:
    """The same, with what the database needs of the programs; None where that is not known.

    `anyway`: what they lack is noted, and stands in nobody's way.
    """
    lacked = list(missing(needs, build.offer, build.folder, build.major)) if needs is not None else []
    if len(lacked) > MOST_TOLD:
        lacked[MOST_TOLD:] = [(f"and {len(lacked) - MOST_TOLD} more things are missing", "")]
    told = [unknown(needs, build.offer, build.folder)]
    if needs is not None:
        told += [differing(needs, build.offer), sorted_otherwise(needs, build.offer)]
    if anyway:
        told += [text for text, _ in lacked]
        lacked = []
    notes = (*judged.notes, *(each for each in told if each))
    return replace(judged, problems=(*judged.problems, *lacked), notes=notes)


def needed_bytes(plan: RestorePlan, share: Share | None = None) -> int:
    """At most so much is written: the full backup, what the increments changed or added, and WAL."""
    wal = {piece.segment: piece.segment.size for piece in plan.wal}
    files = sum(each.raw_bytes for each in plan.chain) if share is None else share.needed_bytes
    return files + sum(wal.values())


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
    elif place.marker.part != (way.share.chosen.name if way.share else ""):
        yield f"{place.folder} was begun with other files of it", "--delta makes it what is wanted now"
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
    minor = plan.backup.server_version % 10000
    if plan.backup.server_version // 10000 == build.major and build.minor is not None and build.minor < minor:
        release = f"{build.major}.{build.minor}"
        yield f"{build.folder} is PostgreSQL {release}, older than the server's {build.major}.{minor}"


def _size(count: int) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{-(-count // 2**20)} MiB"
