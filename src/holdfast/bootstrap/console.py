"""The console's process: where operators log in, and where the API answers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from holdfast.adapters.hashing.argon import Argon2
from holdfast.adapters.oidc.provider import Client, OpenIdProvider
from holdfast.adapters.postgres.backup import PostgresBackupStatus
from holdfast.adapters.postgres.changes import PostgresChanges
from holdfast.adapters.postgres.connect import Pool, borrowed, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.identity import PostgresIdentity, PostgresTrail
from holdfast.adapters.postgres.recovery.standing import standing_of
from holdfast.bootstrap.api import rest_api
from holdfast.bootstrap.desks import desk_pages
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.following import FollowedEstate
from holdfast.bootstrap.ledger.completeness import completeness_figures
from holdfast.bootstrap.recovery.evidence_console import evidence_desk
from holdfast.bootstrap.recovery.figures import runs_figures
from holdfast.bootstrap.recovery.pages import recovery_desk
from holdfast.bootstrap.recovery.terms import cluster_of
from holdfast.bootstrap.serving import bound, serve_until_stopped
from holdfast.bootstrap.signals import Signals
from holdfast.bootstrap.vault import vault_for
from holdfast.estate.communication import Console, OpenId
from holdfast.estate.model import Estate
from holdfast.identity.desk import IdentityDesk
from holdfast.identity.model import Role, RoleByClaim, Terms
from holdfast.interfaces.api.problems import ROOT as API
from holdfast.interfaces.cli.ports import Place
from holdfast.interfaces.console.app import create_console
from holdfast.interfaces.console.evidence_metrics import NEWEST, evidence_figures
from holdfast.interfaces.console.evidence_pages import EvidencePages
from holdfast.interfaces.console.login_pages import Gateway
from holdfast.interfaces.console.metrics import create_metrics
from holdfast.interfaces.console.recover_pages import RecoverPages
from holdfast.interfaces.console.recovery_pages import RecoveryPages
from holdfast.interfaces.evidence_desk import EvidenceDesk
from holdfast.interfaces.recovery_desk import RecoveryDesk
from holdfast.kernel.clock import Clock, SystemClock
from holdfast.kernel.errors import HoldfastError

RETRY_EVERY_S = 2.0
PRUNE_EVERY_S = 600.0
READY_WITHIN_S = 2.0

log = structlog.get_logger()


async def run_console(
    estate: Estate, config: Path, data_dir: Path, conninfo: Conninfo, signals: Signals
) -> None:
    """Serve until `signals.stop`. The database may be away, and the port taken, at any time."""
    clock = SystemClock()
    inventory = FollowedEstate(PostgresRegistry(conninfo), data_dir / "console" / "estate.json", estate)
    await inventory.refresh()
    vault = vault_for(estate, config, data_dir)
    async with open_pool(conninfo, "console", max_size=8) as pool:
        store = PostgresIdentity(pool)
        identity = IdentityDesk(store, vault, Argon2(), clock, lambda: terms_of(inventory.estate.console))
        runs = recovery_desk(pool, lambda: inventory.estate, Place(config, data_dir))
        evidence = evidence_desk(pool, clock, lambda: inventory.estate)
        app = create_console(
            identity,
            PostgresTrail(pool),
            vault,
            clock,
            settings=lambda: inventory.estate.console,
            site=lambda: inventory.estate.site,
            gateway=Gateways(lambda: inventory.estate.console.openid, config, clock),
            customers=lambda: {key: each.name for key, each in inventory.estate.customers.items()},
            pages=[
                *desk_pages(pool, clock, inventory),
                *RecoveryPages(runs).pages(),
                *RecoverPages(runs).pages(),
                *EvidencePages(evidence).pages(),
            ],
            mounts=_mounts(pool, clock, inventory, identity, runs, evidence),
            ready=lambda: _is_ready(pool),
            metrics=create_metrics(
                PostgresBackupStatus(pool).statuses,
                identity,
                clock,
                more=lambda: _figures(pool, clock, inventory.estate, evidence),
            ),
        )
        beside = [
            asyncio.create_task(inventory.follow(PostgresChanges(conninfo), signals)),
            asyncio.create_task(_prune(identity)),
        ]
        try:
            async with _listening(estate.console.listen, signals) as listening:
                if listening is not None:
                    await serve_until_stopped(
                        app, estate.console.listen, signals, listening=listening, most_connections=500
                    )
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


async def _figures(pool: Pool, clock: Clock, estate: Estate, evidence: EvidenceDesk) -> Sequence[str]:
    """What is told beside backups: who asks there has a token."""
    found = [*await completeness_figures(pool, clock, estate)]
    if estate.recovery is not None:
        newest = await evidence.newest(NEWEST)
        drills, grown = await evidence.drills(), await evidence.grown()
        found += evidence_figures(
            drills, [it for _, it in newest], grown, partial(cluster_of, estate), clock.now()
        )
        found += runs_figures(await standing_of(pool))
    return found


def _mounts(
    pool: Pool,
    clock: Clock,
    inventory: FollowedEstate,
    identity: IdentityDesk,
    runs: RecoveryDesk,
    evidence: EvidenceDesk,
) -> Mapping[str, Any]:
    """What answers beside the pages, by path."""
    return {API: rest_api(pool, clock, inventory, identity, runs=runs, evidence=evidence)}


def terms_of(declared: Console) -> Terms:
    """What the estate asks of those who log in."""
    return Terms(declared.idle, declared.longest, declared.second_factor == "required")


class Gateways:
    """The way in through a provider, as the estate has it now. One whose secret cannot be had is none."""

    def __init__(self, declared: Callable[[], OpenId | None], config: Path, clock: Clock) -> None:
        self._declared = declared
        self._config = config
        self._clock = clock
        self._known: tuple[OpenId, str, Gateway] | None = None
        self._told = ""

    def __call__(self) -> Gateway | None:
        declared = self._declared()
        if declared is None:
            return None
        try:
            secret = secret_of(self._config, declared.client_secret)
        except HoldfastError as error:
            if str(error) != self._told:
                self._told = str(error)
                log.warning("openid_not_offered", error=self._told)
            return None
        if self._known is None or self._known[:2] != (declared, secret):
            self._known = (declared, secret, self._made(declared, secret))
        return self._known[2]

    def _made(self, declared: OpenId, secret: str) -> Gateway:
        client = Client(declared.name, declared.issuer, declared.client_id, secret, declared.scopes)
        roles = [RoleByClaim(each.claim, each.value, Role[each.role.upper()]) for each in declared.roles]
        return Gateway(OpenIdProvider(client, self._clock), roles)


@contextlib.asynccontextmanager
async def _listening(listen: str, signals: Signals) -> AsyncIterator[socket.socket | None]:
    """A socket that listens there, as soon as the port is free; None when told to end before."""
    listening: socket.socket | None = None
    told = False
    while listening is None and not signals.stop.is_set():
        try:
            listening = bound(listen)
        except OSError as error:
            if not told:
                log.warning("console_not_served", listen=listen, error=error.strerror)
                told = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_EVERY_S):
                    await signals.stop.wait()
    try:
        if listening is not None:
            log.info("console_served", listen=listen)
        yield listening
    finally:
        if listening is not None:
            listening.close()


async def _prune(identity: IdentityDesk) -> None:
    while True:
        try:
            await identity.prune()
        except HoldfastError as error:
            log.warning("sessions_not_pruned", error=str(error))
        await asyncio.sleep(PRUNE_EVERY_S)


async def _is_ready(pool: Pool) -> bool:
    """Whether there is a way to the database now."""
    try:
        async with asyncio.timeout(READY_WITHIN_S), borrowed(pool) as connection:
            await connection.execute("SELECT 1")
    except (HoldfastError, TimeoutError):
        return False
    return True
