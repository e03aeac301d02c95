"""Tries a region's store: whether it lists, puts, refuses a key that is taken, reads, and deletes."""

from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.backup.errors import AlreadyThere, RegionError, RegionRefused
from holdfast.backup.ports import Region

PROBES = "_check/"
"""No database is called so."""
_CONTENT = b"Put by `holdfast check`, and of no use any more.\n"
_OTHER = b"Put a second time.\n"


@dataclass(frozen=True, slots=True)
class Tried:
    """What it came to. A `warning` works, and not all of it."""

    ok: bool
    text: str
    hint: str = ""
    warning: bool = False


def try_reading(region: Region, why: str) -> Tried:
    """List, and read a little: what can be tried where nothing is to be left behind. Never raises for it."""
    try:
        first = next(iter(region.listed("")), None)
        region.locked_until(first.key if first else f"{PROBES}none")
        if first is not None:
            region.get(first.key, 0, 1)
    except FileNotFoundError:
        # It expired just now.
        pass
    except RegionError as error:
        return Tried(False, str(error), error.hint)
    return Tried(True, f"lists and reads; writing was not tried: {why}")


def try_all(region: Region, unique: str) -> Tried:
    """Try everything, with a small object under a key that nobody has used. Never raises for the store."""
    key = f"{PROBES}{unique}"
    try:
        next(iter(region.listed(PROBES)), None)
        region.put(key, _CONTENT)
    except RegionError as error:
        return Tried(False, str(error), error.hint)
    try:
        wrong = next(_wrong(region, key), None)
    except RegionError as error:
        wrong = Tried(False, str(error), error.hint)
    left = _deleted(region, key)
    return wrong or left or Tried(True, "lists, puts, reads and deletes")


def _wrong(region: Region, key: str) -> Iterator[Tried]:
    hint = "Holdfast needs a store with conditional writes (If-None-Match)"
    try:
        region.put(key, _OTHER)
    except AlreadyThere:
        pass
    else:
        yield Tried(False, f"{region.name}: what is there can be overwritten", hint)
    try:
        if region.get(key) != _CONTENT:
            yield Tried(False, f"{region.name}: what was put is not what is read", hint)
    except FileNotFoundError:
        yield Tried(False, f"{region.name}: what was put is not there", "does somebody delete there?")


def _deleted(region: Region, key: str) -> Tried | None:
    try:
        region.delete([key])
    except RegionRefused as error:
        text = f"lists, puts and reads, and does not delete: nothing expires ({error})"
        return Tried(True, text, error.hint, warning=True)
    except RegionError as error:
        return Tried(False, str(error), error.hint)
    return None
