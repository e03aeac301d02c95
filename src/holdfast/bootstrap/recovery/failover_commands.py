"""Moving a cluster, as the command line asks for it."""

from collections.abc import Mapping, Sequence

from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.recovery.runs import PostgresRuns
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.database import server_for
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.recovery.people import check_start, recovery_for_people, shelf_of
from holdfast.bootstrap.recovery.region_parts import parts_in
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.identity.roles import labels
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.cli.recovery.failover import Move, MovePlan, MoveRequest
from holdfast.kernel.clock import SystemClock
from holdfast.recovery.errors import NotThere, StepFailed
from holdfast.recovery.planning import Planned, planned, waited_in
from holdfast.recovery.shelf import found_in
from holdfast.recovery.views import RunView, view_of

EARLIER_RUNS = 500


class LocalMoves:
    """FailoverCommands on this machine."""

    def plan(self, place: Place, request: MoveRequest) -> MovePlan:
        async def look(pool: Pool, inventory: Inventory) -> MovePlan:
            return await _planned(place, request, pool, inventory)

        return run(with_database(place, Role.CONSOLE, look))

    def start(self, place: Place, plan: MovePlan) -> RunView:
        async def start(pool: Pool, inventory: Inventory) -> RunView:
            recovery = recovery_for_people(pool, lambda: inventory.estate, place)
            playbook = found_in(shelf_of(inventory.estate, place), plan.playbook)
            check_start(inventory.estate, playbook, plan.cluster)
            started = await recovery.start(plan.playbook, plan.cluster, plan.given, command_line(), labels())
            held = await recovery.get(started.id)
            return view_of(held.run, held.now, await recovery.newest(EARLIER_RUNS))

        return run(with_database(place, Role.CONSOLE, start))


async def _planned(place: Place, request: MoveRequest, pool: Pool, inventory: Inventory) -> MovePlan:
    place = Place(place.config.absolute(), place.data_dir.absolute())
    server = server_for(read_estate(place.config), place.config, place.data_dir)
    await server.start()
    runs, clock = PostgresRuns(pool), SystemClock()
    around = Surroundings(inventory.estate, place, server.conninfo(Role.CONSOLE), pool, runs, clock)
    try:
        parts = parts_in(around)(request.cluster)
    except StepFailed as error:
        raise NotThere(str(error), hint=error.hint) from error
    found: Planned = await planned(parts, request.move.value)
    given: Mapping[str, str] = found.given
    if request.move is Move.FAILBACK:
        given = {**given, "waited": waited_in(await runs.newest(EARLIER_RUNS), request.cluster)}
    against: Sequence[str] = found.against
    return MovePlan(
        cluster=request.cluster,
        move=request.move,
        playbook=found.playbook,
        lost=found.lost,
        to=found.to,
        seen=found.seen,
        against=against,
        loss=found.loss,
        given=given,
        instead=found.instead,
    )
