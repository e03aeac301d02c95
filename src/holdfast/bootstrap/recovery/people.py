"""Runs for people: the service over a pool, with the playbooks of the estate in force."""

import secrets
from collections.abc import Callable

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.recovery.news import News
from holdfast.adapters.postgres.recovery.playbooks import PostgresPlaybooks
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.bootstrap.recovery.known import known_actions
from holdfast.bootstrap.recovery.playbooks import folder_of, read_shelf
from holdfast.estate.model import Estate
from holdfast.estate.suggest import closest, did_you_mean
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.ids import id_from
from holdfast.recovery.errors import NotThere, Refused
from holdfast.recovery.model import Playbook
from holdfast.recovery.ports import Held
from holdfast.recovery.service import Recovery
from holdfast.recovery.shelf import Shelf, startable

EARLIER_RUNS = 200
"""So many of the newest are looked at, for how long steps took."""
ID_LENGTH = 12


def shelf_of(estate: Estate, place: Place) -> Shelf:
    """The playbooks there are for this estate, read anew. Raises PlaybookWrong."""
    return read_shelf(folder_of(estate, place.config), known_actions(estate, place))


def recovery_for_people(
    pool: Pool, estate: Callable[[], Estate], place: Place, news: News | None = None
) -> Recovery:
    """Over a pool of the console's login. Playbooks are read whenever they are asked for."""
    return Recovery(
        PostgresRuns(pool, news),
        PostgresPlaybooks(pool),
        lambda: startable(shelf_of(estate(), place)),
        fresh_run_id,
    )


def fresh_run_id() -> str:
    """That of a new run."""
    return id_from("run", secrets.token_hex(16))


async def found_run(recovery: Recovery, which: str | None, *, over: bool = False) -> Held:
    """The run of this id, or whose id begins so; for None the only one that is not over.

    With `over` the newest one stands for the only one when none is under way. Raises NotThere when there is
    none, or when several could be meant.
    """
    if which is not None and len(which) == ID_LENGTH:
        return await recovery.get(which)
    active = await recovery.unfinished()
    if which:
        newest = [*active, *await recovery.newest(EARLIER_RUNS)]
        found = [each for each in {each.id: each for each in newest}.values() if each.id.startswith(which)]
    else:
        found = list(active) or (list(await recovery.newest(1)) if over else [])
    if len(found) == 1:
        return await recovery.get(found[0].id)
    if not found:
        raise NotThere(
            f"no run begins with {which!r}" if which else "no run is under way",
            hint="holdfast run list --all",
        )
    raise NotThere(
        f"{len(found)} runs could be meant", hint=f"name one of: {', '.join(each.id for each in found[:8])}"
    )


def check_start(estate: Estate, playbook: Playbook, subject: str) -> None:
    """Raises Refused where nobody would take the run on, and NotThere for what the estate does not have.

    A playbook that moves no traffic may be about anything that people call by a name.
    """
    if estate.recovery is None:
        raise Refused(
            "the estate in force has no `recovery:` section: nobody would take the run on",
            hint="add one, even an empty one: recovery: {}; then run holdfast up again",
        )
    known = (*estate.clusters, *estate.databases)
    if playbook.moves_traffic and subject not in estate.clusters:
        hint = did_you_mean(subject, estate.clusters)
        raise NotThere(f"the estate in force has no cluster {subject!r}", hint=hint)
    if subject not in known and (near := closest(subject, known)) is not None:
        raise NotThere(f"the estate in force has no {subject!r}", hint=f"did you mean `{near}`?")
