"""A playbook as a runbook: what people do by hand when there is no Holdfast to do it. Pure.

What is known is filled in: the subject, what a run would be started with, and the estate's addresses. What a
step would find out is a blank, to be filled in with a pen; where it is needed the blank is named.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from string import Formatter

from holdfast.recovery.checking import RUN, SUBJECT, names_in
from holdfast.recovery.model import Did, Gate, Pause, Playbook, Run, Stage, Step, Together
from holdfast.recovery.views import letter

BLANK = "______________"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known without a database and without a network. Secrets are told by where they are kept."""

    subject: str = ""
    """Empty: a blank."""
    given: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    """By name, such as `edges.a.socket`."""
    also: Mapping[str, str] = field(default_factory=dict)
    """The same under other names, such as `edges.secondary.socket`: known, and not listed."""


class Kind(StrEnum):
    """What people do at an item."""

    DO = "do"
    AGREE = "agree"
    WAIT = "wait"
    BESIDE = "beside"
    """What follows, `beside` items of it, is done at the same time."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on the list. `number` is how people call it: 3, or 3a for one of several side by side."""

    kind: Kind
    number: str
    name: str
    title: str
    text: str = ""
    """How it is done by hand; empty where nobody has written it down."""
    undo: str | None = None
    """How it is taken back; None where there is nothing to take back."""
    action: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    """What Holdfast would do, and with what."""
    within: timedelta = timedelta()
    """Of a step: longer is too long. Of a gate: an approval that comes later is none. Of a pause: so long."""
    no_return: bool = False
    roles: Sequence[str] = ()
    approvals: int = 0
    four_eyes: bool = False
    beside: int = 0
    write_down: Sequence[str] = ()
    """What later items need of what this one finds."""


@dataclass(frozen=True, slots=True)
class Runbook:
    """All of it. `unknown`: names in its texts that nobody knows, which are blanks."""

    playbook: Playbook
    facts: Facts
    items: Sequence[Item]
    unknown: Sequence[str]
    taken: Mapping[str, str]
    """What it is started with, as far as that is known."""
    assumed: Sequence[str]
    """Names of `taken` that nobody gave: they are as the playbook has them for people."""
    by_role: bool
    """Whether its texts speak of a primary and a secondary region."""

    @property
    def no_return(self) -> Item | None:
        """From its beginning on there is no way back."""
        return next((each for each in self.items if each.no_return), None)


def runbook_of(playbook: Playbook, facts: Facts) -> Runbook:
    """The playbook for people, with what is known filled in."""
    filling = _Filling(playbook, facts)
    needed = _needed(playbook)
    items = [
        item
        for number, stage in enumerate(playbook.stages, 1)
        for item in _items(number, stage, filling, needed)
    ]
    return Runbook(
        playbook,
        facts,
        tuple(items),
        tuple(sorted(filling.unknown)),
        filling.taken,
        filling.assumed,
        bool({"primary", "secondary"} & {part for name in filling.met for part in name.split(".")}),
    )


def _items(
    number: int, stage: Stage, filling: "_Filling", needed: Mapping[str, Sequence[str]]
) -> Iterator[Item]:
    match stage:
        case Step():
            yield _item(str(number), stage, filling, needed)
        case Gate():
            yield Item(
                Kind.AGREE,
                str(number),
                stage.name,
                stage.title,
                within=stage.expires_after,
                roles=stage.roles,
                approvals=stage.approvals,
                four_eyes=stage.four_eyes,
            )
        case Pause():
            yield Item(Kind.WAIT, str(number), stage.name, stage.title, within=stage.lasts)
        case Together():
            yield Item(Kind.BESIDE, str(number), stage.name, stage.title, beside=len(stage.steps))
            for index, step in enumerate(stage.steps):
                yield _item(f"{number}{letter(index)}", step, filling, needed)


def _item(number: str, step: Step, filling: "_Filling", needed: Mapping[str, Sequence[str]]) -> Item:
    undo = None if step.undo is None else filling.filled(step.undo_by_hand, step.name)
    return Item(
        Kind.DO,
        number,
        step.name,
        step.title,
        filling.filled(step.by_hand, step.name),
        undo,
        step.action,
        {key: filling.filled(text, step.name) for key, text in step.given.items()},
        step.within,
        step.no_return,
        write_down=needed.get(step.name, ()),
    )


def _needed(playbook: Playbook) -> Mapping[str, Sequence[str]]:
    """By step, what others are given of what it finds."""
    needed, before = dict[str, dict[str, None]](), _before(playbook)
    for step in playbook.steps():
        for text in (*step.given.values(), step.by_hand, step.undo_by_hand):
            for name in names_in(text) or ():
                finder, _, key = name.partition(".")
                if key and finder in before[step.name]:
                    needed.setdefault(finder, {})[key] = None
    return {name: tuple(keys) for name, keys in needed.items()}


def _before(playbook: Playbook) -> Mapping[str, Collection[str]]:
    """By step, those of earlier stages: what they have found is known when it begins."""
    found, before = dict[str, Collection[str]](), frozenset[str]()
    for stage in playbook.stages:
        steps = [stage] if isinstance(stage, Step) else stage.steps if isinstance(stage, Together) else []
        found |= dict.fromkeys((each.name for each in steps), before)
        before |= {each.name for each in steps}
    return found


def _numbers(playbook: Playbook) -> Mapping[str, str]:
    """By which number people call each step."""
    numbers = dict[str, str]()
    for number, stage in enumerate(playbook.stages, 1):
        if isinstance(stage, Step):
            numbers[stage.name] = str(number)
        elif isinstance(stage, Together):
            numbers |= {step.name: f"{number}{letter(index)}" for index, step in enumerate(stage.steps)}
    return numbers


def hands_for(run: Run, facts: Facts) -> Mapping[str, str]:
    """How people do what has failed in a run, or take it back: by step, with what the run knows by now."""
    found = {
        f"{name}.{key}": text for name, record in run.records.items() for key, text in record.found.items()
    }
    known = Facts(run.subject, run.given, facts.addresses, {**facts.also, **found})
    filling, hands = _Filling(run.playbook, known), dict[str, str]()
    for step in run.playbook.steps():
        did = run.did(step.name)
        text = step.undo_by_hand if did is Did.NOT_UNDONE else step.by_hand if did is Did.FAILED else ""
        if text:
            hands[step.name] = filling.filled(text, step.name)
    return hands


class _Filling:
    """Texts with what is known in the place of names, and blanks for the rest.

    A part of a name that is something the run is started with stands for its value: where `to` is b,
    `{edges.to.socket}` is `{edges.b.socket}`.
    """

    def __init__(self, playbook: Playbook, facts: Facts) -> None:
        self.unknown, self.met = set[str](), set[str]()
        defaults = {name: each.default for name, each in playbook.takes.items() if each.default}
        subject = {SUBJECT: facts.subject} if facts.subject else {}
        self._known = {**facts.also, **facts.addresses, **defaults, **facts.given, **subject}
        self._finders, self._before = _numbers(playbook), _before(playbook)
        self._asked = {SUBJECT, RUN, *playbook.takes}
        self._takes = playbook.takes
        people = {name: self._for_people(name) for name in playbook.takes if not self._known.get(name)}
        self.assumed = tuple(name for name, text in people.items() if text)
        self._known |= {name: text for name, text in people.items() if text}
        self.taken = {name: text for name in playbook.takes if (text := self._known.get(name))}

    def filled(self, text: str, step: str = "") -> str:
        """A text of that step."""
        if names_in(text) is None:
            return text
        parts = list[str]()
        for literal, name, _, _ in Formatter().parse(text):
            parts.append(literal)
            if name is not None:
                parts.append(self._of(name, self._before.get(step, ())))
        return "".join(parts)

    def _for_people(self, name: str) -> str:
        """What they take it to be; nothing where that is not known whole."""
        text = self._takes[name].by_hand
        wanted = names_in(text)
        if wanted is None or not all(self._known.get(each) for each in wanted):
            return ""
        parts = Formatter().parse(text)
        return "".join(literal + ("" if each is None else self._known[each]) for literal, each, _, _ in parts)

    def _of(self, name: str, before: Collection[str]) -> str:
        self.met.add(name)
        if name in self._known:
            return self._known[name]
        finder, _, key = name.partition(".")
        if key and finder in before:
            return f"{BLANK} ({key}, written down at {self._finders[finder]})"
        parts = [self._known.get(part, part) if part in self._takes else part for part in name.split(".")]
        meant = ".".join(parts)
        if meant in self._known:
            return self._known[meant]
        if name not in self._asked:
            self.unknown.add(meant)
        return f"{BLANK} ({meant})"
