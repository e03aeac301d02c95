"""Plain values as YAML that people like to read and that reads back the same under the core schema.

PyYAML writes for YAML 1.1 and would leave `1e3` and `0o17` without quotes: text that 1.2 reads as numbers.
What any of the two reads as something else than text is quoted, for others read what is written here too.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import yaml
import yaml.resolver

from holdfast.estate.source import Place, Scalar

# A colon with no space behind it is part of a plain text, as in an address.
_INNER = r"[A-Za-z0-9_./*$+%@()<>=?&~;-]"
_PLAIN = re.compile(rf"[A-Za-z0-9_./$+-](?:(?:{_INNER}|[, ]|:(?=[^\s:]))*{_INNER})?")
_BESIDE_FLOW = re.compile(r"[\[\]{},:]")
_HERE = Place(1, 1)
_YAML_1_1: Any = yaml.resolver.Resolver()
_TEXT = "tag:yaml.org,2002:str"
_WIDEST_FLOW = 90
_FLOW_KEYS = ("colours", "languages", "timeouts", "expected_status", "components", "was")


def yaml_text(value: Mapping[str, Any], header: Iterable[str] = ()) -> str:
    """The document: comment lines first, then `value`, with a blank line between its parts."""
    lines = [f"# {line}".rstrip() for line in header]
    for key, part in value.items():
        if lines:
            lines.append("")
        lines.extend(_entry(key, part, 0))
    return "\n".join(lines) + "\n"


def yaml_documents(documents: Iterable[Mapping[str, Any]], header: Iterable[str] = ()) -> str:
    """Several documents, each after `---`, below the comment lines."""
    lines = [f"# {line}".rstrip() for line in header]
    for document in documents:
        lines.append("---")
        for key, part in document.items():
            lines.extend(_entry(key, part, 0))
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, depth: int) -> Iterator[str]:
    pad = "  " * depth
    name = _scalar(key)
    if isinstance(value, Mapping) and value:
        flow = _flow(value) if key in _FLOW_KEYS else None
        if flow is not None:
            yield f"{pad}{name}: {flow}"
            return
        yield f"{pad}{name}:"
        for below, part in value.items():
            yield from _entry(below, part, depth + 1)
    elif isinstance(value, (list, tuple)) and value:
        flow = _flow(value) if key in _FLOW_KEYS else None
        if flow is not None:
            yield f"{pad}{name}: {flow}"
            return
        yield f"{pad}{name}:"
        yield from _items(value, depth + 1)
    else:
        yield f"{pad}{name}: {_empty_or_scalar(value)}"


def _items(values: Sequence[Any], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for value in values:
        if isinstance(value, Mapping) and value:
            lines = [line for key, part in value.items() for line in _entry(key, part, depth + 1)]
            yield f"{pad}- {lines[0].lstrip()}"
            yield from lines[1:]
        elif isinstance(value, (list, tuple)) and value:
            yield f"{pad}- {_nested(value)}"
        else:
            yield f"{pad}- {_empty_or_scalar(value)}"


def _flow(value: Any) -> str | None:
    """`[a, b]` or `{a: b}` for a short collection of scalars; None for any other."""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value)
    texts = []
    for key, part in parts:
        if isinstance(part, (Mapping, list, tuple)):
            return None
        text = _scalar(part, in_flow=True)
        texts.append(f"{_scalar(key, in_flow=True)}: {text}" if isinstance(value, Mapping) else text)
    inner = ", ".join(texts)
    if len(inner) > _WIDEST_FLOW:
        return None
    return f"{{{inner}}}" if isinstance(value, Mapping) else f"[{inner}]"


def _nested(value: Any) -> str:
    """Lists in lists, on one line."""
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{_scalar(key, in_flow=True)}: {_nested(each)}" for key, each in value.items())
            + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_nested(each) for each in value) + "]"
    return _scalar(value, in_flow=True)


def _empty_or_scalar(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{}"
    return "[]" if isinstance(value, (list, tuple)) else _scalar(value)


def _scalar(value: Any, *, in_flow: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, (int, Decimal)):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    if isinstance(value, float):
        return format(Decimal(str(value)), "f")
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} is not written to YAML")
    if _reads_back(value, in_flow=in_flow):
        return value
    if value.isprintable() and "'" not in value and ('"' in value or "\\" in value):
        return f"'{value}'"
    return _quoted(value)


def _reads_back(text: str, *, in_flow: bool) -> bool:
    """Whether `text` without quotes is the same text again."""
    if not _PLAIN.fullmatch(text) or text.startswith(("- ", "---", "...")) or text == "-":
        return False
    if in_flow and _BESIDE_FLOW.search(text):
        return False
    old: str = _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False))
    return old == _TEXT and Scalar(_HERE, text, plain=True).value() == text


def _quoted(text: str) -> str:
    """In double quotes. JSON's escapes are YAML's; what JSON leaves and YAML forbids is escaped too."""
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(char if char.isprintable() else _escape(char) for char in quoted)


def _escape(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
