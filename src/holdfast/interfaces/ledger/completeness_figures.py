"""Completeness in OpenMetrics: by tenant for who may read all of them, or over all for who may know of none.

What is not known is left out: a figure that is absent raises an alert, and a 0 would not.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from holdfast.ledger.completeness.concerns import ConcernKind
from holdfast.ledger.completeness.judging import TenantStatus

Value = Callable[[TenantStatus, datetime], float | None]

_SUMS: Sequence[tuple[str, str, Value]] = (
    ("size", "Leaves of the log.", lambda each, _: each.log.size),
    ("published_size", "Leaves under the newest published checkpoint.", lambda each, _: each.log.published),
    (
        "one_region_entries",
        "Entries that were acknowledged and are not known to be in two regions.",
        lambda each, _: each.log.one_region,
    ),
    (
        "unfolded_entries",
        "Entries that reports, the index or completeness do not know yet.",
        lambda each, _: None if each.log.folded is None else each.log.size - each.log.folded,
    ),
    (
        "missing_numbers",
        "Numbers of sources that have not come, and are not settled.",
        lambda each, _: sum(gap.count for gap in each.missing),
    ),
    ("gaps", "Stretches of missing numbers.", lambda each, _: len(each.missing)),
    ("overdue_gaps", "Gaps that are older than what is usual.", lambda each, _: each.overdue),
    ("open_conflicts", "Conflict entries that are not settled.", lambda each, _: each.conflicts),
)
_AGES: Sequence[tuple[str, str, Value]] = (
    (
        "oldest_gap_seconds",
        "How old the oldest gap is; absent where there is none.",
        lambda each, now: _since(each.missing[0].since, now) if each.missing else None,
    ),
    (
        "last_entry_age_seconds",
        "Since an entry came in last.",
        lambda each, now: None if each.log.grown_at is None else _since(each.log.grown_at, now),
    ),
)


def by_tenant(statuses: Sequence[TenantStatus], now: datetime) -> Iterator[str]:
    """The lines, without the end of the document; none where there is no tenant."""
    if not statuses:
        return
    for name, text, value in (*_SUMS, *_AGES):
        yield from _head(name, text)
        for each in statuses:
            if (found := value(each, now)) is not None:
                yield f'holdfast_ledger_{name}{{tenant="{_quoted(each.log.tenant)}"}} {found}'
    yield from _head("concerns", "What somebody must look into.")
    for each in statuses:
        for kind in ConcernKind:
            count = sum(concern.kind is kind for concern in each.concerns)
            yield f'holdfast_ledger_concerns{{tenant="{_quoted(each.log.tenant)}",kind="{kind}"}} {count}'


def over_all(statuses: Sequence[TenantStatus], now: datetime) -> Iterator[str]:
    """The same without a word of whom it is about: sums, and the age of the oldest gap."""
    for name, text, value in (*_SUMS, _AGES[0]):
        found = [told for each in statuses if (told := value(each, now)) is not None]
        if found:
            yield from _head(name, text)
            yield f"holdfast_ledger_{name} {max(found) if name.endswith('_seconds') else sum(found)}"
    if statuses:
        yield from _head("concerns", "What somebody must look into.")
        for kind in ConcernKind:
            count = sum(concern.kind is kind for each in statuses for concern in each.concerns)
            yield f'holdfast_ledger_concerns{{kind="{kind}"}} {count}'


def _head(name: str, text: str) -> Iterator[str]:
    yield f"# TYPE holdfast_ledger_{name} gauge"
    if name.endswith("_seconds"):
        yield f"# UNIT holdfast_ledger_{name} seconds"
    yield f"# HELP holdfast_ledger_{name} {text}"


def _since(at: datetime, now: datetime) -> float:
    return max((now - at).total_seconds(), 0.0)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
