"""Playbooks as the command line reads them: from files, and from the database what became of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.recovery.playbooks import PostgresPlaybooks
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.recovery.addresses import facts_of
from holdfast.bootstrap.recovery.known import known_actions
from holdfast.bootstrap.recovery.people import EARLIER_RUNS, shelf_of
from holdfast.bootstrap.recovery.playbooks import SUFFIX, Signatures, read_file, read_shelf
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.recovery.playbooks import PlaybookDetails, RunbookMade
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.errors import NotThere
from holdfast.recovery.expected import took_before
from holdfast.recovery.model import Playbook, Run
from holdfast.recovery.runbook import Facts, runbook_of
from holdfast.recovery.shelf import Shelf, Shelved, found_in


class LocalPlaybooks:
    """PlaybookCommands on this machine."""

    def shelf(self, place: Place) -> Sequence[Shelved]:
        shelf = _shelf(place)
        return [shelf[name] for name in sorted(shelf)]

    def check(self, place: Place, which: Sequence[str]) -> Sequence[Shelved]:
        if not which:
            return self.shelf(place)
        shelf: Shelf | None = None
        found = list[Shelved]()
        for each in which:
            if each.endswith(SUFFIX):
                found.append(read_file(Path(each), _actions(place)))
                continue
            shelf = _shelf(place) if shelf is None else shelf
            if each not in shelf:
                found_in(shelf, each)
            found.append(shelf[each])
        return found

    def details(self, place: Place, name: str, revision: int | None) -> PlaybookDetails:
        return run(_details(place, name, revision))

    def runbook(self, place: Place, name: str, subject: str, given: Mapping[str, str]) -> RunbookMade:
        trouble, facts = "", Facts(subject, given)
        try:
            estate = read_estate(place.config)
            shelf = shelf_of(estate, place)
            facts = facts_of(estate, subject, given)
        except HoldfastError as error:
            # In the dark there may be nothing but the program: better without addresses than nothing.
            trouble, shelf = str(error), read_shelf(None)
        playbook = found_in(shelf, name)
        runbook = runbook_of(playbook, facts)
        return RunbookMade(runbook, shelf[name].where, datetime.now(UTC), trouble)


def _estate(place: Place) -> Estate | None:
    """None without a file: there are Holdfast's own playbooks then. Raises EstateError for a wrong one."""
    return read_estate(place.config) if place.config.exists() else None


def _shelf(place: Place) -> Shelf:
    estate = _estate(place)
    return read_shelf(None) if estate is None else shelf_of(estate, place)


def _actions(place: Place) -> Signatures | None:
    estate = _estate(place)
    return None if estate is None else known_actions(estate, place)


async def _details(place: Place, name: str, revision: int | None) -> PlaybookDetails:
    async def ask(pool: Pool, _: Inventory) -> PlaybookDetails:
        revisions = await PostgresPlaybooks(pool).revisions(name)
        if revision is None:
            playbook, where = found_in(shelf, name), shelf[name].where
        else:
            playbook, where = _of_revision(revisions, name, revision), f"revision {revision}"
        newest = revisions[0][0] if revisions else None
        return PlaybookDetails(
            playbook,
            where,
            [(each.revision, since) for each, since in revisions],
            newest is not None and not _is_same(playbook, newest),
            took_before(_first_run(playbook), await PostgresRuns(pool).newest(EARLIER_RUNS)),
        )

    shelf = _shelf(place)
    try:
        return await with_database(place, Role.CONSOLE, ask)
    except NotThere:
        raise
    except HoldfastError as error:
        if revision is not None:
            raise
        return PlaybookDetails(found_in(shelf, name), shelf[name].where, unknown=str(error))


def _is_same(playbook: Playbook, other: Playbook) -> bool:
    """Whatever their revisions are; as it is kept, where a list and a tuple are the same."""
    same = replace(playbook, revision=other.revision)
    return msgspec.json.encode(same) == msgspec.json.encode(other)


def _of_revision(revisions: Sequence[tuple[Playbook, datetime]], name: str, wanted: int) -> Playbook:
    for playbook, _ in revisions:
        if playbook.revision == wanted:
            return playbook
    known = ", ".join(str(playbook.revision) for playbook, _ in reversed(revisions))
    raise NotThere(f"{name!r} was never run in revision {wanted}", hint=f"revisions: {known or 'none'}")


def _first_run(playbook: Playbook) -> Run:
    """One that was not begun, of no subject in particular."""
    return Run(id="", playbook=playbook, subject="", started_by="", started_at=datetime.fromtimestamp(0, UTC))
