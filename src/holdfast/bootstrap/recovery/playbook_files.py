"""A playbook from its file, or everything that is wrong with it, each with its line.

A file is the playbook's model as YAML, with times as people write them (`90s`), and the kind of a stage told
by what it has: `action`, `roles`, `lasts` or `steps`. Its revision is counted, not written.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from holdfast.estate import source
from holdfast.estate.errors import Problem
from holdfast.estate.findings import path_text
from holdfast.estate.suggest import did_you_mean
from holdfast.kernel.durations import parse_duration
from holdfast.recovery.model import Gate, Pause, Playbook, Retry, Stage, Step, Taken, Together

MOST_BYTES = 256 * 1024

_KINDS: Mapping[str, type[Stage]] = {"action": Step, "roles": Gate, "lasts": Pause, "steps": Together}
"""A stage is of the kind whose key it has."""
_TAGS: Mapping[str, type[Stage]] = {"step": Step, "gate": Gate, "pause": Pause, "together": Together}
_TIMES = frozenset(("within", "expires_after", "lasts"))
_RETRY_TIMES = frozenset(("pause", "longest_pause"))
_TEXTS = frozenset(("about", "by_hand", "undo_by_hand", "title"))
_PLACE = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP_OF_PLACE = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*)`")
_WORDS = (
    (re.compile(r"Object missing required field `(.*)`"), r"`\1` is missing"),
    (re.compile(r"Expected `str` matching regex .*"), "is no name: small letters, digits and -, 64 at most"),
    (
        re.compile(r"Expected `duration`.*|Expected `timedelta`.*"),
        "is not a duration; write 90s, 5m or 1h30m",
    ),
    (re.compile(r"Expected `array`.*"), "must be a list"),
    (re.compile(r"Expected `object`.*"), "must be a mapping of keys to values"),
    (re.compile(r"Expected `str`.*"), "must be text; put it in quotes"),
    (re.compile(r"Expected `bool`.*"), "must be true or false"),
)
"""What msgspec says, in the words of the estate file."""


class _WrongTime(Exception):  # noqa: N818
    """A text that is no duration, and where it stands."""


def parsed(name: str, content: bytes, file: str) -> tuple[Playbook | None, source.Node | None, list[Problem]]:
    """The playbook, its tree for places, and the problems. It is None when there are any."""
    if len(content) > MOST_BYTES:
        return None, None, [whole(file, f"is larger than {MOST_BYTES // 1024} KiB")]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, None, [whole(file, "is not UTF-8 text")]
    root, faults = source.read_tree(text)
    problems = [
        Problem(file, each.place.line, each.place.column, "", each.message, each.hint) for each in faults
    ]
    if not isinstance(root, source.Mapping):
        problems = problems or [whole(file, "holds no playbook: it is a mapping of keys to values")]
        return None, root, problems
    playbook = _made(name, root, file, problems)
    return (None if problems else playbook), root, problems


def problem_at(file: str, root: source.Node, path: source.Path, message: str, hint: str = "") -> Problem:
    """A problem at the place that `path` leads to."""
    place = source.place_of(root, path)
    return Problem(file, place.line, place.column, path_text(path), message, hint)


def whole(file: str, message: str, hint: str = "") -> Problem:
    """A problem of the whole file."""
    return Problem(file, 0, 0, "", message, hint)


def _made(name: str, root: source.Mapping, file: str, problems: list[Problem]) -> Playbook | None:
    """The stages one by one: what is wrong with one says nothing of the others."""
    for path, text in _wrong_times(root):
        problems.append(problem_at(file, root, path, text))
    if problems:
        return None
    raw: Any = _plain(root)
    if "revision" in raw:
        problems.append(problem_at(file, root, ("revision",), "is counted by Holdfast, and not written"))
    if raw.setdefault("name", name) != name:
        hint = f"name the file {raw['name']}.yaml, or leave `name` out"
        problems.append(problem_at(file, root, ("name",), f"is not the file's name, {name}", hint))
    stages = list[Stage]()
    given = raw.get("stages", [])
    for number, each in enumerate(given if isinstance(given, list) else []):
        kind = _kind_of(each)
        if isinstance(kind, str):
            problems.append(problem_at(file, root, ("stages", number), kind, _KIND_HINT))
            continue
        stage = _converted(each, kind, root, file, ("stages", number), problems)
        if stage is not None:
            stages.append(stage)
    # The stages were looked at one by one; of the rest msgspec tells the first that is wrong.
    rest = raw | {"stages": []} if isinstance(given, list) else raw
    playbook = _converted(rest, Playbook, root, file, (), problems)
    return None if playbook is None else msgspec.structs.replace(playbook, stages=tuple(stages))


_KIND_HINT = "a step has an `action`, a gate `roles`, a pause `lasts`, and several at once `steps`"


def _kind_of(raw: Any) -> type[Stage] | str:
    """The kind of a stage, or what is wrong with it."""
    if not isinstance(raw, dict):
        return "must be a mapping of keys to values"
    if "stage" in raw:
        return _TAGS.get(str(raw["stage"]), f"there is no kind of stage {str(raw['stage'])[:40]!r}")
    told = [kind for key, kind in _KINDS.items() if key in raw]
    return told[0] if len(told) == 1 else "it is not clear what kind of stage this is"


def _converted(
    raw: Any, kind: Any, root: source.Node, file: str, base: source.Path, problems: list[Problem]
) -> Any:
    try:
        return msgspec.convert(raw, kind, builtin_types=(timedelta,))
    except msgspec.ValidationError as error:
        message, path = str(error), base
        if (at := _PLACE.search(message)) is not None:
            message = message[: at.start()]
            path += tuple(key or int(index) for key, index in _STEP_OF_PLACE.findall(at[1]))
        hint = ""
        if (unknown := _UNKNOWN_FIELD.fullmatch(message)) is not None:
            path, message = (*path, unknown[1]), "unknown key"
            hint = did_you_mean(unknown[1], _fields_at(kind, path[len(base) :]))
        for pattern, words in _WORDS:
            if pattern.fullmatch(message):
                message = pattern.sub(words, message)
                break
        problems.append(problem_at(file, root, path, message, hint))
        return None


def _fields_at(kind: Any, path: source.Path) -> list[str]:
    """The keys that are known where an unknown one was met."""
    if "retry" in path:
        kind = Retry
    elif kind is Together and "steps" in path[:-1]:
        kind = Step
    elif kind is Playbook and "takes" in path[:-1]:
        kind = Taken
    return [each.name for each in msgspec.structs.fields(kind)]


def _plain(node: source.Node, key: str = "", above: str = "") -> Any:
    """As `source.plain`, with durations read, and what is given to actions as it was written."""
    if isinstance(node, source.Scalar):
        if _is_time(key, above):
            return parse_duration(node.text)
        if above == "given":
            return node.text
        return node.text.strip() if key in _TEXTS and isinstance(node.value(), str) else node.value()
    if isinstance(node, source.Sequence):
        return [_plain(item) for item in node.items]
    return {name: _plain(value, name, key) for name, (_, value) in node.entries.items()}


def _wrong_times(root: source.Node) -> Iterator[tuple[source.Path, str]]:
    for path, scalar in source.scalars(root):
        key, above = path[-1] if path else "", path[-2] if len(path) > 1 else ""
        if _is_time(key, above):
            try:
                parse_duration(scalar.text)
            except (ValueError, OverflowError) as error:
                yield path, str(error)


def _is_time(key: object, above: object) -> bool:
    return above != "given" and (key in _TIMES or (above == "retry" and key in _RETRY_TIMES))
