"""What Uptime Kuma looks for in an answer, in our condition language."""

import json
import re

from holdfast.availability.conditions import validate
from holdfast.interchange.gatus_conditions import literals_of, quoted

_STATUS = re.compile(r"\s*(\d{3})\s*(?:-\s*(\d{3})\s*)?")
_STEP = re.compile(r"\.?(?:([A-Za-z_][A-Za-z0-9_]*)|`([^`\"'\\]{1,100})`)|\[(\d{1,9})\]|\.?\$(?=\.|\[|$)")
_ORDERS = ("<", "<=", ">", ">=")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")


def keyword_condition(keyword: str, *, inverted: bool) -> str | None:
    """The answer holds the keyword, or must not."""
    if not keyword:
        # Every answer holds the empty text.
        return None if inverted else 'body contains ""'
    return _valid(f"{'not ' if inverted else ''}body contains {quoted(keyword)}")


def json_condition(expression: str, operator: str, expected: str) -> str | None:
    """The comparison of what a JSONata path selects. None when it is more than a path, or cannot be said."""
    path = _path(expression.strip())
    if path is None:
        return None
    subject = f'json("{path}")'
    if operator in _ORDERS:
        return (
            _valid(f"{subject} {operator} {expected.strip()}")
            if _NUMBER.fullmatch(expected.strip())
            else None
        )
    if operator == "contains":
        return _valid(f"{subject} contains {quoted(expected)}")
    if operator not in ("==", "!="):
        return None
    # Kuma compares as text: the number 3 equals "3".
    literals = literals_of(expected)
    same = f"in ({', '.join(literals)})" if len(literals) > 1 else f"== {literals[0]}"
    negation = "not " if operator == "!=" else ""
    return _valid(f"{subject} exists and {negation}{subject} {same}" if negation else f"{subject} {same}")


def accepted_statuses(text: str) -> tuple[list[int | str], str]:
    """The codes and ranges of a JSON list such as `["200-299", "401"]`, and what of it is none."""
    try:
        given = json.loads(text) if text.strip() else ["200-299"]
    except (ValueError, RecursionError):
        given = []
    statuses: list[int | str] = []
    refused: list[str] = []
    for each in given[:100] if isinstance(given, list) else []:
        match = _STATUS.fullmatch(str(each))
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not 100 <= low <= high <= 599:
            refused.append(str(each))
        else:
            statuses.append(f"{low}-{high}" if match and match[2] else low)
    return statuses or ["200-299"], ", ".join(refused) or ("" if statuses else text)


def _path(expression: str) -> str | None:
    """`$.a.b[0]` and `a.b[0]` as a JSON path (RFC 9535)."""
    steps, position = ["$"], 0
    while position < len(expression):
        match = _STEP.match(expression, position)
        if match is None or match.end() == position:
            return None
        if match[1] is not None:
            steps.append(f".{match[1]}")
        elif match[2] is not None:
            steps.append(f"['{match[2]}']")
        elif match[3] is not None:
            steps.append(f"[{int(match[3])}]")
        position = match.end()
    return "".join(steps)


def _valid(condition: str) -> str | None:
    return condition if validate("http", condition) is None else None
