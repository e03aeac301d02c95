"""What a step is given: the run's own words, what earlier steps found, and its own, filled in. Pure."""

from collections.abc import Mapping
from string import Formatter

from holdfast.recovery.errors import PlaybookWrong
from holdfast.recovery.model import Did, Run, Step


def given_to(run: Run, step: Step) -> Mapping[str, str]:
    """`{name}` in a step's own stands for the run's `name`, `{other-step.name}` for what that one found.

    Raises PlaybookWrong for a name that nobody gave.
    """
    known = {"subject": run.subject, **run.given}
    for name, record in run.records.items():
        if record.did is Did.DONE:
            known |= {f"{name}.{key}": text for key, text in record.found.items()}
    return {
        "subject": run.subject,
        **run.given,
        **{k: _filled(v, known, step) for k, v in step.given.items()},
    }


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
