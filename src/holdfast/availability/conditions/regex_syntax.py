"""The regular expressions of the condition language: Python's notation, without what needs backtracking.

alternation := sequence ("|" sequence)*
sequence    := (atom ("*" | "+" | "?" | "{m}" | "{m,}" | "{,n}" | "{m,n}")?)*
atom        := character | "." | "[...]" | "(...)" | "(?:...)" | "^" | "$" | backslash and a letter
flags at the very start: (?i) any case, (?s) a dot takes line ends too, (?m) ^ and $ at each line
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial

from holdfast.availability.errors import ConditionError

Accepts = Callable[[str], bool]


class Assertion(Enum):
    """What a position may be asked, without taking a character."""

    TEXT_START = auto()
    LINE_START = auto()
    TEXT_END = auto()
    LAST_LINE_END = auto()
    LINE_END = auto()
    WORD_EDGE = auto()
    NO_WORD_EDGE = auto()


@dataclass(frozen=True, slots=True)
class Edge:
    """Takes one character."""

    accepts: Accepts
    following: int


@dataclass(slots=True)
class Split:
    """Goes on at any of several nodes."""

    branches: list[int]


@dataclass(frozen=True, slots=True)
class Match:
    """The pattern has matched."""


Node = Edge | Split | Match | tuple[Assertion, int]
Build = Callable[["Automaton", int], int]
"""Adds the nodes of a part of a pattern that goes on at a given node; returns the part's first node."""


@dataclass(slots=True)
class Automaton:
    """Nodes by number. It is built from its end to its start."""

    nodes: list[Node] = field(default_factory=list)
    start: int = 0

    def add(self, node: Node) -> int:
        if len(self.nodes) >= _MOST_NODES:
            raise ConditionError("the pattern is too large", position=0, hint="use smaller repeat counts")
        self.nodes.append(node)
        return len(self.nodes) - 1


_MOST_NODES = 500
_MOST_REPEATS = 250
_DEEPEST = 20
_FLAGS = re.compile(r"\(\?([ims]+)\)")
_COUNTS = re.compile(r"\{([0-9]{0,6})(,?)([0-9]{0,6})\}")
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_ASSERTIONS = {
    "A": Assertion.TEXT_START,
    "Z": Assertion.TEXT_END,
    "b": Assertion.WORD_EDGE,
    "B": Assertion.NO_WORD_EDGE,
}


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


_CLASSES: dict[str, Accepts] = {"d": str.isdecimal, "w": _is_word, "s": str.isspace}


def read_pattern(text: str) -> Automaton:
    """The automaton for `text`. Raises ConditionError at the offset of what is wrong or refused."""
    automaton = Automaton()
    build = _Reader(text).read()
    automaton.start = build(automaton, automaton.add(Match()))
    return automaton


class _Reader:
    def __init__(self, text: str) -> None:
        flags = _FLAGS.match(text)
        letters = flags[1] if flags else ""
        self.any_case, self.multiline, self.dot_all = "i" in letters, "m" in letters, "s" in letters
        self.text = text
        self.position = flags.end() if flags else 0
        self.depth = 0

    def read(self) -> Build:
        build = self.alternation()
        if self.position < len(self.text):
            raise self.wrong("a closing parenthesis without an opening one")
        return build

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def take(self) -> str:
        character = self.peek()
        if not character:
            raise self.wrong("the pattern ends too early")
        self.position += 1
        return character

    def wrong(self, message: str, *, hint: str = "") -> ConditionError:
        return ConditionError(f"in the pattern: {message}", position=self.position, hint=hint)

    def alternation(self) -> Build:
        branches = [self.sequence()]
        while self.peek() == "|":
            self.position += 1
            branches.append(self.sequence())
        return branches[0] if len(branches) == 1 else partial(_any_of, branches)

    def sequence(self) -> Build:
        parts: list[Build] = []
        while self.peek() not in ("", "|", ")"):
            parts.append(self.repeated(self.atom()))
        return partial(_one_after_another, parts)

    def repeated(self, part: Build) -> Build:
        counts = self.counts()
        if counts is None:
            return part
        if self.peek() == "?":  # lazy or not is no question when only the existence of a match counts
            self.position += 1
        if self.peek() == "+" or self.counts() is not None:
            raise self.wrong("a repeat cannot be repeated or possessive", hint="group it: (?:a+)*")
        least, most = counts
        if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise self.wrong(f"repeats go from few to many, at most {_MOST_REPEATS}")
        return partial(_repeat, part, least, most)

    def counts(self) -> tuple[int, int | None] | None:
        character = self.peek()
        if character and character in "*+?":
            self.position += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[character]
        match = _COUNTS.match(self.text, self.position)
        if match is None or match[0] in ("{}", "{,}"):  # a brace that counts nothing stands for itself
            return None
        self.position = match.end()
        least = int(match[1] or 0)
        return least, (int(match[3]) if match[3] else None) if match[2] else least

    def atom(self) -> Build:
        match self.take():
            case "(":
                return self.group()
            case "[":
                return self.characters()
            case ".":
                return partial(_take, (lambda _: True) if self.dot_all else (lambda c: c != "\n"))
            case "^":
                return partial(_assert, Assertion.LINE_START if self.multiline else Assertion.TEXT_START)
            case "$":
                return partial(_assert, Assertion.LINE_END if self.multiline else Assertion.LAST_LINE_END)
            case "\\":
                return self.escape()
            case "*" | "+" | "?":
                self.position -= 1
                raise self.wrong("nothing to repeat")
            case character:
                return partial(_take, self.cased(character.__eq__))

    def group(self) -> Build:
        if self.peek() == "?":
            if not self.text.startswith("?:", self.position):
                raise self.wrong(
                    "look-around, back references and named groups are not supported",
                    hint="use ( ) or (?: ), and combine conditions with and, or, not",
                )
            self.position += 2
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.wrong("too many groups in groups")
        build = self.alternation()
        if self.take() != ")":
            raise self.wrong("a group is not closed")
        self.depth -= 1
        return build

    def escape(self) -> Build:
        character = self.take()
        if character in _ASSERTIONS:
            return partial(_assert, _ASSERTIONS[character])
        return partial(_take, self.escaped(character))

    def escaped(self, character: str) -> Accepts:
        if accepts := _CLASSES.get(character.lower()):
            return accepts if character.islower() else partial(_none_of, [accepts])
        return self.cased(self.literal(character).__eq__)

    def literal(self, character: str) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isalnum():
            self.position -= 1
            hint = "back references are not supported" if character.isdigit() else ""
            raise self.wrong(f"\\{character} has no meaning", hint=hint)
        return character

    def characters(self) -> Build:
        """A class. The opening bracket is taken already."""
        negated = self.peek() == "^"
        self.position += negated
        members: list[Accepts] = []
        while (character := self.take()) != "]" or not members:
            members.append(self.member(character))
        accepts = partial(_some_of, members)
        return partial(_take, partial(_none_of, [self.cased(accepts)]) if negated else self.cased(accepts))

    def member(self, character: str) -> Accepts:
        if character == "\\":
            character = self.take()
            if character.lower() in _CLASSES:
                return self.escaped(character)
            character = self.literal(character)
        if self.peek() != "-" or self.text[self.position + 1 : self.position + 2] in ("]", ""):
            return character.__eq__
        self.position += 1
        last = self.take()
        last = self.literal(self.take()) if last == "\\" else last
        if last < character:
            raise self.wrong(f"the range {character}-{last} runs backwards")
        return partial(_between, character, last)

    def cased(self, accepts: Accepts) -> Accepts:
        return partial(_in_any_case, accepts) if self.any_case else accepts


def _some_of(members: list[Accepts], character: str) -> bool:
    return any(accepts(character) for accepts in members)


def _none_of(members: list[Accepts], character: str) -> bool:
    return not any(accepts(character) for accepts in members)


def _between(first: str, last: str, character: str) -> bool:
    return first <= character <= last


def _in_any_case(accepts: Accepts, character: str) -> bool:
    return accepts(character) or accepts(character.lower()) or accepts(character.upper())


def _take(accepts: Accepts, automaton: Automaton, following: int) -> int:
    return automaton.add(Edge(accepts, following))


def _assert(assertion: Assertion, automaton: Automaton, following: int) -> int:
    return automaton.add((assertion, following))


def _any_of(branches: list[Build], automaton: Automaton, following: int) -> int:
    return automaton.add(Split([build(automaton, following) for build in branches]))


def _one_after_another(parts: list[Build], automaton: Automaton, following: int) -> int:
    if not parts:  # even nothing is a node, or repeats of repeats of nothing would escape the bound on nodes
        return automaton.add(Split([following]))
    for build in reversed(parts):
        following = build(automaton, following)
    return following


def _repeat(part: Build, least: int, most: int | None, automaton: Automaton, following: int) -> int:
    if most is None:
        loop = Split([following])
        following = automaton.add(loop)
        loop.branches.append(part(automaton, following))
    else:
        after = following
        for _ in range(most - least):
            following = automaton.add(Split([after, part(automaton, following)]))
    for _ in range(least):
        following = part(automaton, following)
    return following
