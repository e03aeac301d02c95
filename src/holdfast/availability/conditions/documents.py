"""JSON paths (RFC 9535) into a body that anybody may have sent.

The path comes from the operator, the document from the target. What would make their product expensive is
refused when the condition is parsed: more than one descent (`..`), a filter that starts again at the root,
regular expressions. What remains takes time in proportion to the document, which is at most 1 MiB.
"""

import re
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, cast

import msgspec

from holdfast.availability.conditions.values import Absent, Facts, Reader, Several
from holdfast.availability.errors import ConditionError

if TYPE_CHECKING:
    from jsonpath import JSONPath, JSONPathEnvironment

DOCUMENT = "json"
"""The fact under which a decoded body may be handed in, so that several conditions decode it once."""

_MOST_MATCHES = 1_000
_MOST_STEPS = 20
_MOST_BRANCHES = 64
_FUNCTIONS = frozenset({"length", "count"})
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_CALL = re.compile(r"([a-z][a-z0-9_]*)\s*\(")

_NOT_JSON = Absent("body is not JSON", settled=False)
_TOO_LONG = Absent("body is too long to be read as JSON", settled=False)
_TOO_DEEP = Absent("body is nested too deeply to be read as JSON", settled=False)
_NO_BODY = Absent("body is missing", settled=False)
_NOTHING = object()


def decode(facts: Facts) -> object:
    """The body as a JSON document (RFC 8259), or why there is none."""
    body = facts.get("body")
    if not isinstance(body, (bytes, str)):
        return _NO_BODY
    if facts.get("body_truncated"):
        return _TOO_LONG
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        return _TOO_DEEP
    except (msgspec.DecodeError, ValueError):  # text that is not Unicode, numbers beyond any float
        return _NOT_JSON


def json_reader(path: str) -> Reader:
    """Reads what `path` selects. Raises ConditionError, at position 0, for a path that is not one."""
    compiled = _compile(path)
    missing = Absent(f'json("{path}") is missing', settled=True)
    select = _definite(compiled) or _indefinite(compiled)

    def read(facts: Facts) -> object:
        document = facts[DOCUMENT] if DOCUMENT in facts else decode(facts)
        if type(document) is Absent:
            return document
        try:
            found = select(document)
        except RecursionError:  # jsonpath's own bound on a descent is one of these
            return _TOO_DEEP
        return missing if found is _NOTHING else found

    return read


_environment: "JSONPathEnvironment | None" = None


def _compile(path: str) -> "JSONPath":
    from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError  # noqa: PLC0415  most estates never need it

    global _environment  # noqa: PLW0603  made once, when the first path is met
    if _environment is None:
        _environment = JSONPathEnvironment(strict=True)
    bare = _QUOTED.sub('""', path)
    _refuse(bare.count("..") > 1, "a JSON path descends with .. at most once")
    _refuse(bare.count("$") > 1, "a filter in a JSON path compares with @, not with the whole document")
    for function in _CALL.findall(bare):
        hint = "compare with ==, or use the operator matches outside"
        _refuse(function not in _FUNCTIONS, f"a JSON path has no function {function}", hint=hint)
    try:
        compiled = _environment.compile(path)
    except (JSONPathError, RecursionError, ValueError) as error:
        reason = str(error).partition("\n")[0][:100]
        raise ConditionError(
            f'"{path}" is not a JSON path: {reason}',
            position=0,
            hint='such as "$.queue.depth" or "$.items[0].state"',
        ) from error
    if not isinstance(compiled, JSONPath):
        raise ConditionError("one JSON path at a time", position=0, hint="join two conditions with `and`")
    branches = 1
    for segment in compiled.segments:
        branches *= len(segment.selectors)
    _refuse(len(compiled.segments) > _MOST_STEPS or branches > _MOST_BRANCHES, "the JSON path is too long")
    return compiled


def _refuse(wrong: bool, message: str, *, hint: str = "") -> None:
    if wrong:
        raise ConditionError(message, position=0, hint=hint)


def _definite(path: "JSONPath") -> Callable[[object], object] | None:
    """A path of names and indexes leads to one value at most and needs no machinery."""
    from jsonpath.segments import JSONPathChildSegment  # noqa: PLC0415
    from jsonpath.selectors import IndexSelector, NameSelector  # noqa: PLC0415

    steps: list[str | int] = []
    for segment in path.segments:
        if not isinstance(segment, JSONPathChildSegment) or len(segment.selectors) != 1:
            return None
        match segment.selectors[0]:
            case NameSelector(name=name):
                steps.append(name)
            case IndexSelector(index=index):
                steps.append(index)
            case _:
                return None

    def select(document: object) -> object:
        for step in steps:
            try:
                if type(document) is (dict if type(step) is str else list):
                    document = document[step]  # type: ignore[index]
                else:
                    return _NOTHING
            except (KeyError, IndexError):
                return _NOTHING
        return document

    return select


def _indefinite(path: "JSONPath") -> Callable[[object], object]:
    def select(document: object) -> object:
        if not isinstance(document, (dict, list)):  # the library would parse a text once more
            return _NOTHING
        found = tuple(
            match.obj for match in islice(path.finditer(cast("dict[str, object]", document)), _MOST_MATCHES)
        )
        return Several(found) if found else _NOTHING

    return select
