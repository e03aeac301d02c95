"""The operators: what each can compare, and the test that it makes. Types are settled at parse time."""

from collections.abc import Callable
from datetime import timedelta
from operator import ge, gt, le, lt
from typing import Any

from holdfast.availability.conditions.expressions import Test
from holdfast.availability.conditions.facts import Kind
from holdfast.availability.conditions.patterns import Pattern

OPERATORS = frozenset(
    {"==", "!=", "<", "<=", ">", ">=", "contains", "starts_with", "ends_with", "matches", "in"}
)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_ALLOWED = {
    Kind.NUMBER: frozenset({"==", "!=", "<", "<=", ">", ">=", "in"}),
    Kind.DURATION: frozenset({"==", "!=", "<", "<=", ">", ">=", "in"}),
    Kind.TEXT: frozenset({"==", "!=", "contains", "starts_with", "ends_with", "matches", "in"}),
    Kind.BOOLEAN: frozenset({"==", "!="}),
    Kind.JSON: OPERATORS,
}
_TEXT_ONLY = frozenset({"starts_with", "ends_with", "matches"})
_NUMBERS = frozenset({int, float})


def allowed(kind: Kind) -> frozenset[str]:
    """The operators that compare a fact of this kind."""
    return _ALLOWED[kind]


def comparable(kind: Kind, operator: str, literal: object) -> bool:
    """Whether `literal` may stand on the right of `operator` with such a fact on its left."""
    family = kind_of(literal)
    if operator in _TEXT_ONLY:
        return family is Kind.TEXT
    if operator in _ORDERS and kind is Kind.JSON:
        return family is Kind.NUMBER
    if kind is Kind.JSON:
        return family is not Kind.DURATION
    return family is kind


def kind_of(literal: object) -> Kind:
    match literal:
        case bool():
            return Kind.BOOLEAN
        case int() | float():
            return Kind.NUMBER
        case timedelta():
            return Kind.DURATION
        case str():
            return Kind.TEXT
        case _:
            return Kind.JSON


def test_of(operator: str, literal: object) -> Test:
    """The test that `operator literal` asks of a value. The two are `comparable`."""
    if operator in _ORDERS:
        return _guarded(literal, _ordering(_ORDERS[operator], literal))
    match operator, literal:
        case "==", _:
            return _equal(literal)
        case "!=", _:
            equal = _equal(literal)
            return lambda value: not equal(value)
        case "contains", str():
            return _containing(literal)
        case "contains", _:
            return _member(literal)
        case "starts_with", str():
            return lambda value: value.startswith(literal) if isinstance(value, str) else None
        case "ends_with", str():
            return lambda value: value.endswith(literal) if isinstance(value, str) else None
        case "matches", str():
            pattern = Pattern(literal)
            return lambda value: pattern.found_in(value) if isinstance(value, str) else None
    raise AssertionError(operator)


def within(low: object, high: object) -> Test:
    """The test for `in low..high`, both ends included."""
    at_least, at_most = _ordering(ge, low), _ordering(le, high)
    return _guarded(low, lambda value: at_least(value) and at_most(value))


def one_of(literals: tuple[object, ...]) -> Test:
    """The test for `in (a, b, c)`."""
    if all(type(literal) is int for literal in literals):
        wanted = frozenset(literals)
        return lambda value: type(value) in _NUMBERS and value in wanted
    tests = tuple(_equal(literal) for literal in literals)
    return lambda value: any(test(value) for test in tests)


def inverted(test: Test) -> Test:
    """The test of `not contains`, `not in` and their like, which each of several values has to pass."""

    def inverse(value: object) -> bool | None:
        held = test(value)
        return None if held is None else not held

    return inverse


def _ordering(order: Callable[[Any, Any], bool], literal: object) -> Callable[[object], bool]:
    return lambda value: order(value, literal)


def _guarded(literal: object, test: Callable[[object], bool]) -> Test:
    """Values of another family have no order beside `literal`."""
    types = _NUMBERS if type(literal) in _NUMBERS else frozenset({type(literal)})
    return lambda value: test(value) if type(value) in types else None


def _equal(literal: object) -> Callable[[object], bool]:
    """As JSON sees it: 1 equals 1.0, but true is no number."""
    types = _NUMBERS if type(literal) in _NUMBERS else frozenset({type(literal)})
    return lambda value: type(value) in types and value == literal


def _containing(literal: str) -> Test:
    def test(value: object) -> bool | None:
        if isinstance(value, (str, list)):
            return literal in value
        return None

    return test


def _member(literal: object) -> Test:
    equal = _equal(literal)
    return lambda value: any(equal(each) for each in value) if isinstance(value, list) else None
