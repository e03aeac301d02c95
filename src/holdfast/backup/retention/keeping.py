"""For how long a region's copy of a database is kept: the widest of everything that was promised. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce

from holdfast.estate.backup import Keep
from holdfast.estate.model import Estate
from holdfast.kernel.durations import format_duration


def widest(first: Keep, second: Keep) -> Keep:
    """What keeps all that either of them keeps."""
    return Keep(
        window=max(first.window, second.window),
        daily=max(first.daily, second.daily),
        weekly=max(first.weekly, second.weekly),
        monthly=max(first.monthly, second.monthly),
        minimum=max(first.minimum, second.minimum),
    )


def narrows(declared: Keep, in_force: Keep) -> bool:
    """Whether going over to `declared` could let anything expire that `in_force` keeps."""
    return widest(declared, in_force) != declared


def promised_keeps(estate: Estate, database: str) -> Iterator[Keep]:
    """What the agreements with components of the database's cluster ask for."""
    cluster = estate.databases[database].cluster
    for agreement in estate.agreements.values():
        covers = any(pattern.split("/", 1)[0] in ("*", cluster) for pattern in agreement.components)
        if covers and agreement.keep is not None:
            yield agreement.keep


def declared_keep(estate: Estate, database: str, region: str) -> Keep:
    """The widest of the region's copy (or the database, where it says nothing) and the agreements.

    Raises KeyError for a database or a region that the estate does not name.
    """
    declared = estate.databases[database]
    own = declared.copies[region].keep or declared.keep
    return _widest_of(own, promised_keeps(estate, database))


def _widest_of(own: Keep, others: Iterable[Keep]) -> Keep:
    return reduce(widest, others, own)


def keep_document(keep: Keep) -> dict[str, object]:
    """A Keep as JSON, lengths of time as people write them."""
    return keep.model_dump(mode="json")


def keep_of(document: Mapping[str, object]) -> Keep:
    """The Keep that `keep_document` wrote; raises ValueError for anything else."""
    return Keep.model_validate(dict(document))


def keep_text(keep: Keep) -> str:
    """In one line, for people."""
    points = [f"{count} {name}" for name in ("daily", "weekly", "monthly") if (count := getattr(keep, name))]
    return ", ".join([f"any moment of {format_duration(keep.window)}", *points, f"at least {keep.minimum}"])
