"""What `holdfast drill` does."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.recovery.forecasting import shown_drills
from holdfast.bootstrap.recovery.people import shelf_of
from holdfast.bootstrap.recovery.runs import LocalRuns
from holdfast.bootstrap.recovery.terms import drill_for, drills_of
from holdfast.estate.model import Estate
from holdfast.estate.suggest import did_you_mean
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.recovery.drill import DrillRequest
from holdfast.interfaces.cli.recovery.runs import StartRequest
from holdfast.interfaces.evidence_desk import DrillShown
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.drills import given_to_drill, picked, playbook_of
from holdfast.recovery.errors import NotThere, Refused
from holdfast.recovery.shelf import found_in
from holdfast.recovery.views import RunView

LARGEST_SEED = 2**32


class LocalDrills:
    """DrillCommands on this machine."""

    def start(self, place: Place, request: DrillRequest) -> tuple[RunView, int]:
        estate = read_estate(place.config)
        subject = _subject(estate, request)
        seed = secrets.randbelow(LARGEST_SEED) if request.seed is None else request.seed
        drill = drill_for(estate, subject, request.scenario)
        if request.scenario == "region-outage" and drill is None:
            raise Refused(
                f"the estate declares no drill of a region outage of {subject!r}",
                hint="it moves users: allow it in `recovery.drills`, with where: lab or production",
            )
        name = playbook_of(request.scenario, drill.where if drill else "")
        declared = given_to_drill(drill, seed) if drill else {"seed": str(seed)}
        asked = {name: text for name, text in request.given.items() if text}
        return self._begun(place, estate, name, subject, {**declared, **asked}), seed

    def game_day(self, place: Place, seed: int | None, *, dry_run: bool) -> tuple[str, int, RunView | None]:
        estate = read_estate(place.config)
        drawn = secrets.randbelow(LARGEST_SEED) if seed is None else seed
        key = picked(drills_of(estate), drawn)
        if dry_run:
            return key, drawn, None
        drill = drills_of(estate)[key]
        given = given_to_drill(drill, drawn)
        name = playbook_of(drill.scenario, drill.where)
        return key, drawn, self._begun(place, estate, name, drill.subject, given)

    def standings(self, place: Place) -> tuple[datetime, Sequence[DrillShown]]:
        now = SystemClock().now()

        async def read(pool: Pool, inventory: Inventory) -> Sequence[DrillShown]:
            return await shown_drills(PostgresEvidence(pool), inventory.estate, now)

        return now, run(with_database(place, Role.RECOVERY, read))

    def _begun(
        self, place: Place, estate: Estate, name: str, subject: str, given: Mapping[str, str]
    ) -> RunView:
        playbook = found_in(shelf_of(estate, place), name)
        taken = {name: text for name, text in given.items() if name in playbook.takes}
        return LocalRuns().start(place, StartRequest(playbook.name, subject, taken))


def _subject(estate: Estate, request: DrillRequest) -> str:
    of_cluster = request.scenario == "region-outage"
    known = set(estate.clusters if of_cluster else estate.databases)
    kind = "cluster" if of_cluster else "database"
    if not request.subject:
        drilled = {each.subject for each in drills_of(estate).values() if each.scenario == request.scenario}
        if len(drilled) == 1:
            return drilled.pop()
        raise Refused(f"say which {kind}", hint=f"there are: {', '.join(sorted(drilled or known))}")
    if request.subject not in known:
        hint = did_you_mean(request.subject, known) or f"there are: {', '.join(sorted(known))}"
        raise NotThere(f"the estate has no {kind} {request.subject!r}", hint=hint)
    return request.subject
