"""How many entries each line of the access trail tells of a bundle."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.bootstrap.ledger.bundles import handed_out


def test_each_stretch_has_its_own_number() -> None:
    chosen = [range(17, 18), range(1000, 1010)]
    assert list(handed_out(chosen, chosen, 0)) == [1, 10]
    assert list(handed_out([range(17, 1010)], chosen, 0)) == [11]
    # Of what retention took nobody was handed anything: the first five were not there any more.
    assert list(handed_out(chosen, chosen, 5)) == [0, 6]


def test_of_what_matched_each_stretch_has_its_part() -> None:
    asked = [range(101), range(200, 300)]
    found = [range(leaf, leaf + 1) for leaf in (3, 100, 200, 250, 299)]
    assert list(handed_out(asked, found, 0)) == [2, 3]
    assert list(handed_out(asked, [], 0)) == [0, 0]


@given(st.sets(st.integers(0, 300)), st.integers(0, 300), st.integers(1, 40))
def test_together_they_are_all_that_were_handed_out(leaves: set[int], cut: int, width: int) -> None:
    chosen = [range(leaf, leaf + 1) for leaf in sorted(leaves)]
    spans = [range(first, first + width) for first in range(0, 301, width)]
    pruned = sum(leaf < cut for leaf in leaves)
    told = list(handed_out(spans, chosen, pruned))
    assert told == [sum(leaf in span and leaf >= cut for leaf in leaves) for span in spans]
