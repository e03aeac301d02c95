"""A region is read and proven: every object is what its key tells, and all that a record names is there.

What is damaged or missing is healed from another region that has it unharmed. Keys are never written twice,
but for this: an object that is not what its own key tells is of no use to anybody, and nothing else may ever
have that key. Where a bucket keeps versions, or locks them, the damaged version stays below the healed one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from holdfast.backup import layout
from holdfast.backup.copies.copying import is_proven
from holdfast.backup.copies.side_by_side import LIMIT_BYTES, THREADS, side_by_side
from holdfast.backup.errors import Damaged, RegionError
from holdfast.backup.logical.held import dump_of, dumps_held
from holdfast.backup.model import Suspicion
from holdfast.backup.ports import Listed, Progress, Region, Versioned
from holdfast.backup.records import decoded, decoded_backup
from holdfast.backup.recoverable.holdings import holdings_of
from holdfast.backup.retention.pruning import old_verifications
from holdfast.backup.verify.verification import Verification, verification_key
from holdfast.kernel.clock import Clock

_UNITS = 1 << 32


class Harm(StrEnum):
    """What is wrong with an object."""

    DAMAGED = "damaged"
    """It is not what was stored."""
    MISSING = "missing"
    """A record names it, and it is not there, or has another size."""
    HIDDEN = "hidden"
    """Somebody deleted it, and the store has kept it."""


@dataclass(frozen=True, slots=True)
class Harmed:
    """An object that is not as it should be. `healed_from` names the region that it was healed from."""

    key: str
    harm: Harm
    healed_from: str = ""
    why_not: str = ""
    """Why it could not be healed; empty when that was not tried, or was done."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What was read, and what was found. `known` objects are there in all."""

    region: str
    at: datetime
    known: int
    read: int
    read_bytes: int
    harmed: tuple[Harmed, ...]

    @property
    def standing(self) -> tuple[Harmed, ...]:
        """What is still wrong."""
        return tuple(each for each in self.harmed if not each.healed_from)


def sampled(key: str, share: float, turn: int) -> bool:
    """Whether an object's turn has come. In 1 / `share` turns one behind the other every object comes up.

    Which objects go together is as good as random, and is the same for everybody.
    """
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / _UNITS
    return share >= 1 or (place - turn * share) % 1.0 < share


class Scrubber:
    """Proves one region, with the help of others. Raises RegionAway or RegionRefused of that region alone."""

    def __init__(
        self,
        region: Region,
        others: Sequence[Region],
        clock: Clock,
        progress: Progress,
        *,
        threads: int = THREADS,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self._region = region
        self._others = others
        self._clock = clock
        self._progress = progress
        self._threads = threads
        self._limit_bytes = limit_bytes

    def scrub(self, database: str, *, share: float = 1.0, turn: int = 0, heal: bool = False) -> Scrubbed:
        """Read a share of the objects of a database, and prove them. Records are all read, each time."""
        hidden = self._hidden(database, heal=heal)
        held = holdings_of(self._region, database, self._clock)
        objects = list(self._objects(database))
        wanted = [each for each in objects if sampled(each.key, share, turn)]
        dumps = dumps_held(self._region, database, self._clock)
        harmed = {key: Harm.MISSING for _, keys in (*held.missing, *dumps.missing) for key in keys}
        harmed |= dict.fromkeys((*held.unreadable, *dumps.unreadable), Harm.DAMAGED)
        harmed |= self._verifications(database, share, turn)
        read: list[int] = []

        def one(each: Listed) -> None:
            try:
                content = self._region.get(each.key)
            except FileNotFoundError:
                return  # it was let go meanwhile
            except Damaged:
                content = b""
            if not is_proven(each.key, content):
                harmed[each.key] = Harm.DAMAGED
            read.append(len(content))
            self._progress.advance(each.size)

        self._progress.begin(f"reading {self._region.name}", sum(each.size for each in wanted))
        side_by_side(
            wanted, one, lambda each: each.size, threads=self._threads, limit_bytes=self._limit_bytes
        )
        found = [Harmed(key, harm) for key, harm in sorted(harmed.items())]
        if heal and found:
            self._progress.note(f"healing {len(found)} objects")
            found = [self._healed(each) for each in found]
        found = [*hidden, *found]
        return Scrubbed(self._region.name, held.listed_at, len(objects), len(read), sum(read), tuple(found))

    def _verifications(self, database: str, share: float, turn: int) -> dict[str, Harm]:
        """What is wrong with the records of verifications: every region has them all. Over years they are
        many, so a share of them is read.
        """
        prefix = layout.verifications_prefix(database)
        own = {each.key: each for each in self._region.listed(prefix) if each.key.endswith(".json")}
        harmed: dict[str, Harm] = {}
        for key in (each for each in own if sampled(each, share, turn)):
            with suppress(FileNotFoundError):  # it was let go meanwhile
                try:
                    if not is_sound(key, self._region.get(key)):
                        harmed[key] = Harm.DAMAGED
                except Damaged:
                    harmed[key] = Harm.DAMAGED
        everywhere = dict(own)
        for other in self._others:
            with suppress(RegionError):
                everywhere |= {each.key: each for each in other.listed(prefix) if each.key.endswith(".json")}
        # What is too old to be kept is not brought back.
        old = set(old_verifications(everywhere.values(), self._clock.now()))
        return harmed | dict.fromkeys(everywhere.keys() - own.keys() - old, Harm.MISSING)

    def _hidden(self, database: str, *, heal: bool) -> list[Harmed]:
        """What somebody deleted, and the store has kept. We let go of objects otherwise, so it was not us."""
        region = self._region
        if not isinstance(region, Versioned):
            return []
        keys = region.hidden(f"{database}/")
        if heal:
            region.unhide(keys)
        return [Harmed(key, Harm.HIDDEN, healed_from=region.name if heal else "") for key in keys]

    def _objects(self, database: str) -> Iterator[Listed]:
        """Everything whose key tells what it must be."""
        for prefix in (
            layout.backups_prefix(database),
            layout.logical_prefix(database),
            layout.timelines_prefix(database),
            layout.wal_prefix(database),
        ):
            for each in self._region.listed(prefix):
                if layout.digest_of(each.key) is not None:
                    yield each

    def _healed(self, harmed: Harmed) -> Harmed:
        """Heal one object from the first region that has it unharmed, and read it back."""
        for name, content in self._candidates(harmed.key):
            if not is_sound(harmed.key, content):
                continue
            try:
                self._replace(harmed.key, content)
            except (RegionError, Damaged) as error:
                return Harmed(harmed.key, harmed.harm, why_not=str(error))
            return Harmed(harmed.key, harmed.harm, healed_from=name)
        return Harmed(harmed.key, harmed.harm, why_not="no other region has it unharmed")

    def _candidates(self, key: str) -> Iterator[tuple[str, bytes]]:
        """What may be the object, and who has it: other regions, then what this one has kept of before."""
        for other in self._others:
            with suppress(RegionError, Damaged, FileNotFoundError):
                yield other.name, other.get(key)
        if isinstance(self._region, Versioned):
            with suppress(RegionError, FileNotFoundError):
                yield from ((self._region.name, content) for content in self._region.earlier(key))

    def _replace(self, key: str, content: bytes) -> None:
        region = self._region
        locked_until = region.kept_until(key) if isinstance(region, Versioned) else region.locked_until(key)
        self._region.replace(key, content)
        with suppress(FileNotFoundError):
            if self._region.get(key) == content:
                # The lock was that of the version below.
                if locked_until is not None:
                    self._region.lock(key, locked_until)
                return
        raise Damaged(f"{self._region.name} does not keep what is put there: {key}", hint="look at its disks")


def is_sound(key: str, content: bytes) -> bool:
    """Whether an object is what it must be: by its key, or, of a record and a mark, by its own digest."""
    try:
        if key.endswith(f"/{layout.RECORD}"):
            (dump_of if "/logical/" in key else decoded_backup)(content, key)
        elif "/verifications/" in key:
            return verification_key(decoded(content, Verification, key)) == key
        elif "/marks/" in key:
            decoded(content, Suspicion, key)
        else:
            return is_proven(key, content)
    except Damaged:
        return False
    return True
