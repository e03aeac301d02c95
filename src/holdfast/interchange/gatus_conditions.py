"""Gatus' conditions in our language. A condition that cannot be said is refused with the reason, never bent.

Gatus (config/endpoint/condition.go, placeholder.go): `<side> <operator> <side>`, a side being a placeholder,
a function of one, or a literal. It compares texts; JSON numbers and booleans become text first.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import translate
from itertools import groupby

from holdfast.availability.conditions import validate
from holdfast.kernel.durations import format_duration

_OPERATORS = (" == ", " != ", " <= ", " >= ", " > ", " < ")
_MIRRORED = {"==": "==", "!=": "!=", "<=": ">=", ">=": "<=", ">": "<", "<": ">"}
_PLACEHOLDER = re.compile(r"\[([A-Z_]+)\](.*)", re.IGNORECASE | re.DOTALL)
_FUNCTION = re.compile(r"(len|has)\((.*)\)", re.DOTALL)
_CHOICE = re.compile(r"(any|pat)\((.*)\)", re.DOTALL)
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d{1,9})\]")
_VISIBLE = r"\S"
_LIST = r"^\s*\["
_ESCAPING = re.compile(r"""\\(?=[\\"'nrt\n\r\t]|$)""")
_SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHOLE = re.compile(r"-?\d{1,15}")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")
_GO_PART = re.compile(r"(\d{1,9}(?:\.\d{1,6})?|\.\d{1,6})(ns|us|µs|μs|ms|s|m|h)")
_GO_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TYPES_WITH = {
    "STATUS": ("http",),
    "BODY": ("http", "tcp", "websocket", "dns", "grpc"),
    "CERTIFICATE_EXPIRATION": ("http", "tls", "smtp"),
    "RESPONSE_TIME": ("http", "tcp", "tls", "smtp", "websocket", "dns", "grpc", "icmp"),
    "DNS_RCODE": ("dns",),
    "DOMAIN_EXPIRATION": ("domain",),
}
_TEXTS = {"http": "body", "tcp": "answer", "websocket": "message"}
_NO_FACT = {
    "IP": "no check sees the address that a name led to",
    "CONTEXT": "checks do not pass values on to each other",
}


@dataclass(frozen=True, slots=True)
class Said:
    """The condition in our language; empty when every check asks for it anyway."""

    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why it cannot be said. `reverses`: without it the check would mean the opposite."""

    why: str
    reverses: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """A placeholder: its name, the path behind it, and the function around it."""

    name: str
    path: str = ""
    function: str = ""


def translated(condition: str, check_type: str) -> Said | Refused:
    """The condition for a check of `check_type`. What is said is valid."""
    if len(condition) > 1000:
        return Refused("longer than 1,000 characters")
    for operator in _OPERATORS:
        if operator in condition:
            sides = [side.strip() for side in condition.split(operator)]
            return _valid(_compared(sides[0], operator.strip(), sides[1], check_type), check_type)
    return Refused("not of the form VALUE OPERATOR VALUE")


def _valid(result: Said | Refused, check_type: str) -> Said | Refused:
    if isinstance(result, Said) and result.text:
        problem = validate(check_type, result.text)
        if problem is not None:
            return Refused(f"our language cannot say it: {problem}")
    return result


def _compared(left: str, operator: str, right: str, check_type: str) -> Said | Refused:
    place, other = _place(left), right
    if place is None:
        place, other, operator = _place(right), left, _MIRRORED[operator]
        if place is None:
            return Refused("it compares with nothing that a check sees")
    elif _place(right) is not None:
        return Refused("it compares two things that a check sees with each other")
    if place.name in _NO_FACT:
        return Refused(_NO_FACT[place.name])
    if place.name == "CONNECTED":
        return _connected(operator, other)
    if check_type not in _TYPES_WITH.get(place.name, ()):
        return Refused(f"a {check_type} check does not see [{place.name}]")
    if place.function and place.name != "BODY":
        return Refused(f"{place.function}([{place.name}]) has no counterpart")
    if place.name == "STATUS":
        return _status(operator, other)
    if place.name == "BODY":
        return _body(place, operator, other, check_type)
    if place.name == "DNS_RCODE":
        return _word("rcode", operator, other.upper())
    if place.name == "RESPONSE_TIME":
        fact = "round_trip_time" if check_type == "icmp" else "response_time"
    else:
        fact = "expires_in" if check_type == "domain" else "certificate_expires_in"
    return _duration(fact, operator, other)


def _place(side: str) -> _Place | None:
    function = _FUNCTION.fullmatch(side)
    match = _PLACEHOLDER.fullmatch(function[2].strip() if function else side)
    if match is None:
        return None
    name = match[1].upper()
    if name not in _TYPES_WITH and name not in _NO_FACT and name != "CONNECTED":
        return None
    if match[2] and name not in ("BODY", "CONTEXT"):
        return None
    return _Place(name, match[2], function[1] if function else "")


def _connected(operator: str, value: str) -> Said | Refused:
    if (operator, value) in (("==", "true"), ("!=", "false")):
        return Said("")
    return Refused("a check that cannot connect has failed; it cannot be asked to fail", reverses=True)


def _status(operator: str, value: str) -> Said | Refused:
    choice = _CHOICE.fullmatch(value)
    negation = "not " if operator == "!=" else ""
    if choice is None:
        if not _WHOLE.fullmatch(value):
            return Refused("a status is compared with a number")
        return Said(f"status {operator} {int(value)}")
    if operator not in ("==", "!="):
        return Refused("any() and pat() go with == and != only")
    if choice[1] == "any":
        items = [item.strip() for item in choice[2].split(",")]
        if not all(_WHOLE.fullmatch(item) for item in items):
            return Refused("a status is compared with numbers")
        return Said(f"status {negation}in ({', '.join(str(int(item)) for item in items)})")
    matches = re.compile(translate(choice[2])).fullmatch
    codes = [code for code in range(100, 600) if matches(str(code))]
    return _codes(codes, negation)


def _codes(codes: list[int], negation: str) -> Said | Refused:
    if not codes:
        return Refused("no status fits the pattern")
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda each: each[1] - each[0])]
    if len(runs) == 1:
        return Said(f"status {negation}in {runs[0][0]}..{runs[0][-1]}")
    return Said(f"status {negation}in ({', '.join(map(str, codes))})")


def _duration(fact: str, operator: str, value: str) -> Said | Refused:
    duration = timedelta(milliseconds=int(value)) if _WHOLE.fullmatch(value) else go_duration(value)
    if duration is None:
        return Refused("a time is compared with a number of milliseconds or a duration")
    return Said(f"{fact} {operator} {format_duration(duration)}")


def go_duration(text: str) -> timedelta | None:
    """A duration as Go writes it (`48h`, `1m30s`, `1.5h`); None when it is not one, or not a sane one."""
    parts = _GO_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    seconds = sum(float(number) * _GO_UNITS[unit] for number, unit in parts)
    return timedelta(seconds=seconds) if seconds < 3.2e9 else None


def _body(place: _Place, operator: str, value: str, check_type: str) -> Said | Refused:
    if check_type == "grpc":
        if place.path.lower() != ".status" or place.function:
            return Refused("a gRPC check sees the serving status only")
        return _word("serving_status", operator, other=value)
    if check_type == "dns":
        return _records(place, operator, value)
    text = _TEXTS[check_type]
    if check_type != "http" and (place.path or place.function == "len"):
        return Refused(f"a {check_type} check does not read JSON")
    path = json_path(place.path)
    if path is None:
        return Refused("the path is not one of names and indexes")
    subject = f'json("{path}")'
    if place.function == "has":
        return _has(text if not place.path else "", subject, operator, value)
    if place.function == "len":
        return _length(subject, path, text if not place.path else subject, operator, value)
    if operator not in ("==", "!="):
        if not place.path:
            return Refused("a whole body is not compared as a number")
        return _number(subject, operator, value)
    return _text(text, operator, value) if not place.path else _json(subject, operator, value)


def _word(fact: str, operator: str, other: str) -> Said | Refused:
    """A fact that is one word of a few."""
    choice = _CHOICE.fullmatch(other)
    if operator not in ("==", "!=") or (choice and choice[1].lower() != "any"):
        return Refused("it is compared with == and != only")
    if choice is None:
        return Said(f"{fact} {operator} {quoted(other)}")
    items = ", ".join(quoted(item.strip()) for item in choice[2].split(","))
    return Said(f"{fact} {'not ' if operator == '!=' else ''}in ({items})")


def _records(place: _Place, operator: str, value: str) -> Said | Refused:
    """Gatus keeps the last record only; ours looks at all of them."""
    if place.path or place.function or operator not in ("==", "!="):
        return Refused("the records of an answer are compared with == and != only")
    negation = "not " if operator == "!=" else ""
    choice = _CHOICE.fullmatch(value)
    if choice is not None and choice[1] == "pat":
        return _pattern("every_answer", negation, choice[2], trimmed=True)
    items = [item.strip() for item in choice[2].split(",")] if choice else [value]
    held = " or ".join(f"answers contains {quoted(item)}" for item in items)
    return Said(f"not ({held})" if negation else held)


def json_path(path: str) -> str | None:
    """`.user.name` and `[0].id` as a JSON path (RFC 9535) that can stand in double quotes."""
    steps, position = ["$"], 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return None
        name = match[1]
        if name is None:
            steps.append(f"[{int(match[2])}]")
        elif _SIMPLE_NAME.fullmatch(name):
            steps.append(f".{name}")
        elif "'" in name or '"' in name or "\\" in name or not name.isprintable():
            return None
        else:
            steps.append(f"['{name}']")
        position = match.end()
    return "".join(steps)


def _has(body: str, subject: str, operator: str, value: str) -> Said | Refused:
    if value not in ("true", "false") or operator not in ("==", "!="):
        return Refused("has() is compared with true or false")
    wanted = (value == "true") is (operator == "==")
    if body:
        return Said(f"{'' if wanted else 'not '}{body} matches {quoted(_VISIBLE)}")
    # To Gatus a null is nothing.
    return Said(f"{subject} != null" if wanted else f"not {subject} exists or {subject} == null")


def _length(subject: str, path: str, text: str, operator: str, value: str) -> Said | Refused:
    """The length of a list, or of a text. An element exists when the list is longer than its index."""
    if not _WHOLE.fullmatch(value) or not 0 <= int(value) <= 500:
        return Refused("a length is compared with a number from 0 to 500")
    number = int(value)
    if operator == "!=":
        # As a negation it would not hold for a list, which matches no pattern.
        longer = _sized(subject, path, text, number + 1, None)
        return Said(f"{_sized(subject, path, text, 0, number - 1)} or {longer}" if number else longer)
    least, most = {
        "==": (number, number),
        "<": (0, number - 1),
        "<=": (0, number),
        ">": (number + 1, None),
        ">=": (number, None),
    }[operator]
    if most is not None and most < 0:
        return Refused("nothing is shorter than nothing")
    return Said(_sized(subject, path, text, least, most))


def _sized(subject: str, path: str, text: str, least: int, most: int | None) -> str:
    parts = []
    if least:
        parts.append(f'json("{path}[{least - 1}]") exists')
    else:
        # Only a text holds the empty text, or a list that has it as an element and so is not empty.
        parts.append(f'(json("{path}[0]") exists or not {subject} contains "")')
    if most is not None:
        parts.append(f'not json("{path}[{most}]") exists')
    count = f"{{{least}}}" if least == most else f"{{{least},{'' if most is None else most}}}"
    textual = f"{text} matches {quoted(f'(?s)^.{count}$')}"
    if text == "body":
        textual = f"not body matches {quoted(_LIST)} and {textual}"
    return f"({' and '.join(parts)}) or ({textual})"


def _number(subject: str, operator: str, value: str) -> Said | Refused:
    if _NUMBER.fullmatch(value):
        return Said(f"{subject} {operator} {value}")
    duration = go_duration(value)
    if duration is None:
        return Refused("only numbers are less or more")
    return Said(f"{subject} {operator} {round(duration / timedelta(milliseconds=1))}")


def _text(body: str, operator: str, value: str) -> Said | Refused:
    """The whole body, which Gatus trims before it compares."""
    negation = "not " if operator == "!=" else ""
    choice = _CHOICE.fullmatch(value)
    if choice is None:
        return Said(f"{negation}{body} matches {quoted(_exactly([value]))}")
    if choice[1] == "any":
        return Said(f"{negation}{body} matches {quoted(_exactly([v.strip() for v in choice[2].split(',')]))}")
    return _pattern(body, negation, choice[2], trimmed=True)


def _exactly(texts: list[str]) -> str:
    alternatives = "|".join(_literal(text) for text in texts)
    return rf"^\s*(?:{alternatives})\s*$"


def _json(subject: str, operator: str, value: str) -> Said | Refused:
    choice = _CHOICE.fullmatch(value)
    if choice is not None and choice[1] == "pat":
        if choice[2] == "*":
            return Said("") if operator == "==" else Refused("nothing fits it", reverses=True)
        return _pattern(subject, "not " if operator == "!=" else "", choice[2], trimmed=False)
    values = [item.strip() for item in choice[2].split(",")] if choice else [value]
    literals = list(dict.fromkeys(literal for each in values for literal in literals_of(each)))
    same = f"{subject} == {literals[0]}" if len(literals) == 1 else f"{subject} in ({', '.join(literals)})"
    if operator == "==":
        return Said(same)
    # A place that does not exist is unequal to everything; ours says nothing about it unless asked.
    return Said(f"not {subject} exists or not {same}")


def literals_of(value: str) -> list[str]:
    """What a value that was compared as text may be in JSON: text, or a number or boolean that reads so."""
    literals = [quoted(value)]
    if _NUMBER.fullmatch(value) or value in ("true", "false"):
        literals.append(value)
    return literals


def _pattern(subject: str, negation: str, glob: str, *, trimmed: bool) -> Said | Refused:
    """A shell pattern: `*` is any text, `?` any character. `trimmed` allows white space around."""
    if glob == "*":
        return Said("") if not negation else Refused("nothing fits it", reverses=True)
    inner = glob.strip("*")
    if inner and not re.search(r"[*?\[\\]", inner) and glob.startswith("*") and glob.endswith("*"):
        return Said(f"{negation}{subject} contains {quoted(inner)}")
    if "[" in glob or "\\" in glob:
        return Refused("a pattern with classes or escapes")
    pieces = [".*" if char == "*" else "." if char == "?" else _literal(char) for char in glob]
    around = r"\s*" if trimmed else ""
    pattern = "".join(("(?s)^", around, *pieces, around, "$"))
    return Said(f"{negation}{subject} matches {quoted(pattern)}")


def _literal(text: str) -> str:
    return "".join(f"\\{char}" if char in r".^$*+?{}[]\|()" else char for char in text)


def quoted(text: str) -> str:
    """A literal of our language that is `text`. A backslash is doubled only where it begins an escape."""
    escaped = _ESCAPING.sub(r"\\\\", text).replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'
