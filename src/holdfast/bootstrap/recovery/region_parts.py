"""What moves a cluster, made of what the estate declares. Nothing is connected to before it is used."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from holdfast.adapters.dns.names import DnsNames, TsigKey
from holdfast.adapters.haproxy.edge import HaproxyEdge
from holdfast.adapters.haproxy.socket import AdminSocket
from holdfast.adapters.patroni.cluster import PatroniCluster
from holdfast.adapters.patroni.rest import Login
from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.adapters.postgres.estate import PostgresRegistry
from holdfast.adapters.postgres.recovery.regions import PostgresFences, PostgresLedgers
from holdfast.adapters.postgres.recovery.tail_tables import table_names
from holdfast.adapters.service.fleet import HttpFleet
from holdfast.adapters.service.user_write import HttpUserWrite, Request
from holdfast.bootstrap.backup.sources import params_for
from holdfast.bootstrap.recovery.known_damage import damage_of
from holdfast.bootstrap.recovery.lookouts import lookouts_of
from holdfast.bootstrap.recovery.region_telling import DeskIncidents
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.bootstrap.recovery.tails import FolderTails
from holdfast.estate.model import Cluster
from holdfast.estate.recovery import ClusterRecovery, RecoveryDns, RecoveryEdge, RecoveryWrite
from holdfast.estate.secrets import resolve
from holdfast.estate.values import SecretRef
from holdfast.kernel.errors import HoldfastError
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.moving import Parts, PartsOf
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import Names

ASKED_WITHIN_S = 2.0
DNS_PORT = 53

MakeNames = Callable[[RecoveryDns], Awaitable[Names]]


def parts_in(around: Surroundings) -> PartsOf:
    """By the key of a cluster, made when they are wanted first: a changed estate has other ones."""
    made = dict[str, Parts]()

    def parts(key: str) -> Parts:
        if key not in made:
            made[key] = _Maker(around, key).parts()
        return made[key]

    return parts


def declared_of(around: Surroundings, key: str) -> tuple[Cluster, ClusterRecovery]:
    """Raises StepFailed when the estate does not say how the cluster is moved."""
    recovery = around.estate.recovery
    declared = None if recovery is None else recovery.clusters.get(key)
    if declared is None or key not in around.estate.clusters:
        raise StepFailed(
            f"the estate does not say how {key!r} is moved", hint=f"add it under recovery.clusters.{key}"
        )
    return around.estate.clusters[key], declared


class _Maker:
    def __init__(self, around: Surroundings, key: str) -> None:
        self._around = around
        self._key = key
        self._cluster, self._declared = declared_of(around, key)
        self._fences = PostgresFences(around.pool)

    def parts(self) -> Parts:
        declared, around, cluster = self._declared, self._around, self._cluster
        if cluster.secondary is None:
            raise StepFailed(f"the cluster {self._key!r} has no second region")
        names = None if declared.dns is None else LazyNames(self._names_of, declared.dns)
        return Parts(
            key=self._key,
            primary=cluster.region,
            secondary=cluster.secondary,
            cluster=self._patroni(),
            edges={region: self._edge(region, edge) for region, edge in declared.edges.items()},
            lookouts=lookouts_of(around, self._key, declared),
            clock=around.clock,
            names=names,
            fleets={
                region: HttpFleet(
                    each.url,
                    login=each.login,
                    password=self._secret(each.password),
                    within_s=ASKED_WITHIN_S,
                )
                for region, each in declared.scale.items()
            },
            replicas={region: each.replicas for region, each in declared.scale.items()},
            write=None if declared.write is None else self._write(declared.write, declared.dns),
            incidents=DeskIncidents(around.pool, PostgresRegistry(around.conninfo), around.clock),
            ledgers=None if around.estate.ledger is None else PostgresLedgers(around.pool),
            tails=self._tails(),
            release_lock=declared.postgres.release_lock,
            damaged=partial(damage_of, self._key, around.estate, around.runs),
        )

    def _patroni(self) -> PatroniCluster:
        postgres = self._declared.postgres
        password = self._secret(postgres.password)
        return PatroniCluster(
            postgres.patroni,
            self._around.clock,
            witness=postgres.witness,
            login=None if password is None else Login(postgres.login, password),
            patience=self._declared.watch.within,
        )

    def _edge(self, region: str, edge: RecoveryEdge) -> HaproxyEdge:
        at: Path | tuple[str, int]
        at = _host_port(edge.address) if edge.address is not None else self._beside(edge.socket or "")
        prefixes = {each: edge.servers.get(each, each) for each in self._declared.edges}
        name = f"{self._key}-{region}"
        fence_file = self._around.place.data_dir / "recovery" / "edges" / f"{name}.fence"
        route_file = None if edge.route_file is None else self._beside(edge.route_file)
        admin = AdminSocket(at, within_s=ASKED_WITHIN_S)
        return HaproxyEdge(name, admin, edge.backend, prefixes, fence_file, self._fences.pass_, route_file)

    async def _names_of(self, dns: RecoveryDns) -> Names:
        host, port = _host_port(dns.server, DNS_PORT)
        secret = self._secret(dns.key) or ""
        return DnsNames(
            (await _address(host), port),
            dns.zone,
            dns.name,
            dns.answers,
            TsigKey(dns.key_name, secret, dns.algorithm),
            ttl_s=max(int(dns.ttl.total_seconds()), 0),
            within_s=ASKED_WITHIN_S,
        )

    def _write(self, write: RecoveryWrite, dns: RecoveryDns | None) -> HttpUserWrite:
        request = Request(
            url=write.url,
            method=write.method,
            body=write.body,
            status=write.status,
            headers={
                name: value if isinstance(value, str) else self._secret(value) or ""
                for name, value in write.headers.items()
            },
            read_url=write.read_url,
            within=write.within,
        )

        async def found(host: str) -> str | None:
            """What the zone's primary says: caches keep what was true before."""
            if dns is None or host.rstrip(".") != dns.name.rstrip("."):
                return None
            region = await LazyNames(self._names_of, dns).pointing()
            return None if region is None else dns.answers[region][0]

        return HttpUserWrite(request, found, self._around.clock)

    def _tails(self) -> FolderTails | None:
        postgres = self._declared.postgres
        if not postgres.data:
            return None
        folders = {region: self._beside(folder) for region, folder in postgres.data.items()}
        archive = self._around.place.data_dir / "recovery" / "tails" / self._key
        return FolderTails(folders, archive, self._tables if postgres.connections else None)

    async def _tables(self, region: str, databases: frozenset[int]) -> Mapping[tuple[int, int], str]:
        """As the region knows them that took over from `region`."""
        declared = self._declared.postgres.connections.get(
            next((each for each in self._declared.edges if each != region), "")
        )
        if declared is None:
            return {}
        try:
            params = params_for(declared, self._around.place.config)
        except HoldfastError:  # its secret is not there: the numbers of files have to do
            return {}
        password = params.pop("password", None)
        return await table_names(Conninfo(Role.RECOVERY, params, password), databases)

    def _secret(self, ref: SecretRef | None) -> str | None:
        if ref is None:
            return None
        return resolve(ref, base=self._around.place.config.parent, environ=os.environ)

    def _beside(self, path: str) -> Path:
        return self._around.place.config.parent / path


class LazyNames:
    """Names whose server is looked up each time: its address may be another one by now."""

    def __init__(self, make: MakeNames, dns: RecoveryDns) -> None:
        self._make = make
        self._dns = dns

    async def pointing(self) -> str | None:
        return await (await self._make(self._dns)).pointing()

    async def point(self, to: str, fence: Fence) -> None:
        await (await self._make(self._dns)).point(to, fence)


def _host_port(text: str, port: int = 0) -> tuple[str, int]:
    host, colon, number = text.rpartition(":")
    return (host, int(number)) if colon else (text, port)


async def _address(host: str) -> str:
    """Raises StepFailed."""
    try:
        async with asyncio.timeout(ASKED_WITHIN_S):
            found: Sequence[tuple[object, ...]] = await asyncio.get_running_loop().getaddrinfo(
                host, None, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError) as error:
        raise StepFailed(f"the name server {host} is not found: {error}") from error
    address = found[0][4]
    return str(address[0]) if isinstance(address, tuple) else host
