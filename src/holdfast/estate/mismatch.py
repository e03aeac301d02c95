"""What pydantic found, in the operator's words: one finding for each mistake, at the operator's own path."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from holdfast.estate.checks import CheckBase
from holdfast.estate.findings import Finding
from holdfast.estate.partial import CHECK_TYPES, model_at
from holdfast.estate.source import Path
from holdfast.estate.suggest import closest, did_you_mean
from holdfast.estate.values import KEY_PATTERN, PATTERN_PATTERN

# Fields that take one of several shapes: pydantic reports each shape, the operator needs one line.
_CHOICES = {
    "window": ("not a window", "write calendar_month, or a rolling window such as 30d"),
    "metadata": (
        "metadata is text, or a secret by reference",
        "put text in quotes, or write env:NAME or file:/path",
    ),
    "headers": (
        "a header is text, or a secret by reference",
        "put text in quotes, or write env:NAME or file:/path",
    ),
    "expected_status": ("not a status", "write a code such as 200, or a range such as 200-299"),
}
_SHAPES = {
    "url": ("not an HTTP address", "begin with https:// or http://, followed by a host"),
    "wss": ("not a WebSocket address", "begin with wss:// or ws://, followed by a host"),
    "rdap": ("not an HTTP address", "begin with https:// or http://, followed by a host"),
    "whois": ("not a server", "write host, or host:port"),
    "listen": ("not an address to listen on", "write host:port, such as 127.0.0.1:8080 or [::1]:8080"),
    "accent": ("not a colour", "write # and six hexadecimal digits in quotes, such as '#0b6e4f'"),
}
# Keys that only one type of check has.
_TELLING = {"record": "dns", "domain": "domain", "virtual_host": "amqp", "database": "postgres"}
_KEY_HINT = "use lower-case letters, digits and hyphens, at most 63 of them"
_LISTS = (
    *("was", "components", "languages", "expected_status", "conditions"),
    *("routes", "channels", "agreements", "severities", "group_by"),
)


def findings_of(error: ValidationError, raw: Any) -> list[Finding]:
    """The mistakes in `raw` (plain values) that `error` found. Their texts never hold a secret's value."""
    found: dict[tuple[Path, bool, str], Finding] = {}
    choices: set[Path] = set()
    for details in error.errors(include_url=False):
        if details["type"] == "default_factory_not_called":
            continue  # the default follows another value, which is reported itself
        path, branched = _path_of(details, raw)
        if details["type"] == "too_short" and _value_at(raw, path):
            continue  # it counts the readable entries only; the unreadable ones are reported themselves
        if branched and (choice := _choice(path)) is not None:
            if path not in choices:
                choices.add(path)
                found[path, False, "choice"] = Finding(path, *choice)
            continue
        finding = _finding(details, path, raw)
        found.setdefault((finding.path, finding.at_key, finding.message), finding)
    return list(_without_echoes(list(found.values()), raw))


def _without_echoes(findings: list[Finding], raw: Any) -> Iterator[Finding]:
    """Leave out a key that is missing only because it is misspelt: the misspelling is reported."""
    misspelt = {
        (*finding.path[:-1], meant)
        for finding in findings
        if finding.at_key and (meant := _meant(finding.path, raw)) is not None
    }
    for finding in findings:
        if finding.message != "missing" or finding.path not in misspelt:
            yield finding


def _path_of(details: ErrorDetails, raw: Any) -> tuple[Path, bool]:
    """The operator's path, and whether pydantic's location goes on into one shape of several."""
    steps = list(details["loc"])
    in_check = len(steps) > 6 and (steps[0], steps[2], steps[4]) == ("clusters", "components", "checks")
    if in_check and steps[6] in CHECK_TYPES:
        del steps[6]
    path: list[str | int] = []
    node = raw
    for index, step in enumerate(steps):
        inside = step in node if isinstance(node, dict) else isinstance(node, list) and isinstance(step, int)
        if inside:
            node = node[step]
        elif index == len(steps) - 1 and details["type"] == "missing":
            return (*path, step), False
        else:
            return tuple(path), step != "[key]"
        path.append(step)
    return tuple(path), False


def _choice(path: Path) -> tuple[str, str] | None:
    return next(
        (_CHOICES[step] for step in reversed(path[-2:]) if isinstance(step, str) and step in _CHOICES), None
    )


def _finding(details: ErrorDetails, path: Path, raw: Any) -> Finding:
    kind, context = details["type"], details.get("ctx", {})
    value = _value_at(raw, path)
    match kind:
        case "extra_forbidden":
            return Finding(
                path, "unknown key", did_you_mean(str(path[-1]), _allowed(path[:-1], raw)), at_key=True
            )
        case "missing":
            return Finding(path, "missing", _meaning(path, raw))
        case "union_tag_not_found":
            return Finding((*path, "type"), "missing", _type_hint(value))
        case "union_tag_invalid":
            return _unknown_word((*path, "type"), str(context.get("tag")), list(CHECK_TYPES))
        case "literal_error":
            return _unknown_word(
                path, str(value), re.findall(r"[\w.]+", str(context["expected"]).replace(" or ", " "))
            )
        case "string_pattern_mismatch":
            return _misshapen(details, path, value)
        case "value_error":
            return _refused(path, str(context["error"]), value)
    return _wrong_kind(kind, context, path, value)


def _wrong_kind(kind: str, context: Mapping[str, Any], path: Path, value: Any) -> Finding:
    needed = {
        "string_type": "text",
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "decimal_type": "a number",
        "decimal_parsing": "a number",
        "finite_number": "a number",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "tuple_type": "a list",
        "dict_type": "a mapping (keys and values)",
        "model_type": "a mapping (keys and values)",
        "model_attributes_type": "a mapping (keys and values)",
    }.get(kind)
    if needed is not None:
        if value is None:
            return Finding(path, f"empty; {needed} belongs here", "write it, or remove the key")
        return Finding(path, f"{needed} is needed, not {_kind_of(value)}", _kind_hint(kind, path, value))
    match kind:
        case "greater_than_equal":
            return Finding(path, f"must be at least {context['ge']}")
        case "less_than_equal":
            return Finding(path, f"must be at most {context['le']}")
        case "int_parsing_size":
            return Finding(path, "far too large")
        case "string_too_long":
            return Finding(path, f"longer than {context['max_length']:,} characters")
        case "string_too_short":
            return Finding(path, "empty")
        case "too_short":
            return Finding(path, "empty; at least one entry is needed")
    return Finding(path, kind.replace("_", " "))


def _kind_hint(kind: str, path: Path, value: Any) -> str:
    if kind == "string_type" and isinstance(value, (bool, int, Decimal)):
        return "put it in quotes"
    if (
        kind == "tuple_type"
        and path[-1] in _LISTS
        and isinstance(value, (str, int))
        and len(str(value)) <= 60
    ):
        return f"write [{value}]"
    if kind == "model_attributes_type":
        return "a check is written as `url: https://...`, or as `type: tcp` with `host` and `port`"
    return ""


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, Decimal)):
        return "a number"
    if isinstance(value, list):
        return "a list"
    return "a mapping (keys and values)" if isinstance(value, dict) else "text"


def _misshapen(details: ErrorDetails, path: Path, value: Any) -> Finding:
    pattern = details.get("ctx", {}).get("pattern")
    if details["loc"][-1] == "[key]":
        return Finding(path, "not a possible key", f"{_KEY_HINT}{_such_as(str(path[-1]))}", at_key=True)
    if pattern == KEY_PATTERN:
        return Finding(path, f"`{_shown(value)}` is not a key", f"{_KEY_HINT}{_such_as(str(value))}")
    if pattern == PATTERN_PATTERN:
        hint = "write cluster/component, with * for all: eu/api, eu/*, */website"
        return Finding(path, f"`{_shown(value)}` does not name components", hint)
    # An address may hold a password by mistake: its text is not repeated.
    shape = "wss" if str(pattern).startswith("^wss") else str(path[-1])
    message, hint = _SHAPES.get(shape, (f"does not have the form {pattern}", ""))
    return Finding(path, message, hint)


def _refused(path: Path, text: str, value: Any) -> Finding:
    message, _, hint = text.partition("; ")
    if path[-1] == "time_zone" and (near := closest(str(value), sorted(available_timezones()))) is not None:
        hint = f"did you mean `{near}`?"
    return Finding(path, message, hint)


def _unknown_word(path: Path, word: str, possible: list[str]) -> Finding:
    if word == "None":
        return Finding(path, "empty", "possible here: " + ", ".join(possible))
    return Finding(path, f"`{_shown(word)}` is not possible here", did_you_mean(word, possible))


def _type_hint(check: Any) -> str:
    keys = list(check) if isinstance(check, dict) else []
    for key, kind in _TELLING.items():
        if key in keys:
            return f"did you mean `type: {kind}`?"
    if "host" in keys:
        kinds = [kind for kind, model in CHECK_TYPES.items() if "host" in model.model_fields]
        return "write `type: " + "`, `".join(kinds[:-1]) + f"` or `{kinds[-1]}`"
    if any(closest(key, ["url"]) for key in keys):
        return "did you mean `url`? It makes the check an HTTP check"
    return "write `url: https://...` for an HTTP check, or `type: tcp` or `type: tls` with `host` and `port`"


def _allowed(path: Path, raw: Any) -> list[str]:
    model = model_at(path, _value_at(raw, path))
    if model is None:
        return []
    # `type` comes first in what people write, and inherited fields come last.
    names = list(model.model_fields)
    own = [name for name in names if not (issubclass(model, CheckBase) and name in CheckBase.model_fields)]
    return own + [name for name in names if name not in own]


def _meant(path: Path, raw: Any) -> str | None:
    return closest(str(path[-1]), _allowed(path[:-1], raw))


def _meaning(path: Path, raw: Any) -> str:
    parent = _value_at(raw, path[:-1])
    name = path[-1]
    if name == "region" and isinstance(raw, dict) and isinstance(raw.get("regions"), dict):
        return "one of the regions: " + ", ".join(raw["regions"])
    model = model_at(path[:-1], parent)
    field = model.model_fields.get(str(name)) if model else None
    return (field.description or "") if field else ""


def _value_at(raw: Any, path: Path) -> Any:
    node = raw
    for step in path:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def _such_as(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
    return f", such as `{slug}`" if slug else ""


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
