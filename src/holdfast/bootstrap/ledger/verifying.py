"""What `holdfast ledger verify` does."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.ledger.finding import PostgresAccessTrail
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.ledger.at_hand import key_from, no_log, with_ledger
from holdfast.bootstrap.ledger.bundles import read_bundle
from holdfast.bootstrap.ledger.checking import checker_over, checking
from holdfast.bootstrap.ledger.opening import Ledger, former_keys
from holdfast.bootstrap.ledger.witnesses import witness_of
from holdfast.interfaces.cli.ledger.verify import (
    NO_WITNESS,
    BundleVerified,
    EntryProven,
    FindingShown,
    LedgerVerified,
    LogShown,
    VerifyRequest,
)
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.ledger.errors import NotThere, ProofRefused, WitnessAway, WitnessRefused
from holdfast.ledger.find.access import Act, Caller, Reading, Way
from holdfast.ledger.find.finding import Filter
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.keys import trusted_for
from holdfast.ledger.log.notes import COSIGNATURE_V1, Note, VerifierKey
from holdfast.ledger.publish import proving
from holdfast.ledger.verify.stretches import Keys, What
from holdfast.ledger.verify.verifying import LogStanding, LogVerified, verify_continues, verify_log
from holdfast.ledger.witnessed import stands

LOGS_AT_ONCE = 4
MOST_TOLD = 200


class LocalVerifying:
    """Verifying, on the database of a running Holdfast, or on a file."""

    def logs(self, place: Place, request: VerifyRequest, report: Report) -> LedgerVerified:
        async def work(ledger: Ledger, conninfo: Conninfo) -> LedgerVerified:
            return await _Whole(ledger, place, conninfo, request, report).verified()

        return run(with_ledger(place, work))

    def entry(self, place: Place, tenant: str, leaf: int, keys: Sequence[str]) -> EntryProven:
        async def work(ledger: Ledger, conninfo: Conninfo) -> EntryProven:
            del conninfo
            return await _proven(ledger, tenant, leaf, _given(keys))

        return run(with_ledger(place, work))

    def bundle(
        self, path: Path, keys: Sequence[str], report: Report, on_entry: Callable[[int, bytes], None]
    ) -> BundleVerified:
        return read_bundle(path, _given(keys), report, on_entry)


def _given(keys: Sequence[str]) -> list[VerifierKey]:
    return [key_from(each) for each in keys]


def keys_for(ledger: Ledger, origin: str, given: Sequence[VerifierKey]) -> Keys:
    """Whom to trust for a log: the estate's keys, and those that were given besides."""
    log = ledger.keys_of(origin)
    log += [other for other in trusted_for(origin, given) if other not in log]
    witnesses = [each for each in given if each.kind == COSIGNATURE_V1]
    if ledger.declared.witness is not None:
        former = former_keys(ledger.declared)
        witnesses.append(VerifierKey.parsed(ledger.declared.witness.key))
        witnesses += [each for each in former if each.kind == COSIGNATURE_V1]
    return Keys(log, witnesses)


class _Whole:
    def __init__(
        self, ledger: Ledger, place: Place, conninfo: Conninfo, request: VerifyRequest, report: Report
    ) -> None:
        self._ledger = ledger
        self._config = place.config
        self._conninfo = conninfo
        self._request = request
        self._report = report
        self._given = _given(request.keys)
        self._here = checker_over(ledger.pool, self._keys_of)
        self._done = 0
        self._remarks: list[str] = []

    async def verified(self) -> LedgerVerified:
        began = time.monotonic()
        logs = [
            log
            for log in await self._here.reading.logs()
            if self._request.tenant is None or log.tenant == self._request.tenant
        ]
        if not logs and self._request.tenant is not None:
            raise no_log(self._request.tenant)
        total = sum(log.size for log in logs)
        keys = {log.origin: self._keys_of(log.origin) for log in logs}
        limit = asyncio.Semaphore(LOGS_AT_ONCE)

        def count(leaves: int) -> None:
            self._done += leaves
            self._report(Progress(f"{self._done:,} of {total:,} leaves", self._done, total))

        async with checking(
            self._conninfo, self._here, keys, leaves=total, workers=self._request.workers
        ) as check:

            async def one(log: LogStanding) -> LogVerified:
                async with limit:
                    return await verify_log(self._here.reading, log, check, count)

            found = await asyncio.gather(*(one(log) for log in logs))
        for each in found:
            if (name := self._ledger.origin_of(each.log.tenant)) != each.log.origin:
                each.found(What.NOTE, 0, f"the log is called {each.log.origin!r}, and not {name!r}")
        witness = await self._asked(found)
        if self._request.since is not None:
            await self._continued(found, self._request.since)
        return LedgerVerified(
            logs=[_shown(each) for each in found],
            witness=witness,
            rollups=await self._compared() if self._request.rollups else None,
            took_s=time.monotonic() - began,
            remarks=self._remarks,
        )

    def _keys_of(self, origin: str) -> Keys:
        return keys_for(self._ledger, origin, self._given)

    async def _asked(self, found: Sequence[LogVerified]) -> str:
        """Where the witness stands: it remembers leaves that this database may have lost."""
        published = PostgresPublished(self._ledger.pool)
        async with witness_of(self._ledger.declared, self._config) as witness:
            if witness is None:
                return NO_WITNESS
            differs, asked = False, 0
            for each in found:
                note = await published.newest(each.log.log_id)
                if note is None:
                    continue
                try:
                    text = await stands(witness, note, partial(self._here.reading.note_at, each.log.log_id))
                except (WitnessAway, WitnessRefused) as error:
                    return f"was not asked: {error}"
                except ProofRefused:
                    continue  # what is published cannot be read: that was found before
                asked += 1
                if text:
                    differs = True
                    each.found(What.WITNESS, each.log.published, text)
        if differs:
            return "differs"
        return "agrees" if asked else "was not asked: nothing was published yet"

    async def _continued(self, found: Sequence[LogVerified], since: Path) -> None:
        known = _text(since)
        for each in found:
            try:
                old = await verify_continues(
                    self._here.store, each.log, known, self._keys_of(each.log.origin), verifies
                )
                self._remarks.append(f"the log goes on from the checkpoint of {old.size:,} leaves in {since}")
            except ProofRefused as error:
                each.found(What.ROOT, 0, f"it does not go on from {since}: {error}")

    async def _compared(self) -> Sequence[str]:
        from holdfast.bootstrap.ledger.rollups import compared  # noqa: PLC0415  with the reports

        return await compared(self._ledger, self._request.tenant)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotThere(f"{path} cannot be read: {error}") from error


def _shown(each: LogVerified) -> LogShown:
    log = each.log
    return LogShown(
        tenant=log.tenant,
        origin=log.origin,
        size=log.size,
        published=log.published,
        entries=each.entries,
        pruned=sum(end - first for first, end in each.pruned),
        growths=each.growths,
        tiles=each.tiles,
        checkpoints=each.published,
        findings=[FindingShown(what.value, leaf, text) for what, leaf, text in each.findings[:MOST_TOLD]],
        count=each.counted.total(),
    )


async def _proven(ledger: Ledger, tenant: str, leaf: int, given: Sequence[VerifierKey]) -> EntryProven:
    known = await PostgresPublished(ledger.pool).handed(tenant)
    if known is None:
        raise no_log(tenant)
    log_id, note = known
    keys = keys_for(ledger, ledger.origin_of(tenant), given)
    published = note is not None and leaf < Checkpoint.parsed(Note.parsed(note).body).size
    if note is None or not published:
        grown = await ledger.logs.grown_to(log_id, leaf + 1)
        if grown is None:
            raise NotThere(f"the log of {tenant!r} has no leaf {leaf:,} yet")
        note = grown[2]
    size = Checkpoint.parsed(Note.parsed(note).body).size
    if tenant:
        caller = Caller(command_line(), Way.CLI)
        reading = Reading(tenant, caller, Act.READ, Filter(), leaf, leaf + 1, rows=1)
        await PostgresAccessTrail(ledger.pool).begin(reading)
    [entry] = await ledger.logs.entries(log_id, leaf, 1)
    proof = await proving.inclusion(ledger.logs, log_id, leaf, note, size)
    witnesses = keys.witnesses if published else []
    refused = ProofRefused("no key is known for this log")
    for key in keys.log:
        try:
            signed = proof.verify(entry, key, verifies, witnesses=witnesses, quorum=1 if witnesses else 0)
        except ProofRefused as error:
            refused = error
            continue
        return EntryProven(tenant, leaf, entry.decode(), size, published, signed.witnesses)
    raise refused
