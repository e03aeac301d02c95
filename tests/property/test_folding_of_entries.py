"""However the log is cut into portions, the sums are those of its entries, corrections taken into account."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from holdfast.ledger.model import Conflict, Correction, Kind, Price, Record, Status
from holdfast.ledger.rollups import Cell, Cost, Sums, cell_of, fold, named_by, sums_of

BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)
"""Before the night in which the clock is set forward."""


@st.composite
def logs(draw: st.DrawFn) -> list[Record | Conflict]:
    entries: list[Record | Conflict] = []
    for leaf in range(draw(st.integers(0, 25))):
        if draw(st.integers(0, 9)) == 0:
            entries.append(Conflict("{}", 1, 0, leaf, "s", "acme"))
            continue
        corrects = UNSET
        if draw(st.integers(0, 3)) == 0:
            corrects = Correction("ada", draw(st.integers(0, 27)), "wrong")
        entries.append(
            Record(
                corrects=corrects,
                cost_centre=draw(st.sampled_from(["red", "blue"]) | st.just(UNSET)),
                device=draw(st.sampled_from(["one", "two"])),
                epoch=1,
                job=str(leaf),
                kind=draw(st.sampled_from(Kind)),
                mono_impressions=draw(st.integers(0, 9) | st.just(UNSET)),
                occurred_at=MIDNIGHT + timedelta(minutes=30 * draw(st.integers(0, 60))),
                prices={"paper": Price(draw(st.integers(-5, 50)), draw(st.sampled_from(["EUR", "USD"])))},
                seq=leaf,
                sheets=draw(st.dictionaries(st.sampled_from(["A4", "A3"]), st.integers(0, 5))),
                source="s",
                status=draw(st.sampled_from(Status)),
                tenant="acme",
            )
        )
    return entries


@given(logs(), st.lists(st.integers(0, 25), max_size=6))
def test_the_sums_are_those_of_what_stands(entries: list[Record | Conflict], cuts: list[int]) -> None:
    sums: defaultdict[Cell, Sums] = defaultdict(Sums)
    costs: defaultdict[Cost, int] = defaultdict(int)
    corrected: dict[int, int] = {}
    void = list[int]()
    bounds = sorted({0, len(entries), *(min(cut, len(entries)) for cut in cuts)})
    for start, end in pairwise(bounds):
        portion = list(enumerate(entries))[start:end]
        named = {leaf: entries[leaf] for leaf in named_by(portion) if leaf < len(entries)}
        folded = fold(portion, BERLIN, named=named, settled=corrected.keys() | set(void))
        for cell, each in folded.sums.items():
            sums[cell] = sums[cell].plus(each)
        for cost, amount in folded.costs.items():
            costs[cost] += amount
        assert not corrected.keys() & folded.corrected.keys()
        corrected |= folded.corrected
        void += folded.void

    # A reader's way: which entries stand in the end, and what they come to.
    replaced, ignored = set[int](), list[int]()
    for leaf, entry in enumerate(entries):
        if isinstance(entry, Record) and entry.corrects:
            target = entry.corrects.leaf
            free = target not in replaced and target not in ignored
            if target < leaf and isinstance(entries[target], Record) and free:
                replaced.add(target)
            else:
                ignored.append(leaf)
    assert (void, corrected.keys()) == (ignored, replaced)
    expected: defaultdict[Cell, Sums] = defaultdict(Sums)
    paid: defaultdict[Cost, int] = defaultdict(int)
    for leaf, entry in enumerate(entries):
        if isinstance(entry, Record) and leaf not in replaced and leaf not in ignored:
            expected[cell_of(entry, BERLIN)] = expected[cell_of(entry, BERLIN)].plus(sums_of(entry))
            amount = sum(price.amount for price in (entry.prices or {}).values())
            currency = next(price.currency for price in (entry.prices or {}).values())
            paid[Cost(cell_of(entry, BERLIN), currency)] += amount
    assert {k: v for k, v in sums.items() if any(v)} == {k: v for k, v in expected.items() if any(v)}
    assert {k: v for k, v in costs.items() if v} == {k: v for k, v in paid.items() if v}


def test_a_day_is_the_tenants_own() -> None:
    entry = Record(
        epoch=1,
        job="1",
        kind=Kind.PRINT,
        occurred_at=datetime(2026, 3, 28, 23, 30, tzinfo=UTC),
        seq=1,
        source="s",
        status=Status.COMPLETED,
        tenant="acme",
    )
    assert cell_of(entry, BERLIN).day.isoformat() == "2026-03-29"
    assert sums_of(entry) == Sums(jobs=1)
