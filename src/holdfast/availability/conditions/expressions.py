"""What a parsed condition is: a small tree, evaluated in one pass, explained only when it does not hold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from holdfast.availability.conditions.values import Absent, Facts, Reader, Several, show, show_text

Test = Callable[[object], bool | None]
"""Whether one value is as expected; None when it cannot be compared. Never raises."""

_LONGEST_EXPLANATION = 300


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Whether a condition held. When it did not, why, in one line.

    `explanation` quotes what the target said and is for operators. `public` says the same without the
    target's own words, for customers. Both are empty when the condition held.
    """

    holds: bool
    explanation: str = ""
    public: str = ""


_HOLDS = Evaluation(holds=True)


class Node(Protocol):
    """A part of a condition."""

    def test(self, facts: Facts) -> bool | None:
        """True, False, or None when nobody knows."""
        ...

    def explain(self, facts: Facts, *, quote: bool) -> str:
        """Why `test` was not True."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """The fact that a comparison is about, as it was written."""

    text: str
    read: Reader
    quotable: bool

    def shows(self, value: object, *, quote: bool) -> bool:
        """Whether `value` may be shown: the target's own words only to operators."""
        return quote or self.quotable or type(value) in (int, float, bool)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One fact against one expectation, such as `to be 200..299`."""

    subject: Subject
    accepts: Test
    expectation: str
    negated: bool = False

    def test(self, facts: Facts) -> bool | None:
        value = self.subject.read(facts)
        if type(value) is Absent:
            return None
        held = _each(self.accepts, value.values) if type(value) is Several else self.accepts(value)
        return held if held is None or not self.negated else not held

    def explain(self, facts: Facts, *, quote: bool) -> str:
        value = self.subject.read(facts)
        if isinstance(value, Absent):
            return value.why
        expectation = f"not {self.expectation}" if self.negated else self.expectation
        if self.subject.shows(value, quote=quote):
            actual = f"{self.subject.text} was {show(value)}"
            return f"{actual}, expected {expectation.replace('to be ', '', 1)}"
        return f"expected {self.subject.text} {expectation}"


@dataclass(frozen=True, slots=True)
class Existence:
    """Whether the target has something at all."""

    subject: Subject
    negated: bool = False

    def test(self, facts: Facts) -> bool | None:
        value = self.subject.read(facts)
        if type(value) is Absent:
            return self.negated if value.settled else None
        return not self.negated

    def explain(self, facts: Facts, *, quote: bool) -> str:
        value = self.subject.read(facts)
        if isinstance(value, Absent):
            return value.why
        if self.subject.shows(value, quote=quote):
            return f"{self.subject.text} was {show(value)}, expected none"
        return f"expected no {self.subject.text}"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when all parts do; does not when one does not; else nobody knows."""

    parts: tuple[Node, ...]

    def test(self, facts: Facts) -> bool | None:
        known = True
        for part in self.parts:
            held = part.test(facts)
            if held is False:
                return False
            known = known and held is not None
        return True if known else None

    def explain(self, facts: Facts, *, quote: bool) -> str:
        failing = [part for part in self.parts if part.test(facts) is not True]
        return failing[0].explain(facts, quote=quote) if failing else ""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when one part does; does not when no part does; else nobody knows."""

    parts: tuple[Node, ...]

    def test(self, facts: Facts) -> bool | None:
        known = True
        for part in self.parts:
            held = part.test(facts)
            if held:
                return True
            known = known and held is not None
        return False if known else None

    def explain(self, facts: Facts, *, quote: bool) -> str:
        return "; ".join(part.explain(facts, quote=quote) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition, parsed and ready. `names` are the facts it mentions."""

    text: str
    check_type: str
    names: frozenset[str]
    root: Node

    def holds(self, facts: Facts) -> Evaluation:
        """Whether the condition holds for `facts`. What is not known does not hold. Never raises."""
        if self.root.test(facts):
            return _HOLDS
        return Evaluation(
            holds=False,
            explanation=_cut(self.root.explain(facts, quote=True)),
            public=_cut(self.root.explain(facts, quote=False)),
        )


def _each(accepts: Test, values: tuple[object, ...]) -> bool | None:
    known = True
    for value in values:
        held = accepts(value)
        if held is False:
            return False
        known = known and held is not None
    return True if known else None


def _cut(text: str) -> str:
    if not text.isprintable():  # a line end in an expected text, for one
        text = "".join(c if c.isprintable() else show_text(c)[1:-1] for c in text)
    return text if len(text) <= _LONGEST_EXPLANATION else text[: _LONGEST_EXPLANATION - 3] + "..."
