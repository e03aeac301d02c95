"""A runbook on paper: Markdown that reads well as it is."""

import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from holdfast.kernel.durations import format_duration
from holdfast.recovery.runbook import BLANK, Item, Kind, Runbook

_SIGNED = f"Began {BLANK} UTC   Ended {BLANK} UTC   By {BLANK}"


def runbook_text(runbook: Runbook, where: str, printed_at: datetime) -> str:
    """All of it. `where`: what it was made of, for people."""
    return "\n".join(line.rstrip() for line in _lines(runbook, where, printed_at)) + "\n"


def _lines(runbook: Runbook, where: str, printed_at: datetime) -> Iterator[str]:
    playbook, subject = runbook.playbook, runbook.facts.subject or BLANK
    yield f"# {playbook.title}: {subject}"
    yield ""
    yield f"By hand, for when there is no Holdfast to do it. Playbook {playbook.name} ({where}), printed"
    yield f"{printed_at:%Y-%m-%d %H:%M} UTC. With Holdfast: {_command(runbook, subject)}"
    yield ""
    if playbook.about:
        yield from playbook.about.splitlines()
        yield ""
    yield from _first(runbook)
    if runbook.facts.given or playbook.takes:
        yield "## Decide first"
        yield ""
        for name, taken in playbook.takes.items():
            yield f"- {name}, {taken.title}: {runbook.taken.get(name) or BLANK}"
        yield ""
        if runbook.assumed:
            words = ", ".join(f"{name} = {runbook.taken[name]}" for name in runbook.assumed)
            yield f"Taken as the estate has it, and filled in below: {words}. Where that is not so, strike it"
            yield "out and read the one for the other, or print this anew with --given."
            yield ""
    if runbook.facts.addresses:
        yield "## Addresses"
        yield ""
        if runbook.by_role and "secondary" in runbook.facts.addresses:
            yield "Primary and secondary are as the estate has them. Where the cluster was moved before,"
            yield "they are the other way round: then read each for the other."
            yield ""
        for name, text in runbook.facts.addresses.items():
            yield f"- {name}: {text}"
        yield ""
    yield "## What to do"
    yield ""
    for item in runbook.items:
        yield from _of_item(item)
    yield from _back(runbook)
    yield "## Afterwards"
    yield ""
    yield "- Write down what was lost, or that it is not known. Not known is not nothing."
    yield "- Keep this sheet: its times are the evidence."
    yield "- Before Holdfast is started again: holdfast check, then holdfast run list. A run that was under"
    yield "  way goes on by itself; holdfast run cancel, or run resume --by-hand, for what you have done."


def _command(runbook: Runbook, subject: str) -> str:
    """How it is begun where Holdfast is there, with all that must be given."""
    words = ["holdfast", "run", "start", runbook.playbook.name, subject]
    for name, taken in runbook.playbook.takes.items():
        if name in runbook.facts.given or taken.default is None:
            value = runbook.taken.get(name)
            words += ["--given", f"{name}={BLANK if value is None else shlex.quote(value)}"]
    return " ".join(words)


def _first(runbook: Runbook) -> Iterator[str]:
    yield "## Before anything else"
    yield ""
    yield "- [ ] Everybody who acts is in one call, and one person reads this aloud."
    yield "- [ ] No Holdfast acts meanwhile: `holdfast serve recovery` is stopped wherever it still runs."
    if runbook.playbook.moves_traffic:
        yield "- [ ] Nobody else moves the traffic of this cluster now: two at once fence each other's side."
    if runbook.unknown:
        yield f"- [ ] Find out, the estate does not tell: {', '.join(runbook.unknown)}"
    yield ""
    yield f"Led by {BLANK}   Began {BLANK} UTC"
    yield ""


def _of_item(item: Item) -> Iterator[str]:
    if item.no_return:
        yield "**From here on there is no way back. What fails now is done again, until it is done.**"
        yield ""
    yield f"### [ ] {item.number}. {item.title}"
    yield ""
    match item.kind:
        case Kind.DO:
            yield from _of_step(item)
        case Kind.AGREE:
            yield from _of_gate(item)
        case Kind.WAIT:
            yield f"Wait {format_duration(item.within)}. Until {BLANK} UTC"
            yield ""
        case Kind.BESIDE:
            yield f"The next {item.beside} can be done at the same time, by different people."
            yield ""


def _of_step(item: Item) -> Iterator[str]:
    if item.text:
        yield from item.text.splitlines()
    else:
        given = ", ".join(f"{key} = {text}" for key, text in item.given.items())
        yield (
            "Nobody has written down how this is done by hand. Holdfast would do "
            + item.action
            + (f" with {given}." if given else ".")
        )
    yield ""
    for key in item.write_down:
        yield f"Write down {key}: {BLANK}"
    yield f"Too long: {format_duration(item.within)}   {_SIGNED}"
    yield ""


def _of_gate(item: Item) -> Iterator[str]:
    people = "one person" if item.approvals == 1 else f"{item.approvals} people"
    yield f"Stop until {people} agreed who may: {' or '.join(item.roles)}."
    if item.four_eyes:
        yield "Whoever leads does not count."
    yield f"An answer that comes later than {format_duration(item.within)} after you asked is none."
    yield ""
    yield f"Asked {BLANK} UTC"
    for _ in range(item.approvals):
        yield f"Agreed {BLANK} UTC   By {BLANK}"
    yield ""


def _back(runbook: Runbook) -> Iterator[str]:
    before = list[Item]()
    for item in runbook.items:
        if item.no_return:
            break
        before.append(item)
    undone = [each for each in reversed(before) if each.undo is not None]
    yield "## To go back"
    yield ""
    if runbook.no_return is not None:
        yield f"Only before {runbook.no_return.number} ({runbook.no_return.title}) has begun."
    yield "What was begun is taken back, the last first:" if undone else "There is nothing to take back."
    yield ""
    for item in undone:
        how = item.undo or f"nobody has written down how; Holdfast would undo {item.action}"
        yield f"- [ ] {item.number}. {item.title}: {how}"
    if undone:
        yield ""


def plain_runbook(runbook: Runbook, where: str, printed_at: datetime, trouble: str) -> dict[str, Any]:
    """For programs. `text` is the Markdown."""
    return {
        "playbook": runbook.playbook.name,
        "title": runbook.playbook.title,
        "from": where,
        "subject": runbook.facts.subject or None,
        "printed_at": printed_at,
        "addresses": dict(runbook.facts.addresses),
        "unknown": list(runbook.unknown),
        "trouble": trouble,
        "items": [
            {
                "kind": item.kind.value,
                "number": item.number,
                "name": item.name,
                "title": item.title,
                "text": item.text,
                "undo": item.undo,
                "action": item.action,
                "within_s": item.within.total_seconds(),
                "no_return": item.no_return,
                "roles": list(item.roles),
                "approvals": item.approvals,
                "four_eyes": item.four_eyes,
                "write_down": list(item.write_down),
            }
            for item in runbook.items
        ],
        "text": runbook_text(runbook, where, printed_at),
    }
