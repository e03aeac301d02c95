"""However the log is cut into portions, the sums are those of its entries, corrections taken into account."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from holdfast.ledger.model import Conflict, Correction, Kind, Price, Record, Status
from holdfast.ledger.reports.rollups import Cell, Paper, Sums, fold, named_by, told

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
        prices = st.builds(Price, st.integers(-5, 50), st.sampled_from(["EUR", "USD"]))
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
                prices=draw(
                    st.dictionaries(st.sampled_from(["paper", "ink"]), prices, max_size=2) | st.just(UNSET)
                ),
                seq=leaf,
                sheets=draw(st.dictionaries(st.sampled_from(["A4", "A3"]), st.integers(0, 5))),
                source="s",
                status=draw(st.sampled_from(Status)),
                tenant="acme",
            )
        )
    return entries


def standing(entries: list[Record | Conflict]) -> tuple[list[Record], set[int], list[int]]:
    """A reader's way: which entries stand in the end, which were replaced, which name nothing."""
    replaced, ignored = set[int](), list[int]()
    for leaf, entry in enumerate(entries):
        if isinstance(entry, Record) and entry.corrects:
            target = entry.corrects.leaf
            free = target not in replaced and target not in ignored
            if target < leaf and isinstance(entries[target], Record) and free:
                replaced.add(target)
            else:
                ignored.append(leaf)
    stand = [
        entry
        for leaf, entry in enumerate(entries)
        if isinstance(entry, Record) and leaf not in replaced and leaf not in ignored
    ]
    return stand, replaced, ignored


@given(logs(), st.lists(st.integers(0, 25), max_size=6))
def test_the_sums_are_those_of_what_stands(entries: list[Record | Conflict], cuts: list[int]) -> None:
    sums: defaultdict[Cell, Sums] = defaultdict(Sums)
    sheets: defaultdict[Paper, int] = defaultdict(int)
    corrected: dict[int, int] = {}
    void = list[int]()
    touched: dict[date, int] = {}
    bounds = sorted({0, len(entries), *(min(cut, len(entries)) for cut in cuts)})
    for start, end in pairwise(bounds):
        portion = list(enumerate(entries))[start:end]
        named = {leaf: entries[leaf] for leaf in named_by(portion) if leaf < len(entries)}
        folded = fold(portion, BERLIN, named=named, settled=corrected.keys() | set(void))
        for cell, each in folded.sums.items():
            sums[cell] = sums[cell].plus(each)
        for paper, count in folded.sheets.items():
            sheets[paper] += count
        assert not corrected.keys() & folded.corrected.keys()
        corrected |= folded.corrected
        void += folded.void
        touched = folded.touched | touched

    stand, replaced, ignored = standing(entries)
    assert (void, corrected.keys()) == (ignored, replaced)
    _are_those_of(stand, {k: v for k, v in sums.items() if any(v)})
    papers: defaultdict[str, int] = defaultdict(int)
    for paper, count in sheets.items():
        papers[paper.format] += count
    for format_ in ("A4", "A3"):
        assert papers[format_] == sum((entry.sheets or {}).get(format_, 0) for entry in stand)
    assert {cell.day for cell in sums} <= touched.keys()


def _are_those_of(stand: list[Record], sums: dict[Cell, Sums]) -> None:
    def day(entry: Record) -> date:
        return entry.occurred_at.astimezone(BERLIN).date()

    keys = {(cell.day, cell.kind, cell.device, cell.user, cell.cost_centre) for cell in sums}
    keys |= {(day(e), e.kind, e.device or "", e.user or "", e.cost_centre or "") for e in stand}
    for key in keys:
        mine = [
            e for e in stand if (day(e), e.kind, e.device or "", e.user or "", e.cost_centre or "") == key
        ]
        theirs = {cell.currency: each for cell, each in sums.items() if cell[:5] == key}
        whole = Sums()
        for each in theirs.values():
            whole = whole.plus(each)
        assert whole.jobs == len(mine)
        assert whole.failed == sum(e.status is Status.FAILED for e in mine)
        assert whole.sheets == sum(sum((e.sheets or {}).values()) for e in mine)
        assert whole.mono_impressions == sum(told(e.mono_impressions) for e in mine)
        for currency in ("EUR", "USD"):
            prices = [price for e in mine for price in (e.prices or {}).values()]
            paid = sum(price.amount for price in prices if price.currency == currency)
            assert theirs.get(currency, Sums()).amount == paid


@given(logs(), st.integers(0, 25))
def test_what_retention_took_makes_wrong_only_the_days_it_touched(
    entries: list[Record | Conflict], pruned: int
) -> None:
    pruned = min(pruned, len(entries))
    whole = list(enumerate(entries))
    everything = fold(whole, BERLIN, named=dict(whole), settled=set())
    before = fold(whole[:pruned], BERLIN, named=dict(whole), settled=set())
    again = fold(
        whole[pruned:],
        BERLIN,
        named=dict(whole[pruned:]),
        settled=before.corrected.keys() | set(before.void),
        trusted={target: leaf for target, leaf in everything.corrected.items() if target < pruned <= leaf},
    )
    lost = {day for day, leaf in everything.touched.items() if leaf < pruned}
    kept = {cell: sums for cell, sums in everything.sums.items() if cell.day not in lost}
    assert {cell: sums for cell, sums in again.sums.items() if cell.day not in lost} == kept
    assert before.corrected | again.corrected == everything.corrected


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
    folded = fold([(0, entry)], BERLIN, named={}, settled=set())
    assert folded.sums == {Cell(date(2026, 3, 29), Kind.PRINT, "", "", "", ""): Sums(jobs=1)}
