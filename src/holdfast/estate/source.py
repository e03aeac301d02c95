"""The estate file as a tree that knows its lines: YAML in, plain values and places out.

The tree is built from parser events with a stack of our own, so that hostile input meets a bound, never the
end of the interpreter's stack. Scalars follow the core schema of YAML 1.2 (yaml.org/spec/1.2.2, 10.3):
`no`, `on` and `yes` are text, a key is always text, and decimals stay exact.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import yaml

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 250_000
MAX_DEPTH = 32

Path: TypeAlias = tuple[str | int, ...]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("true", "True", "TRUE"))
_FALSE = frozenset(("false", "False", "FALSE"))
# The lengths are bounded: a number of a million digits is an attack on int(), not a setting.
_INT = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,2})?")
# What YAML forbids, and the line breaks that YAML 1.1 counts and no editor shows.
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the file, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at a place of the text, before it is known what the text means."""

    place: Place
    message: str
    hint: str = ""


@dataclass(slots=True)
class Scalar:
    place: Place
    text: str
    plain: bool
    """Written without quotes, so that it may be a number, true, false or null."""
    tag: str | None = None
    size: int = 1
    height: int = 0

    def value(self) -> str | int | Decimal | bool | None:
        """What it says under the core schema."""
        if self.tag == _TAG + "str" or not (self.plain or self.tag):
            return self.text
        text = self.text
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _INT.fullmatch(text):
            return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
        return Decimal(text) if _FLOAT.fullmatch(text) else text


@dataclass(slots=True)
class Sequence:
    place: Place
    items: list["Node"] = field(default_factory=list)
    size: int = 1
    height: int = 0


@dataclass(slots=True)
class Mapping:
    place: Place
    entries: dict[str, tuple[Place, "Node"]] = field(default_factory=dict)
    """By key: where the key stands, and the value."""
    merges: list["Node"] = field(default_factory=list)
    size: int = 1
    height: int = 0


Node: TypeAlias = Scalar | Sequence | Mapping


def read_tree(text: str) -> tuple[Node | None, list[Fault]]:
    """The tree of the only document in `text`, and the faults found on the way.

    The tree is None when it cannot be known: a syntax error, a bound that was passed, or nothing there.
    """
    if fault := _unreadable(text):
        return None, [fault]
    composer = _Composer()
    try:
        root = composer.compose(text)
    except _StopError as stop:
        return None, [*composer.faults, stop.fault]
    except yaml.YAMLError as error:
        return None, [*composer.faults, _syntax_fault(error, text)]
    return root, composer.faults


def read_trees(text: str) -> tuple[list[Node], list[Fault]]:
    """The trees of all documents in `text`, and the faults found on the way. Empty documents are left out.

    The bounds hold for all documents together. The list is empty when the text cannot be read to its end.
    """
    if fault := _unreadable(text):
        return [], [fault]
    composer = _Composer(several=True)
    try:
        composer.compose(text)
    except _StopError as stop:
        return [], [*composer.faults, stop.fault]
    except yaml.YAMLError as error:
        return [], [*composer.faults, _syntax_fault(error, text)]
    return composer.roots, composer.faults


def plain(node: Node) -> Any:
    """The tree as dicts, lists, texts, numbers, booleans and None."""
    if isinstance(node, Scalar):
        return node.value()
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, (_, value) in node.entries.items()}


def child(node: Node, step: str | int) -> Node | None:
    """The node one step below, or None when there is none."""
    if isinstance(node, Mapping) and isinstance(step, str):
        entry = node.entries.get(step)
        return entry[1] if entry else None
    if isinstance(node, Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def node_at(root: Node, path: Path) -> Node | None:
    """The node that `path` leads to, if it leads anywhere."""
    node: Node | None = root
    for step in path:
        if node is None:
            return None
        node = child(node, step)
    return node


def place_of(root: Node, path: Path, *, at_key: bool = False) -> Place:
    """Where to look: at a scalar itself, at the key of anything larger, or at the nearest parent there is."""
    place, node = root.place, root
    for step in path:
        below = child(node, step)
        if below is None:
            break
        if isinstance(node, Mapping) and isinstance(step, str):
            key_place = node.entries[step][0]
            place = key_place if at_key or not _stands_alone(below) else below.place
        else:
            place = below.place
        node = below
    return place


def scalars(root: Node) -> Iterator[tuple[Path, Scalar]]:
    """Every scalar value with its path, in the order of the file."""
    stack: list[tuple[Path, Node]] = [((), root)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, Scalar):
            yield path, node
        elif isinstance(node, Sequence):
            stack.extend(((*path, index), item) for index, item in reversed(list(enumerate(node.items))))
        else:
            stack.extend(((*path, key), value) for key, (_, value) in reversed(node.entries.items()))


def _stands_alone(node: Node) -> bool:
    """Worth pointing at by itself. An empty scalar has no text to point at."""
    return isinstance(node, Scalar) and bool(node.text)


class _StopError(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(slots=True)
class _Frame:
    """A collection that is still open, with the key that waits for its value."""

    node: Sequence | Mapping
    anchor: str | None
    key: Node | None = None


class _Composer:
    """Turns events into one tree, counting as it goes. An alias counts as all that it stands for."""

    def __init__(self, *, several: bool = False) -> None:
        self.faults: list[Fault] = []
        self.roots: list[Node] = []
        self._several = several
        self._anchors: dict[str, Node] = {}
        self._open: list[_Frame] = []
        self._root: Node | None = None
        self._documents = 0
        self._nodes = 0

    def compose(self, text: str) -> Node | None:
        for event in yaml.parse(text, Loader=_Loader):
            self._take(event)
        return self._root

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            place = _place(event.start_mark)
            # A quoted scalar's implicit pair is (False, True); only plain ones may be resolved.
            node = Scalar(place, event.value, plain=event.implicit[0], tag=self._known_tag(event.tag, place))
            self._add(node, event.anchor)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open_collection(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close_collection()
        elif isinstance(event, yaml.AliasEvent):
            self._add_alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            self._anchors.clear()
            if self._documents > 1 and not self._several:
                hint = "keep one estate per file and remove this `---`"
                raise _StopError(Fault(_place(event.start_mark), "a second document begins here", hint))

    def _open_collection(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        place = _place(event.start_mark)
        self._known_tag(event.tag, place)
        if len(self._open) >= MAX_DEPTH:
            raise _StopError(Fault(place, f"nested deeper than {MAX_DEPTH} levels"))
        node = Mapping(place) if isinstance(event, yaml.MappingStartEvent) else Sequence(place)
        self._open.append(_Frame(node, event.anchor))

    def _close_collection(self) -> None:
        frame = self._open.pop()
        if isinstance(frame.node, Mapping):
            self._merge_into(frame.node)
        self._add(frame.node, frame.anchor)

    def _add_alias(self, event: yaml.AliasEvent) -> None:
        target = self._anchors.get(event.anchor or "")
        place = _place(event.start_mark)
        if target is None:
            hint = f"name it with `&{event.anchor}` on a value above this line"
            raise _StopError(
                Fault(place, f"`*{event.anchor}` stands for nothing that is complete here", hint)
            )
        if len(self._open) + target.height > MAX_DEPTH:
            raise _StopError(Fault(place, f"nested deeper than {MAX_DEPTH} levels"))
        self._count(target.size, place)
        self._attach(target, place)

    def _add(self, node: Node, anchor: str | None) -> None:
        self._count(1, node.place)
        if anchor is not None:
            self._anchors[anchor] = node
        self._attach(node, node.place)

    def _count(self, nodes: int, place: Place) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            hint = "aliases count as all that they stand for"
            raise _StopError(Fault(place, f"more than {MAX_NODES:,} keys and values", hint))

    def _attach(self, node: Node, place: Place) -> None:
        """Put `node`, as met at `place`, where it belongs in the innermost open collection."""
        if not self._open:
            self._root = node
            # A document that holds nothing is one empty scalar.
            if not (isinstance(node, Scalar) and node.plain and not node.text):
                self.roots.append(node)
            return
        frame = self._open[-1]
        parent = frame.node
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif frame.key is None:
            frame.key = Scalar(place, node.text, node.plain) if isinstance(node, Scalar) else node
        else:
            key, frame.key = frame.key, None
            self._enter(parent, key, node)

    def _enter(self, mapping: Mapping, key: Node, value: Node) -> None:
        if not isinstance(key, Scalar):
            hint = "a key is a short text before a colon; put text that begins with [ or { in quotes"
            self.faults.append(Fault(key.place, "a list or a mapping cannot be a key", hint))
        elif key.text == "<<" and key.plain:
            mapping.merges.append(value)
        elif not key.text:
            self.faults.append(Fault(key.place, "a key is missing before the colon"))
        elif key.text in mapping.entries:
            first = mapping.entries[key.text][0].line
            hint = f"it was first given on line {first}; keep one of the two"
            self.faults.append(Fault(key.place, f"the key `{_shown(key.text)}` is given twice", hint))
        else:
            mapping.entries[key.text] = (key.place, value)

    def _merge_into(self, mapping: Mapping) -> None:
        """`<<: *name` lends the keys not given here; the first lender wins (yaml.org/type/merge.html)."""
        for value in mapping.merges:
            lenders = value.items if isinstance(value, Sequence) else [value]
            for lender in lenders:
                if isinstance(lender, Mapping):
                    for key, entry in lender.entries.items():
                        mapping.entries.setdefault(key, entry)
                else:
                    self.faults.append(Fault(lender.place, "`<<` takes in a mapping, or a list of mappings"))

    def _known_tag(self, tag: str | None, place: Place) -> str | None:
        if tag is None:
            return None
        if tag == "!":
            return _TAG + "str"
        if tag.removeprefix(_TAG) in ("str", "int", "float", "bool", "null", "map", "seq"):
            return tag
        shown = tag.replace(_TAG, "!!", 1)
        self.faults.append(Fault(place, f"the tag `{_shown(shown)}` is not read here", "remove it"))
        return None


def _unreadable(text: str) -> Fault | None:
    found = _UNREADABLE.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - (text.rfind("\n", 0, found.start()) + 1) + 1
    return Fault(Place(line, column), f"the character U+{ord(found[0]):04X} is not allowed here", "delete it")


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _syntax_fault(error: yaml.YAMLError, text: str) -> Fault:
    """What the parser says, in words that help somebody who edits a file."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Fault(Place(1, 1), f"this is not YAML: {' '.join(str(error).split())}")
    place = _place(error.problem_mark)
    problem = error.problem or "it cannot be read"
    lines = text.splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    rest = line[place.column - 1 :]
    if "tab" in problem or ("cannot start any token" in problem and "\t" in _indent(line) + rest[:1]):
        tab = line.index("\t") + 1
        return Fault(
            Place(place.line, tab), "a tab is used to indent", "indent with spaces, two for each level"
        )
    if "cannot start any token" in problem:
        return Fault(place, f"text cannot begin with `{rest[:1]}`", "put the text in quotes")
    if "mapping values are not allowed" in problem:
        hint = (
            "put text that holds a colon in quotes, and check that the indentation matches the lines around"
        )
        return Fault(place, "a colon is not expected here", hint)
    if "unexpected end of stream" in problem and error.context_mark is not None:
        return Fault(
            _place(error.context_mark), "a quote is opened and never closed", "close it on this line"
        )
    if "unknown escape character" in problem:
        hint = "inside double quotes write \\\\ for a backslash, or use single quotes"
        return Fault(place, "an unknown escape follows the backslash", hint)
    context = (
        f" ({error.context} that begins on line {error.context_mark.line + 1})" if error.context_mark else ""
    )
    return Fault(
        place, f"this is not YAML: {problem}{context}", "compare the indentation with the lines above"
    )
