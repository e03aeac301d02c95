"""Whether a playbook can be run as it stands: found out before a night in which it is needed. Pure."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from string import Formatter

from holdfast.estate.suggest import did_you_mean
from holdfast.recovery.model import Gate, Pause, Playbook, Stage, Step, Together

MOST_STAGES = 200
MOST_TEXT = 4000
LONGEST = timedelta(days=14)
SUBJECT, RUN = "subject", "run"

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What an action must be given, beside the subject, and what later steps may be given of what it found.

    `finds` is None where the action does not tell.
    """

    wants: frozenset[str] = frozenset()
    finds: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should look at. A `warning` does not keep the playbook from being run.

    `path` leads to it in the playbook: `("stages", 2, "steps", 0, "action")`.
    """

    path: Path
    message: str
    hint: str = ""
    warning: bool = False


def signature_of(action: object) -> Signature:
    """By its `wants` and `finds`, where it has them: names. Any action may tell, none must."""
    finds = getattr(action, "finds", None)
    return Signature(
        frozenset(getattr(action, "wants", ())), finds=None if finds is None else frozenset(finds)
    )


def findings_in(
    playbook: Playbook, actions: Mapping[str, Signature] | None = None, roles: Collection[str] | None = None
) -> list[Finding]:
    """All that is wrong with it, in its order. `actions` by name; `roles`: what somebody may be.

    None for either: it is not known here, and nothing is said of it.
    """
    found = [*_of_the_whole(playbook), *_of_names(playbook)]
    found += [] if roles is None else _of_roles(playbook, roles)
    known = {SUBJECT: "", RUN: "", **dict.fromkeys(playbook.takes, "")}
    before = dict[str, Signature]()
    no_return: str | None = None
    for number, stage in enumerate(playbook.stages):
        path: Path = ("stages", number)
        found += _of_texts(path, stage)
        if isinstance(stage, Gate):
            found += _of_gate(path, stage)
        elif isinstance(stage, Pause):
            found += _of_length((*path, "lasts"), stage.lasts)
        else:
            for place, step in steps_of(path, stage):
                found += _of_texts(place, step) if isinstance(stage, Together) else ()
                found += _of_step(place, step, actions)
                found += _of_given(place, step, playbook, known, before, actions)
                if no_return is not None and step.undo is not None:
                    message = f"is never used: from {no_return!r} on the run goes forward only"
                    found.append(Finding((*place, "undo"), message, warning=True))
            # Steps side by side begin together: none can be given what another one of them finds.
            before |= {step.name: _signature(step, actions) for _, step in steps_of(path, stage)}
            firm = [step.name for _, step in steps_of(path, stage) if step.no_return]
            no_return = no_return or next(iter(firm), None)
    return found


def steps_of(path: Path, stage: Stage) -> Iterator[tuple[Path, Step]]:
    """The steps of a stage, and where they stand."""
    if isinstance(stage, Step):
        yield path, stage
    elif isinstance(stage, Together):
        yield from (((*path, "steps", number), step) for number, step in enumerate(stage.steps))


def _signature(step: Step, actions: Mapping[str, Signature] | None) -> Signature:
    return (actions or {}).get(step.action, Signature())


def _of_the_whole(playbook: Playbook) -> Iterator[Finding]:
    if not playbook.title.strip():
        yield Finding(("title",), "is empty")
    if not playbook.stages:
        yield Finding(("stages",), "there are none", "a playbook has one step at least")
    if len(playbook.stages) > MOST_STAGES:
        yield Finding(("stages",), f"there are {len(playbook.stages)}; at most {MOST_STAGES} are possible")
    for name in sorted({SUBJECT, RUN} & set(playbook.takes)):
        yield Finding(("takes", name), "is taken already: it is the run's own")
    for name in playbook.takes:
        if not name.replace("-", "").replace("_", "").isalnum():
            yield Finding(("takes", name), "is no name", "letters, digits, - and _")
    for name, taken in playbook.takes.items():
        if names_in(taken.by_hand) is None:
            message = "has a brace that is not closed"
            yield Finding(("takes", name, "by_hand"), message, "write {{ for a brace")


def _of_names(playbook: Playbook) -> Iterator[Finding]:
    places = list[tuple[Path, str]]()
    for number, stage in enumerate(playbook.stages):
        places.append((("stages", number), stage.name))
        if isinstance(stage, Together):
            if not stage.steps:
                yield Finding(("stages", number, "steps"), "there are none")
            places += [(path, step.name) for path, step in steps_of(("stages", number), stage)]
    counted = Counter(name for _, name in places)
    seen = set[str]()
    for path, name in places:
        if counted[name] > 1 and name in seen:
            yield Finding((*path, "name"), f"{name!r} is the name of another one already")
        seen.add(name)


def _of_texts(path: Path, stage: Stage) -> Iterator[Finding]:
    if not stage.title.strip():
        yield Finding((*path, "title"), "is empty")
    texts = {"title": stage.title}
    if isinstance(stage, Step):
        texts |= {"by_hand": stage.by_hand, "undo_by_hand": stage.undo_by_hand}
    for key, text in texts.items():
        if len(text) > MOST_TEXT:
            yield Finding((*path, key), f"is longer than {MOST_TEXT} characters")
        elif key != "title" and names_in(text) is None:
            yield Finding((*path, key), "has a brace that is not closed", "write {{ for a brace")


def _of_gate(path: Path, gate: Gate) -> Iterator[Finding]:
    if not gate.roles:
        yield Finding((*path, "roles"), "there are none: nobody could approve")
    yield from _of_length((*path, "expires_after"), gate.expires_after)


def _of_roles(playbook: Playbook, roles: Collection[str]) -> Iterator[Finding]:
    places: list[tuple[Path, Collection[str]]] = [(("roles",), playbook.roles)]
    for number, stage in enumerate(playbook.stages):
        if isinstance(stage, Gate):
            places.append((("stages", number, "roles"), stage.roles))
    for path, named in places:
        for number, role in enumerate(named):
            if role not in roles:
                hint = did_you_mean(role, roles)
                yield Finding((*path, number), f"there is no role {role!r}", hint)


def _of_length(path: Path, length: timedelta, *, zero: bool = False) -> Iterator[Finding]:
    if length > LONGEST:
        yield Finding(path, f"is longer than {LONGEST.days} days")
    if length < timedelta() or (not length and not zero):
        yield Finding(path, "must be longer than nothing")


def _of_step(path: Path, step: Step, actions: Mapping[str, Signature] | None) -> Iterator[Finding]:
    for key, name in (("action", step.action), ("undo", step.undo)):
        if actions is not None and name is not None and name not in actions:
            yield Finding((*path, key), f"there is no action {name!r}", did_you_mean(name, actions))
    yield from _of_length((*path, "within"), step.within)
    yield from _of_length((*path, "retry", "pause"), step.retry.pause, zero=True)
    yield from _of_length((*path, "retry", "longest_pause"), step.retry.longest_pause, zero=True)
    if not step.by_hand.strip():
        hint = "say what a person does when Holdfast is not there"
        yield Finding((*path, "by_hand"), "is missing: the runbook has nothing to say", hint, warning=True)
    if step.undo is not None and step.no_return:
        yield Finding((*path, "undo"), "is never used: the step is one of no return", warning=True)


def _of_given(
    path: Path,
    step: Step,
    playbook: Playbook,
    known: Mapping[str, str],
    before: Mapping[str, Signature],
    actions: Mapping[str, Signature] | None,
) -> Iterator[Finding]:
    if SUBJECT in step.given:
        yield Finding((*path, "given", SUBJECT), "cannot be given: it is the run's own")
    for key, text in step.given.items():
        place = (*path, "given", key)
        names = names_in(text)
        if names is None:
            yield Finding(place, "has a brace that is not closed", "write {{ for a brace")
        for name in names or ():
            if name not in known:
                yield from _of_reference(place, name, playbook, before)
    for name in (step.action, *([] if step.undo is None else [step.undo])):
        if actions is not None and name in actions:
            missing = actions[name].wants - step.given.keys() - known.keys()
            for each in sorted(missing):
                hint = f"add `{each}` to the step's `given`, or to what the playbook `takes`"
                yield Finding((*path, "given"), f"{name} wants {each!r}, which nobody gives", hint)


def _of_reference(
    place: Path, name: str, playbook: Playbook, before: Mapping[str, Signature]
) -> Iterator[Finding]:
    """`{step.key}`: of a step that is done before."""
    by, dot, key = name.partition(".")
    if not dot:
        possible = (SUBJECT, *playbook.takes)
        yield Finding(place, f"nobody gives {name!r}", did_you_mean(name, possible, otherwise=_TAKES))
    elif by not in before:
        later = any(step.name == by for step in playbook.steps())
        message = f"{by!r} is not done before this step" if later else f"there is no step {by!r}"
        yield Finding(place, message, did_you_mean(by, before, otherwise="only earlier stages' can be given"))
    else:
        finds = before[by].finds
        if finds is not None and key not in finds:
            yield Finding(place, f"{by!r} finds no {key!r}", did_you_mean(key, sorted(finds)))


_TAKES = "name it under `takes`, so that whoever starts a run gives it"


def names_in(text: str) -> list[str] | None:
    """The names that stand in braces; None when the braces do not fit, or hold more than a name."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return None
    if any(name is not None and (not name or spec or turned) for _, name, spec, turned in parts):
        return None
    return [name for _, name, _, _ in parts if name is not None]
