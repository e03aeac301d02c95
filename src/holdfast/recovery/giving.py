"""What a step is given: the run's own words, what earlier steps found, and its own, filled in. Pure."""

from collections.abc import Mapping
from string import Formatter

from holdfast.recovery.errors import PlaybookWrong
from holdfast.recovery.model import Did, Playbook, Run, Step

LONGEST_TEXT = 4096


def given_to(run: Run, step: Step) -> Mapping[str, str]:
    """`{name}` in a step's own stands for the run's `name`, `{other-step.name}` for what that one found, and
    `{run}` for the run itself.

    Raises PlaybookWrong for a name that nobody gave.
    """
    known = {"subject": run.subject, "run": run.id, **run.given}
    for name, record in run.records.items():
        if record.did is Did.DONE:
            known |= {f"{name}.{key}": text for key, text in record.found.items()}
    return {
        "subject": run.subject,
        **run.given,
        **{k: _filled(v, known, step) for k, v in step.given.items()},
    }


def taken_from(playbook: Playbook, subject: str, given: Mapping[str, str]) -> Mapping[str, str]:
    """What a run of it is given: what it takes, with the defaults of what nobody gave.

    Raises PlaybookWrong for what is missing, what it does not take, and what is no text of a bearable length.
    """
    for name, text in {"subject": subject, **given}.items():
        if len(text) > LONGEST_TEXT or any(ord(each) < 32 or 0xD800 <= ord(each) < 0xE000 for each in text):
            raise PlaybookWrong(
                f"{name!r} is too long, or holds a control character",
                hint=f"at most {LONGEST_TEXT} characters, in one line",
            )
    if not subject:
        raise PlaybookWrong("nobody said what the run is to work on")
    takes = ", ".join(playbook.takes) or "nothing"
    if surplus := sorted(set(given) - set(playbook.takes)):
        raise PlaybookWrong(
            f"{playbook.name!r} does not take {', '.join(surplus)}", hint=f"it takes: {takes}"
        )
    defaults = {name: each.default for name, each in playbook.takes.items() if each.default is not None}
    if missing := sorted(set(playbook.takes) - set(defaults) - set(given)):
        raise PlaybookWrong(
            f"{playbook.name!r} must be given {', '.join(missing)}", hint=f"it takes: {takes}"
        )
    return {**defaults, **given}


def _filled(text: str, known: Mapping[str, str], step: Step) -> str:
    parts = list[str]()
    for literal, name, _, _ in Formatter().parse(text):
        parts.append(literal)
        if name is None:
            continue
        if name not in known:
            raise PlaybookWrong(
                f"{step.title!r} wants {name!r}, which nobody gave",
                hint="a step finds it before, or the run is started with it",
            )
        parts.append(known[name])
    return "".join(parts)
