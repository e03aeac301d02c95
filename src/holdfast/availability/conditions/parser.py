"""Tokens into an expression. Recursive descent; one method per rule of the grammar.

    condition  := all ("or" all)*
    all        := one ("and" one)*
    one        := "not" one | "(" condition ")" | comparison
    comparison := fact "exists" | fact "not"? operator literal | fact "not"? "in" choice
                | fact                                            (one that is true or false)
    fact       := NAME | NAME "(" text ")"
    choice     := literal ".." literal | "(" literal ("," literal)* ")"

A `not` is carried down to the comparisons (De Morgan), so that an explanation names a fact.
"""

from difflib import get_close_matches

from holdfast.availability.conditions import comparisons
from holdfast.availability.conditions.expressions import (
    AllOf,
    AnyOf,
    Comparison,
    Existence,
    Expression,
    Node,
    Subject,
    Test,
)
from holdfast.availability.conditions.facts import CHECK_TYPES, Fact, Kind, reader_of
from holdfast.availability.conditions.lexer import Lexeme, Token, lex
from holdfast.availability.errors import ConditionError

_DEEPEST = 20
_PHRASES = {"==": "to be {}", "!=": "to be anything but {}"}
_SEPARATE = {
    "contains": "to contain",
    "starts_with": "to start with",
    "ends_with": "to end with",
    "matches": "to match",
}
_KEYWORDS = frozenset({"and", "or", "not", "exists"}) | comparisons.OPERATORS


def parse(text: str, check_type: str = "http") -> Expression:
    """The expression that `text` says, for facts of `check_type`.

    Raises ConditionError with the offset of the trouble and a hint; nothing about types is left for later.
    """
    facts = CHECK_TYPES.get(check_type)
    if facts is None:
        raise ConditionError(
            f"no check type {check_type!r}", position=0, hint=f"check types are {', '.join(CHECK_TYPES)}"
        )
    parser = _Parser(lex(text), check_type)
    root = parser.condition(negated=False)
    parser.end()
    return Expression(text, check_type, frozenset(parser.names), root)


def validate(check_type: str, text: str) -> str | None:
    """What is wrong with the condition, in one line with the hint, or None when nothing is."""
    try:
        parse(text, check_type)
    except ConditionError as error:
        where = f"{error} (at character {error.position + 1})"
        return f"{where}; {error.hint}" if error.hint else where
    return None


class _Parser:
    def __init__(self, lexemes: list[Lexeme], check_type: str) -> None:
        self.lexemes = lexemes
        self.at = 0
        self.check_type = check_type
        self.facts = CHECK_TYPES[check_type]
        self.names: set[str] = set()
        self.depth = 0

    @property
    def here(self) -> Lexeme:
        return self.lexemes[self.at]

    def take(self) -> Lexeme:
        lexeme = self.here
        if lexeme.token is not Token.END:
            self.at += 1
        return lexeme

    def skips(self, text: str) -> bool:
        if self.here.is_(text):
            self.at += 1
            return True
        return False

    def wrong(self, message: str, *, at: Lexeme | None = None, hint: str = "") -> ConditionError:
        return ConditionError(message, position=(at or self.here).position, hint=hint)

    def expect(self, symbol: str) -> None:
        if not self.skips(symbol):
            raise self.wrong(f"expected {symbol!r}, not {self.here.text}")

    def end(self) -> None:
        if self.here.token is not Token.END:
            raise self.wrong(f"expected `and`, `or` or the end, not {self.here.text}")

    def condition(self, *, negated: bool) -> Node:
        parts = [self.all(negated=negated)]
        while self.skips("or"):
            parts.append(self.all(negated=negated))
        return _joined(parts, AllOf if negated else AnyOf)

    def all(self, *, negated: bool) -> Node:
        parts = [self.one(negated=negated)]
        while self.skips("and"):
            parts.append(self.one(negated=negated))
        return _joined(parts, AnyOf if negated else AllOf)

    def one(self, *, negated: bool) -> Node:
        while self.skips("not"):
            negated = not negated
        if not self.here.is_("("):
            return self.comparison(negated=negated)
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.wrong("too many parentheses in parentheses")
        self.take()
        inner = self.condition(negated=negated)
        self.expect(")")
        self.depth -= 1
        return inner

    def comparison(self, *, negated: bool) -> Node:
        start = self.here
        fact, subject = self.fact()
        if self.skips("exists"):
            return Existence(subject, negated)
        inverted = self.skips("not")
        operator = self.take()
        if operator.text not in comparisons.OPERATORS or operator.token is Token.LITERAL:
            self.at -= operator.token is not Token.END
            if fact.kind is Kind.BOOLEAN and not inverted:
                return Comparison(subject, comparisons.test_of("==", literal=True), "to be true", negated)
            raise self.no_operator(operator, fact)
        if operator.text not in comparisons.allowed(fact.kind):
            raise self.wrong(
                f"{start.text} is {fact.kind.value} and cannot be compared with {operator.text}",
                at=operator,
                hint=f"it can be compared with {', '.join(sorted(comparisons.allowed(fact.kind)))}",
            )
        if operator.text == "in":
            test, expectation = self.choice(fact, subject)
        else:
            literal = self.literal(fact, subject, operator.text)
            test, expectation = self.test(operator.text, literal), _phrase(operator.text, literal.text)
        if inverted:
            test, expectation = comparisons.inverted(test), f"not {expectation}"
        return Comparison(subject, test, expectation, negated)

    def fact(self) -> tuple[Fact, Subject]:
        name = self.take()
        if name.token is not Token.NAME or name.text in _KEYWORDS:
            raise self.no_fact(name)
        fact = self.facts.get(name.text)
        if fact is None:
            close = get_close_matches(name.text, self.facts, 1)
            hint = f"did you mean {close[0]}?" if close else f"it sees {', '.join(sorted(self.facts))}"
            raise self.wrong(f"a check of type {self.check_type} sees no {name.text}", at=name, hint=hint)
        self.names.add(name.text)
        if fact.select is None:
            if self.here.is_("("):
                raise self.wrong(f"{name.text} takes nothing in parentheses")
            return fact, Subject(name.text, fact.read or reader_of(name.text), fact.quotable)
        if not self.skips("("):
            raise self.wrong(f"{name.text} of what?", hint=f'write {name.text}("...")')
        argument = self.take()
        if not isinstance(argument.value, str) or not argument.value:
            raise self.wrong(f"{name.text} takes a text in quotes", at=argument)
        self.expect(")")
        try:
            read = fact.select(argument.value)
        except ConditionError as error:
            raise self.wrong(str(error), at=argument, hint=error.hint) from error
        return fact, Subject(f"{name.text}({argument.text})", read, fact.quotable)

    def literal(self, fact: Fact, subject: Subject, operator: str) -> Lexeme:
        literal = self.take()
        if literal.token is not Token.LITERAL:
            hint = "text stands in quotes" if literal.token is Token.NAME else ""
            raise self.wrong(f"expected a value, not {literal.text}", at=literal, hint=hint)
        if not comparisons.comparable(fact.kind, operator, literal.value):
            hint = "durations are written 500ms, 10s or 14d" if fact.kind is Kind.DURATION else ""
            against = f"{subject.text} is {fact.kind.value}"
            raise self.wrong(f"{against} and cannot be compared with {literal.text}", at=literal, hint=hint)
        return literal

    def choice(self, fact: Fact, subject: Subject) -> tuple[Test, str]:
        if not self.skips("("):
            return self.range(fact, subject)
        literals = [self.literal(fact, subject, "in")]
        while self.skips(","):
            literals.append(self.literal(fact, subject, "in"))
        self.expect(")")
        test = comparisons.one_of(tuple(literal.value for literal in literals))
        return test, f"to be one of {', '.join(each.text for each in literals)}"

    def range(self, fact: Fact, subject: Subject) -> tuple[Test, str]:
        low = self.literal(fact, subject, "in")
        if comparisons.kind_of(low.value) not in (Kind.NUMBER, Kind.DURATION):
            hint = 'list the values: in ("a", "b")'
            raise self.wrong("only numbers and durations have ranges", at=low, hint=hint)
        self.expect("..")
        high = self.literal(fact, subject, "in")
        text = f"{low.text}..{high.text}"
        if comparisons.kind_of(low.value) is not comparisons.kind_of(high.value):
            raise self.wrong(f"the ends of a range are alike, unlike {text}", at=low)
        if low.value > high.value:  # type: ignore[operator]
            raise self.wrong(f"a range goes from low to high, not {text}", at=low)
        return comparisons.within(low.value, high.value), f"to be {text}"

    def test(self, operator: str, literal: Lexeme) -> Test:
        try:
            return comparisons.test_of(operator, literal.value)
        except (
            ConditionError
        ) as error:  # its offset is within the pattern; beside it stands the opening quote
            message = f"{error} (character {error.position + 1} of {literal.text})"
            raise self.wrong(message, at=literal, hint=error.hint) from error

    def no_fact(self, lexeme: Lexeme) -> ConditionError:
        hint = "the fact comes first: status == 200" if lexeme.token is Token.LITERAL else ""
        return self.wrong(f"expected the name of a fact, not {lexeme.text}", at=lexeme, hint=hint)

    def no_operator(self, lexeme: Lexeme, fact: Fact) -> ConditionError:
        usable = sorted(comparisons.allowed(fact.kind) | {"exists"})
        close = get_close_matches(lexeme.text, usable, 1)
        hint = f"did you mean {close[0]}?" if close else f"such as {', '.join(usable)}"
        return self.wrong(f"expected an operator, not {lexeme.text}", at=lexeme, hint=hint)


def _joined(parts: list[Node], join: type[AllOf | AnyOf]) -> Node:
    return parts[0] if len(parts) == 1 else join(tuple(parts))


def _phrase(operator: str, literal: str) -> str:
    if operator in _SEPARATE:
        return f"{_SEPARATE[operator]} {literal}"
    return _PHRASES.get(operator, f"to be {operator} {{}}").replace("{}", literal)
