"""The ledger that the estate declares, opened: its logs, its keys, its names."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool, open_pool
from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.bootstrap.estates import secret_of
from holdfast.estate.ledger import Ledger as DeclaredLedger
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Place
from holdfast.ledger.errors import KeyRefused, NoLedger
from holdfast.ledger.log.keys import PrivateKey, named, trusted_for
from holdfast.ledger.log.notes import Signer, VerifierKey
from holdfast.ledger.publish.publishing import OVERALL


@dataclass(frozen=True)
class Ledger:
    """What every process and command that works on the ledger has in its hands."""

    declared: DeclaredLedger
    pool: Pool
    packs: ZstdSegments
    logs: PostgresLogs
    _seed: Callable[[], bytes] = field(repr=False)
    """The signing key's, read when it is first needed."""
    _signers: dict[str, Signer] = field(default_factory=dict, repr=False)

    def origin_of(self, tenant: str) -> str:
        """The name of a tenant's log; of the log over all for the empty tenant."""
        return origin_of(self.declared.name, tenant)

    def signer_for(self, origin: str) -> Signer:
        """One key under each log's name. Raises ProofRefused for none, SecretError where it is away."""
        if origin not in self._signers:
            self._signers[origin] = Ed25519Signer(origin, self._seed())
        return self._signers[origin]

    def key_of(self, origin: str) -> VerifierKey:
        """What a log's checkpoints verify with: `public_key` where that is declared, else the signer's."""
        if self.declared.public_key is not None:
            return named(VerifierKey.parsed(self.declared.public_key), origin)
        return self.signer_for(origin).key

    def keys_of(self, origin: str) -> list[VerifierKey]:
        """The same, and those that were there before (`former_keys`): what they signed stays good."""
        return [self.key_of(origin), *trusted_for(origin, former_keys(self.declared))]


@asynccontextmanager
async def opened_ledger(
    estate: Estate,
    place: Place,
    conninfo: Conninfo,
    *,
    signing: bool,
    application: str = "ledger",
    most_connections: int = 4,
) -> AsyncIterator[Ledger]:
    """Raises NoLedger where none is declared. With `signing` the key is read at once, and must be one.

    Whatever is committed through it is on this database's disk when the commit returns; with a second region
    in mode `synchronous` on the standby's as well.
    """
    declared = declared_in(estate)
    read = list[bytes]()

    def seed() -> bytes:
        if not read:
            read.append(PrivateKey.parsed(secret_of(place.config, declared.signing_key)).seed)
        return read[0]

    if signing:
        _fit(declared, seed())
    packs = ZstdSegments()
    async with open_pool(durable(conninfo, declared), application, max_size=most_connections) as pool:
        yield Ledger(declared, pool, packs, PostgresLogs(pool, packs), seed)


def declared_in(estate: Estate) -> DeclaredLedger:
    """Raises NoLedger."""
    if estate.ledger is None:
        raise NoLedger("the estate declares no ledger", hint="add a `ledger:` section; see docs/ledger.md")
    return estate.ledger


def origin_of(name: str, tenant: str) -> str:
    return name if tenant == OVERALL else f"{name}/{tenant}"


def durable(conninfo: Conninfo, declared: DeclaredLedger) -> Conninfo:
    """The same login, whose commits wait for a disk, whatever the server's own setting."""
    region = declared.second_region
    commit = "on" if region is not None and region.mode == "synchronous" else "local"
    options = f"{conninfo.settings.get('options', '')} -c synchronous_commit={commit}".strip()
    return conninfo.with_settings(options=options)


def former_keys(declared: DeclaredLedger) -> list[VerifierKey]:
    """Of the ledger and of its witnesses, as they are declared."""
    return [VerifierKey.parsed(each) for each in declared.former_keys]


def patience(declared: DeclaredLedger) -> timedelta:
    """How long an answer may wait for the second region."""
    return declared.second_region.within if declared.second_region else timedelta(0)


def _fit(declared: DeclaredLedger, seed: bytes) -> None:
    if declared.public_key is None:
        return
    public = Ed25519Signer("", seed).key.public
    if VerifierKey.parsed(declared.public_key).public != public:
        raise KeyRefused(
            "`ledger.public_key` is not that of `ledger.signing_key`",
            hint="whoever verifies would refuse every checkpoint: put the right one into the estate",
        )
