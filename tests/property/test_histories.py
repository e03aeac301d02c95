"""The judge of histories, judged: true stories pass, however they are told; lies do not."""

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.histories import Kind, Operation, SetJudged, judge_set, linearizable


def write(value: str, began: float, ended: float = inf) -> Operation:
    return Operation(Kind.WRITE, value, began, ended)


def read(value: str | None, began: float, ended: float) -> Operation:
    return Operation(Kind.READ, value, began, ended)


def swap(was: str | None, value: str, began: float, ended: float = inf) -> Operation:
    return Operation(Kind.SWAP, value, began, ended, was)


def test_what_was_acknowledged_is_read_afterwards() -> None:
    assert linearizable([write("x", 0, 1), read("x", 2, 3)])
    assert not linearizable([write("x", 0, 1), read(None, 2, 3)]), "lost"


def test_nobody_reads_what_was_overwritten() -> None:
    assert not linearizable([write("x", 0, 1), write("y", 2, 3), read("x", 4, 5)])
    assert linearizable([write("x", 0, 1), write("y", 2, 9), read("x", 4, 5)]), "y may come later"


def test_once_the_new_is_seen_the_old_is_gone() -> None:
    told = [write("x", 0, 1), write("y", 2, 20), read("y", 3, 4), read("x", 5, 6)]
    assert not linearizable(told)


def test_without_an_answer_it_may_have_happened_at_any_time_or_never() -> None:
    assert linearizable([write("x", 0), read(None, 1, 2), read("x", 50, 51)])
    assert linearizable([write("x", 0), read(None, 1, 2), read(None, 50, 51)])
    assert not linearizable([write("x", 0), read("x", 1, 2), read(None, 3, 4)])
    assert not linearizable([read("x", 0, 1), write("x", 2)]), "nobody had begun to write it"


def test_of_two_swaps_from_one_value_one_happens() -> None:
    assert linearizable([swap(None, "x", 0, 5), Operation(Kind.REFUSED_SWAP, "y", 0, 5, None)])
    assert not linearizable([swap(None, "x", 0, 5), swap(None, "y", 0, 5)]), "two primaries"


def test_a_set_loses_nothing_and_makes_nothing_up() -> None:
    assert judge_set("abc", "ab", "ab") == SetJudged(frozenset(), frozenset())
    assert judge_set("abc", "ab", "abc") == SetJudged(frozenset(), frozenset())
    assert judge_set("abc", "ab", "a") == SetJudged(frozenset("b"), frozenset())
    assert judge_set("abc", "ab", "abz") == SetJudged(frozenset(), frozenset("z"))


@st.composite
def stories(draw: st.DrawFn) -> list[Operation]:
    """Operations one after the other at whole numbers, each told with room around its moment."""
    state: str | None = None
    told = []
    for moment in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(list(Kind)))
        was = draw(st.sampled_from([state, "another"]))
        operation = Operation(kind, state if kind is Kind.READ else f"v{moment}", 0, 0, was)
        if operation.kind is Kind.SWAP and was != state:
            operation = Operation(Kind.REFUSED_SWAP, operation.value, 0, 0, was)
        elif operation.kind is Kind.REFUSED_SWAP and was == state:
            operation = Operation(Kind.SWAP, operation.value, 0, 0, was)
        _, state = operation.applied(state)
        answered = operation.kind is Kind.READ or draw(st.booleans())
        began = moment - draw(st.floats(0, 4))
        ended = moment + draw(st.floats(0, 4)) if answered else inf
        told.append(Operation(operation.kind, operation.value, began, ended, operation.was))
    return draw(st.permutations(told))


@given(stories())
@settings(max_examples=300)
def test_every_true_story_is_believed(told: list[Operation]) -> None:
    assert linearizable(told)


@given(stories())
@settings(max_examples=200)
def test_a_value_that_nobody_wrote_is_never_believed(told: list[Operation]) -> None:
    assert not linearizable([*told, read("never written", 100, 101)])
