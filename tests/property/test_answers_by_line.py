"""What became of each line is told as it is, however the records stand in the request and in the log."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from holdfast.ledger.intake.taking import _stretches
from holdfast.ledger.model import Span

LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(LENGTHS, st.data())
def test_each_line_is_told_its_leaf(lengths: list[int], data: st.DataObject) -> None:
    """`lengths` are those of the stretches of records that stand on consecutive lines."""
    order = data.draw(st.permutations(range(len(lengths))))
    begins, starts, line, place = [0] * len(lengths), list[int](), 1, 0
    for at in order:
        begins[at] = line
        line += lengths[at] + data.draw(st.integers(0, 2))
    for length in lengths:
        starts.append(place)
        place += length
    line_of = [begin + at for begin, length in zip(begins, lengths, strict=True) for at in range(length)]

    spans, first = list[Span](), 0
    while first < place:
        end = data.draw(st.integers(first + 1, place))
        if data.draw(st.booleans()):
            spans.append(Span(first, end, data.draw(st.integers(0, 30))))
        first = end
    told = _stretches(begins, starts, spans)

    expected = {
        line_of[each.begin + at]: each.leaf + at for each in spans for at in range(each.end - each.begin)
    }
    found = [
        (line, each.leaf + at) for each in told for at, line in enumerate(range(each.first, each.last + 1))
    ]
    assert found == sorted(expected.items())
    for one, two in pairwise(told):
        assert one.last + 1 != two.first or two.leaf - one.leaf != two.first - one.first, "they are one"
