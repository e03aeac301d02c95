"""Reading jobs, wired: for the console and the API over their pool, for commands over one of their own."""

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.postgres.connect import Pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.finding import PostgresFindings, rooms_in
from holdfast.adapters.postgres.ledger.logs import PostgresLogs
from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.availability.inventory import Inventory
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run, with_database
from holdfast.bootstrap.estates import secret_of
from holdfast.bootstrap.ledger.opening import declared_in, former_keys
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ledger.jobs import ExportAsked, JobsAsked
from holdfast.interfaces.cli.ledger.trace import TraceAsked
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.interfaces.job_lists import written
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.errors import NotThere
from holdfast.ledger.find.access import Access, Caller, Way
from holdfast.ledger.find.columns import chosen
from holdfast.ledger.find.indexing import Compared, compared
from holdfast.ledger.find.jobs import Job, JobsDesk, JobsPage
from holdfast.ledger.find.tracing import Trace, Tracer
from holdfast.ledger.log.keys import PrivateKey, named, trusted_for
from holdfast.ledger.log.notes import VerifierKey

T = TypeVar("T")


def jobs_desk(pool: Pool) -> JobsDesk:
    """Over a login that reads: row-level security keeps the tenants apart."""
    return JobsDesk(rooms_in(pool, ZstdSegments()))


def tracer(pool: Pool, estate: Callable[[], Estate], *, config: Path | None = None) -> Tracer:
    """Checkpoints verify with the estate's public key. Where it declares none and `config` is given, with the
    one of the signing key, if this account may read it.
    """

    def keys_of(origin: str) -> list[VerifierKey] | None:
        declared = estate().ledger
        if declared is None:
            return None
        former = trusted_for(origin, former_keys(declared))
        if declared.public_key is not None:
            return [named(VerifierKey.parsed(declared.public_key), origin), *former]
        if config is not None:
            with suppress(HoldfastError):
                seed = PrivateKey.parsed(secret_of(config, declared.signing_key)).seed
                return [Ed25519Signer(origin, seed).key, *former]
        return None

    return Tracer(rooms_in(pool, ZstdSegments()), verifies, keys_of)


class LocalJobs:
    """JobsCommands and TraceCommands on the database of a running Holdfast."""

    def jobs(self, place: Place, asked: JobsAsked) -> JobsPage:
        async def read(desk: JobsDesk) -> JobsPage:
            return await desk.page(
                _caller(), asked.tenant, asked.wanted, limit=asked.limit, below=asked.below
            )

        return _at_desk(place, read)

    def export(self, place: Place, asked: ExportAsked, report: Report) -> int:
        """Into a file beside `out` that takes its place at the end: a file that is there is whole."""
        columns = chosen(asked.columns)
        count = 0

        async def counted(
            portions: AsyncGenerator[Sequence[Job], None],
        ) -> AsyncGenerator[Sequence[Job], None]:
            nonlocal count
            async for jobs in portions:
                count += len(jobs)
                report(Progress(f"exporting jobs: {count:,}"))
                yield jobs

        async def write(desk: JobsDesk, into: BinaryIO) -> int:
            portions = await desk.export(_caller(), asked.tenant, asked.wanted)
            async for part in written(asked.form, columns, counted(portions)):
                into.write(part)
            into.flush()
            return count

        if isinstance(asked.out, Path):
            return _replaced(asked.out, lambda file: _at_desk(place, lambda desk: write(desk, file)))
        into = asked.out
        try:
            return _at_desk(place, lambda desk: write(desk, into))
        except OSError as error:
            _let_go_of_output()
            raise NotWritten(f"the rest cannot be written: {error.strerror}") from error

    def accesses(self, place: Place, tenant: str, *, before: int | None, limit: int) -> Sequence[Access]:
        return _at_desk(place, lambda desk: desk.accesses(tenant, before=before, limit=limit))

    def reindex(self, place: Place, tenant: str, *, check: bool, report: Report) -> Compared:
        """As the tables' owner: nobody else may take rows of the index away."""

        async def work(pool: Pool, inventory: Inventory) -> Compared:
            declared_in(inventory.estate)
            index = PostgresFindings(pool)
            seen = await index.log_of(tenant)
            if seen is None:
                raise NotThere(f"the tenant {tenant!r} has no entries here")
            if check:
                return await compared(
                    PostgresLogs(pool, ZstdSegments()),
                    index,
                    seen,
                    lambda leaf: report(Progress(f"compared up to leaf {leaf:,}", leaf, seen.size)),
                )
            await index.forget(seen.log_id)
            return Compared(seen.size, 0, ())

        return run(with_database(place, Role.OWNER, work))

    def trace(self, place: Place, asked: TraceAsked) -> Trace:
        async def work(pool: Pool, inventory: Inventory) -> Trace:
            declared_in(inventory.estate)
            found = tracer(pool, lambda: inventory.estate, config=place.config)
            return await found.trace(
                _caller(), asked.tenant, asked.wanted, most=asked.limit, proofs=asked.proofs
            )

        return run(with_database(place, Role.CONSOLE, work))


def _at_desk(place: Place, work: Callable[[JobsDesk], Awaitable[T]]) -> T:
    async def at_desk(pool: Pool, inventory: Inventory) -> T:
        declared_in(inventory.estate)
        return await work(jobs_desk(pool))

    return run(with_database(place, Role.CONSOLE, at_desk))


def _let_go_of_output() -> None:
    """What is still kept back goes nowhere: at the end of the process it would fail once more."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _replaced(out: Path, write: Callable[[BinaryIO], int]) -> int:
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as file:
            count = write(file)
        unfinished.replace(out)
    except OSError as error:
        raise NotWritten(f"{out} cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


class NotWritten(HoldfastError):  # noqa: N818  as the ledger's others
    """The file was not written."""


def _caller() -> Caller:
    return Caller(command_line(), Way.CLI)
