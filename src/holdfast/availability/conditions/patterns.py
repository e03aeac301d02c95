"""Regular expressions whose cost no text can blow up.

The operator writes the pattern, but anybody may write the text. Python's `re` backtracks: `a.*b` over 64 KiB
of `a` is two billion steps, and nested repeats never end. Here a pattern becomes a nondeterministic automaton
(Thompson, CACM 1968), run as a deterministic one whose states are made as the text asks for them (as in RE2
and grep). Each character is looked at once, and the making of states has a budget of its own.

What cannot be run that way is refused: back references, look-around, possessive and conditional groups.
"""

from collections.abc import Callable
from enum import Enum

from holdfast.availability.conditions.regex_syntax import (
    Assertion,
    Automaton,
    Edge,
    Match,
    Split,
    read_pattern,
)

LONGEST_TEXT = 65_536
"""A pattern looks at this many characters of a text, the first ones."""

_WORK = 200_000
_MOST_STATES = 500
_MOST_TRANSITIONS = 20_000


class Side(Enum):
    """What stands beside a position in the text, as far as assertions care."""

    EDGE = 0
    NEWLINE = 1
    LAST_NEWLINE = 2
    WORD = 3
    OTHER = 4


_NEWLINES = (Side.NEWLINE, Side.LAST_NEWLINE)
_HOLDS: dict[Assertion, Callable[[Side, Side], bool]] = {
    Assertion.TEXT_START: lambda before, _: before is Side.EDGE,
    Assertion.LINE_START: lambda before, _: before is Side.EDGE or before in _NEWLINES,
    Assertion.TEXT_END: lambda _, after: after is Side.EDGE,
    Assertion.LAST_LINE_END: lambda _, after: after in (Side.EDGE, Side.LAST_NEWLINE),
    Assertion.LINE_END: lambda _, after: after is Side.EDGE or after in _NEWLINES,
    Assertion.WORD_EDGE: lambda before, after: (before is Side.WORD) != (after is Side.WORD),
    Assertion.NO_WORD_EDGE: lambda before, after: (before is Side.WORD) == (after is Side.WORD),
}


class _State(dict[str, "_State"]):
    """Where the automaton may be between two characters; as a mapping, where each next character leads."""

    __slots__ = ("before", "kernel")

    def __init__(self, kernel: frozenset[int], before: Side) -> None:
        super().__init__()
        self.kernel = kernel
        self.before = before


class Pattern:
    """A compiled pattern. Searching keeps what it learnt, within bounds; the answers never depend on it."""

    def __init__(self, text: str) -> None:
        """Raises ConditionError for a pattern that is wrong or refused, at its offset in `text`."""
        self.text = text
        self._automaton: Automaton = read_pattern(text)
        self._found = _State(frozenset(), Side.OTHER)
        self._states: dict[tuple[frozenset[int], Side], _State] = {}
        self._transitions = 0
        self._budget = 0

    def found_in(self, text: str) -> bool | None:
        """Whether it matches anywhere in the first 64 Ki characters; None when that takes too long."""
        self._budget = _WORK
        whole = len(text) <= LONGEST_TEXT
        body, last = (text[:-1], text[-1:]) if whole else (text[:LONGEST_TEXT], "")
        found, state = self._found, self._state(frozenset((self._automaton.start,)), Side.EDGE)
        for character in body:
            following = state.get(character)
            if following is None:
                following = self._learn(state, character)
                if self._budget < 0:
                    return None
            if following is found:
                return True
            state = following
        if last:
            state = self._next(state, last, Side.LAST_NEWLINE if last == "\n" else _side(last))
        if state is found:
            return True
        return whole and self._closure(state, Side.EDGE) is None

    def _state(self, kernel: frozenset[int], before: Side) -> _State:
        state = self._states.get((kernel, before))
        if state is None:
            if len(self._states) >= _MOST_STATES:
                self._forget()
            state = self._states[kernel, before] = _State(kernel, before)
        return state

    def _forget(self) -> None:
        for state in self._states.values():
            state.clear()
        self._states.clear()
        self._transitions = 0

    def _learn(self, state: _State, character: str) -> _State:
        if self._transitions >= _MOST_TRANSITIONS:
            self._forget()
        following = self._next(state, character, _side(character))
        state[character] = following
        self._transitions += 1
        return following

    def _next(self, state: _State, character: str, after: Side) -> _State:
        here = self._closure(state, after)
        if here is None:
            return self._found
        start = self._automaton.start  # a match may begin at any character
        kernel = frozenset([start, *(edge.following for edge in here if edge.accepts(character))])
        return self._state(kernel, Side.NEWLINE if after is Side.LAST_NEWLINE else after)

    def _closure(self, state: _State, after: Side) -> list[Edge] | None:
        """The characters that may come next, or None when the pattern has matched already."""
        nodes, before = self._automaton.nodes, state.before
        edges: list[Edge] = []
        seen = set(state.kernel)
        waiting = list(state.kernel)
        while waiting:
            node = nodes[waiting.pop()]
            reached: tuple[int, ...] = ()
            match node:
                case Edge():
                    edges.append(node)
                case Split(branches):
                    reached = tuple(branches)
                case Match():
                    return None
                case (assertion, following):
                    reached = (following,) if _HOLDS[assertion](before, after) else ()
            for each in reached:
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        self._budget -= len(seen) + 1
        return edges


def _side(character: str) -> Side:
    if character == "\n":
        return Side.NEWLINE
    return Side.WORD if character.isalnum() or character == "_" else Side.OTHER
