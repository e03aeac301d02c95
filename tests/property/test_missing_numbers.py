"""What is missing does not depend on how it came; it is what a set of numbers says."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from holdfast.ledger.append.sequences import Numbers
from holdfast.ledger.completeness.missing import Arrived, Book, Claim, Settled, missing, without

BEGAN = datetime(2026, 11, 23, tzinfo=UTC)
PORTIONS = st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=20), max_size=20)


def book_of(portions: list[list[int]]) -> Book:
    """Each portion comes a minute after the one before; a number that came before is no arrival."""
    book, known = Book("a", 1), set[int]()
    for n, portion in enumerate(portions):
        fresh = set(portion) - known
        known |= fresh
        if not fresh:
            continue
        numbers = Numbers()
        for number in fresh:
            numbers.add(number, number)
        arrived = Arrived(numbers, len(fresh), n, BEGAN)
        # Only the gaps that something arrived for are read from a store; the others are put back beside them.
        near = [gap for gap in book.gaps if numbers.touches(gap.first, gap.last)]
        far = [gap for gap in book.gaps if not numbers.touches(gap.first, gap.last)]
        book.gaps = near
        book.take(arrived, BEGAN + timedelta(minutes=n))
        book.gaps = sorted([*book.gaps, *far], key=lambda gap: gap.first)
    return book


@given(PORTIONS)
def test_gaps_are_what_a_set_says(portions: list[list[int]]) -> None:
    book, came = book_of(portions), {number for portion in portions for number in portion}
    absent = {number for gap in book.gaps for number in range(gap.first, gap.last + 1)}
    assert absent == {number for number in range(1, max(came, default=0)) if number not in came}
    assert sum(gap.last - gap.first + 1 for gap in book.gaps) == len(absent)
    if book.standing:
        assert (book.standing.lowest, book.standing.highest) == (min(came), max(came))
        assert book.standing.entries == len(came)


@given(PORTIONS)
def test_a_gap_is_as_old_as_the_first_later_number(portions: list[list[int]]) -> None:
    book = book_of(portions)
    came = dict[int, int]()
    for n, portion in enumerate(portions):
        for number in portion:
            came.setdefault(number, n)
    for gap in book.gaps:
        later = min(n for number, n in came.items() if number > gap.last)
        assert gap.since == BEGAN + timedelta(minutes=later)


@given(
    PORTIONS,
    st.lists(st.tuples(st.integers(0, 80), st.none() | st.integers(0, 10)), max_size=4),
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 20)), max_size=4),
)
def test_what_is_missing_is_what_is_claimed_and_neither_there_nor_settled(
    portions: list[list[int]], claimed: list[tuple[int, int | None]], closed: list[tuple[int, int]]
) -> None:
    book, came = book_of(portions), {number for portion in portions for number in portion}
    claims = [
        Claim("a", 1, highest, lowest, BEGAN + timedelta(days=n), BEGAN)
        for n, (highest, lowest) in enumerate(claimed)
    ]
    settled = [Settled("a", 1, first, first + more, "lost", "ada", BEGAN) for first, more in closed]
    found = missing([book.standing] if book.standing else [], book.gaps, claims, settled)

    lowests = [lowest for _, lowest in claimed if lowest is not None]
    begins = min(lowests) if lowests else 1
    highest = max([*came, *(each for each, _ in claimed)], default=-1)
    away = {number for first, more in closed for number in range(first, first + more + 1)}
    expected = {number for number in range(begins, highest + 1) if number not in came | away}
    told = [number for each in found for number in range(each.first, each.last + 1)]
    assert sorted(told) == sorted(expected)
    assert [each.since for each in found] == sorted(each.since for each in found)
    top = max(came, default=-1)
    assert all(each.is_tail == (each.first > top) for each in found if each.last != 0)


@given(
    st.integers(0, 30),
    st.integers(0, 30),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), max_size=6),
)
def test_without(first: int, wide: int, taken: list[tuple[int, int]]) -> None:
    numbers = Numbers()
    for start, more in taken:
        numbers.add(start, start + more)
    rest = [n for start, end in without(first, first + wide, numbers.ranges) for n in range(start, end + 1)]
    assert rest == [n for n in range(first, first + wide + 1) if n not in numbers]
