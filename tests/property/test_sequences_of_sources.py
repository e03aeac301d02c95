"""Ranges beside sets, and batches beside what a reader would do by hand."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from holdfast.ledger.append.sequences import Numbers, numbered, sort

SMALL = st.integers(0, 30)
STRETCHES = st.lists(st.tuples(SMALL, st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair))), max_size=12)
KEYS = st.tuples(st.sampled_from("ab"), st.integers(1, 2), SMALL)


@given(STRETCHES, STRETCHES, st.none() | SMALL)
def test_ranges_are_the_set_that_was_added(
    stretches: list[tuple[int, int]], gone: list[tuple[int, int]], claimed: int | None
) -> None:
    numbers, model = Numbers(), set[int]()
    for first, last in stretches:
        assert numbers.touches(first, last) == bool(model & set(range(first, last + 1)))
        numbers.add(first, last)
        model |= set(range(first, last + 1))
    for first, last in gone:
        numbers.remove(first, last)
        model -= set(range(first, last + 1))
    assert {number for first, last in numbers.ranges for number in range(first, last + 1)} == model
    assert {number for number in range(60) if number in numbers} == model
    gaps = [b[0] - a[1] for a, b in zip(numbers.ranges, numbers.ranges[1:], strict=False)]
    assert all(gap > 1 for gap in gaps), "ranges that touch are one"

    end = max([*model, -1 if claimed is None else claimed], default=-1)
    missing = {number for first, last in numbers.missing(0, claimed) for number in range(first, last + 1)}
    assert missing == set(range(end + 1)) - model


@given(st.lists(KEYS, max_size=40), st.lists(KEYS, max_size=40))
def test_every_key_is_taken_once_in_the_order_of_arrival(
    earlier: list[tuple[str, int, int]], batch: list[tuple[str, int, int]]
) -> None:
    known: dict[tuple[str, int], Numbers] = {}
    for source, epoch, seq in earlier:
        known.setdefault((source, epoch), Numbers()).add(seq, seq)
    before = {key: list(numbers.ranges) for key, numbers in known.items()}
    stretches = numbered(
        [each[0] for each in batch], [each[1] for each in batch], [each[2] for each in batch]
    )
    found = sort(stretches, known)
    assert {key: numbers.ranges for key, numbers in known.items()} == before, "nothing is changed by it"
    told_as = [(each.source, each.epoch, each.first + at) for each in stretches for at in range(each.length)]
    assert told_as == batch

    seen, new, again = set(earlier), [], []
    for place, key in enumerate(batch):
        (again if key in seen else new).append(place)
        seen.add(key)
    assert [place for each in found.new for place in each] == new
    assert all(one.stop < two.start for one, two in pairwise(found.new)), "places that touch are together"
    assert [place for each in found.known for place in range(each.begin, each.end)] == again
    for each in found.known:
        keys = batch[each.begin : each.end]
        assert keys == [(each.source, each.epoch, each.first + at) for at in range(len(keys))]
        assert [key not in set(earlier) for key in keys] == [each.here] * len(keys)

    told = {}
    for run in found.runs:
        for number in range(run.first, run.last + 1):
            told[run.source, run.epoch, number] = run.leaf + number - run.first
    assert told == {batch[place]: leaf for leaf, place in enumerate(new)}
