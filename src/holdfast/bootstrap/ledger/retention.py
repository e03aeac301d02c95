"""What `holdfast ledger prune` and `hold` do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.ledger.completeness_folds import CompletenessFold, MetersFold
from holdfast.adapters.postgres.ledger.finding import PostgresFindings
from holdfast.adapters.postgres.ledger.leaving import PostgresLeavings
from holdfast.adapters.postgres.ledger.retention import PostgresRetention
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.ledger.at_hand import with_ledger
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.sources import tenant_of
from holdfast.interfaces.cli.ledger.retention import PruneOutcome
from holdfast.interfaces.cli.ports import Place
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.ledger.find.finding import Dimension, Filter, What
from holdfast.ledger.find.indexing import FindingFold
from holdfast.ledger.find.searching import search
from holdfast.ledger.persons.leaving import Candidates, HasEntries, let_go
from holdfast.ledger.persons.retention import Hold, Pruner
from holdfast.ledger.reports.folding import RollUps
from holdfast.ledger.sources import keep_days_of

T = TypeVar("T")

FOLDS = (CompletenessFold.name, MetersFold.name, FindingFold.name, RollUps.name)
"""All that is derived from entries, and must have read them before they go."""


def pruner_of(ledger: Ledger, clock: Clock) -> Pruner:
    return Pruner(PostgresRetention(ledger.pool), clock, FOLDS)


def entries_of(ledger: Ledger) -> HasEntries:
    """Whether an entry of a person is kept: by the index, and by reading what that cannot rule out."""
    index, every = PostgresFindings(ledger.pool), [what.value for what in What]

    async def has_entries(whose: Candidates, person: str) -> bool:
        wanted = Filter.of(None, None, {Dimension.USER: [person], Dimension.WHAT: every})
        async for each in search(ledger.logs, index, whose.log_id, wanted, whose.size):
            if each.found:
                return True
        return False

    return has_entries


async def declared_keep(ledger: Ledger) -> Mapping[str, int | None]:
    """Of each tenant for how many days its entries are to be kept: its own, else the estate's."""
    usual = keep_days_of(ledger.declared.keep)
    tenants = await PostgresSources(ledger.pool).tenants()
    return {each.key: usual if each.keep_days is None else each.keep_days for each in tenants}


class LocalRetention:
    """RetentionCommands on the database of a running Holdfast."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def prune(self, place: Place, *, dry_run: bool) -> PruneOutcome:
        async def work(ledger: Ledger, conninfo: Conninfo) -> PruneOutcome:
            del conninfo
            pruner = pruner_of(ledger, self._clock)
            if dry_run:
                return PruneOutcome(await pruner.seen(), True, {}, 0, 0, ())
            done = await pruner.prune(await declared_keep(ledger), actor=command_line())
            await let_go(PostgresLeavings(ledger.pool), entries_of(ledger), actor=command_line())
            tenants = {each.log_id: each.tenant for each in done.before}
            return PruneOutcome(
                done.before,
                False,
                {tenants[log_id]: up_to for log_id, up_to in done.up_to.items()},
                done.gone.segments,
                done.gone.bytes,
                done.gone.partitions,
            )

        return self._with(place, work)

    def hold(self, place: Place, tenant: str, reason: str) -> bool:
        async def work(ledger: Ledger, conninfo: Conninfo) -> bool:
            del conninfo
            await tenant_of(PostgresSources(ledger.pool), tenant)
            return await PostgresRetention(ledger.pool).place_hold(tenant, reason, actor=command_line())

        return self._with(place, work)

    def lift(self, place: Place, tenant: str) -> bool:
        async def work(ledger: Ledger, conninfo: Conninfo) -> bool:
            del conninfo
            await tenant_of(PostgresSources(ledger.pool), tenant)
            return await PostgresRetention(ledger.pool).lift_hold(tenant, actor=command_line())

        return self._with(place, work)

    def holds(self, place: Place, tenant: str | None) -> Sequence[Hold]:
        async def work(ledger: Ledger, conninfo: Conninfo) -> Sequence[Hold]:
            del conninfo
            return await PostgresRetention(ledger.pool).holds(tenant)

        return self._with(place, work)

    def _with(self, place: Place, work: Callable[[Ledger, Conninfo], Awaitable[T]]) -> T:
        return run(with_ledger(place, work))
