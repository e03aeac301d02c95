"""The watch over the regions of every cluster that can be moved: a duty of recovery's process."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from holdfast.adapters.postgres.recovery.evidence import PostgresEvidence
from holdfast.bootstrap.recovery.known_damage import damage_of
from holdfast.bootstrap.recovery.region_parts import parts_in
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.bootstrap.recovery.working import Working
from holdfast.estate.model import Estate
from holdfast.estate.recovery import ClusterRecovery
from holdfast.identity.model import Role
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.deciding import Decline, Policy
from holdfast.recovery.errors import Refused
from holdfast.recovery.watching import ACTOR, Outlook, Watcher, keep

SCENARIO = "region-outage"
ROLES = frozenset({Role.COMMANDER.label, Role.OPERATOR.label})

log = structlog.get_logger()


async def keep_watching(working: Working) -> None:
    """Watch each cluster, until cancelled. Returns at once where there is none."""
    recovery = working.estate.recovery
    if recovery is None or not recovery.clusters:
        return
    async with asyncio.TaskGroup() as watches:
        for key, declared in recovery.clusters.items():
            watches.create_task(_watched(working, key, declared), name=f"watch {key}")


async def _watched(working: Working, key: str, declared: ClusterRecovery) -> None:
    telling = _Telling(key)

    async def begin(name: str, given: Mapping[str, str]) -> None:
        await _begun(working, key, name, given)

    watcher = watcher_of(working, key, declared)
    await keep(watcher, declared.watch.every, begin, telling.tell, telling.fail)


class _Telling:
    """What is seen goes to the log when it is something else than before."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._seen: object = None
        self._decided: object = None

    def tell(self, outlook: Outlook) -> None:
        words = sorted(f"{each.region} {each.standing.value}" for each in outlook.regions.values())
        if outlook.witness_lost:
            words.append("witness away")
        if (outlook.active, words) != self._seen:
            self._seen = (outlook.active, words)
            log.info("regions_seen", cluster=self._key, active=outlook.active, regions=", ".join(words))
        decision = outlook.decision
        if isinstance(decision, Decline) and decision != self._decided:
            log.error("failover_declined", cluster=self._key, why=decision.why, instead=decision.instead)
        self._decided = decision

    def fail(self, error: HoldfastError) -> None:
        if str(error) != self._seen:
            self._seen = str(error)
            log.warning("regions_not_watched", cluster=self._key, error=str(error), hint=error.hint)


async def _begun(working: Working, key: str, name: str, given: Mapping[str, str]) -> None:
    try:
        run = await working.recovery.start(name, key, given, ACTOR, ROLES)
    except Refused as error:  # another watcher was first, or people are at it already
        log.info("failover_not_begun", cluster=key, why=str(error))
    except HoldfastError as error:
        log.warning("failover_not_begun", cluster=key, why=str(error), hint=error.hint)
    else:
        log.warning("failover_begun", cluster=key, run=run.id, playbook=name, why=given["why"])


def watcher_of(working: Working, key: str, declared: ClusterRecovery) -> Watcher:
    """That of one cluster."""
    around = Surroundings(
        working.estate, working.place, working.conninfo, working.pool, working.runs, working.clock
    )
    evidence = PostgresEvidence(working.pool)

    async def drilled(cluster: str) -> datetime | None:
        """None also when it cannot be asked: what is not known asks a person."""
        try:
            return await evidence.last_drilled(cluster, SCENARIO)
        except HoldfastError as error:
            log.warning("drills_not_read", cluster=cluster, error=str(error))
            return None

    async def corrupt(cluster: str) -> Sequence[str]:
        return await damage_of(cluster, working.estate, working.runs)

    policy = policy_of(working.estate, key, declared)
    return Watcher(parts_in(around)(key), policy, drilled, corrupt, declared.watch.every)


def policy_of(estate: Estate, key: str, declared: ClusterRecovery) -> Policy:
    """As the estate declares it; never more may be lost than an agreement on the cluster says."""
    automatic = declared.automatic
    if automatic is None:
        return Policy(automatic=False)
    agreed = [
        each.rpo
        for each in estate.agreements.values()
        if each.rpo is not None
        and any(pattern.partition("/")[0] in (key, "*") for pattern in each.components)
    ]
    return Policy(
        automatic=True,
        hold=automatic.hold,
        lag=min([automatic.lag, *agreed]),
        drilled_within=automatic.drilled_within,
    )
