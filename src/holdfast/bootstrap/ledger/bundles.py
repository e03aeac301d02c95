"""What `holdfast ledger bundle` and `proof` do, and the reading of bundles."""

import gzip
import os
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.ledger.finding import PostgresAccessTrail, PostgresFindings
from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.postgres.ledger.verifying import PostgresLogReading
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.ledger.at_hand import no_log, with_ledger
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.interfaces.cli.ledger.bundle import BundleMade, BundleRequest
from holdfast.interfaces.cli.ledger.verify import BundleVerified
from holdfast.interfaces.cli.ports import Place, Progress, Report
from holdfast.kernel.clock import SystemClock
from holdfast.ledger.errors import NotThere, ProofRefused, Unsuitable
from holdfast.ledger.find.access import Act, Caller, Reading, Way
from holdfast.ledger.find.finding import Dimension, Filter
from holdfast.ledger.find.searching import search
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note, VerifierKey
from holdfast.ledger.publish import proving
from holdfast.ledger.publish.bundles import MOST_LINE_BYTES, VERSION, BundleHead, BundleVerifier, Bundling

TOLD_EVERY = 20_000
MOST_TOLD_APART = 50
"""Stretches of leaves that the access trail has a line each for. Of more it has one over all."""


class LocalBundles:
    """Bundles, out of the database of a running Holdfast."""

    def bundle(self, place: Place, request: BundleRequest, report: Report) -> BundleMade:
        async def work(ledger: Ledger, conninfo: Conninfo) -> BundleMade:
            del conninfo
            return await _bundled(ledger, request, report)

        return run(with_ledger(place, work))

    def proof(self, place: Place, tenant: str, leaf: int) -> str:
        async def work(ledger: Ledger, conninfo: Conninfo) -> str:
            del conninfo
            log_id, note, size = await _published(ledger, tenant)
            return (await proving.inclusion(ledger.logs, log_id, leaf, note, size)).text

        return run(with_ledger(place, work))


async def _published(ledger: Ledger, tenant: str) -> tuple[int, str, int]:
    """A log, the newest checkpoint that was handed out, and its size. Raises NotThere."""
    known = await PostgresPublished(ledger.pool).handed(tenant)
    if known is None:
        raise no_log(tenant)
    log_id, note = known
    if note is None:
        raise NotThere(
            "nothing of this log was published yet",
            hint="it waits for the second region or the witness: holdfast ledger status",
        )
    return log_id, note, Checkpoint.parsed(Note.parsed(note).body).size


async def _bundled(ledger: Ledger, request: BundleRequest, report: Report) -> BundleMade:
    log_id, note, size = await _published(ledger, request.tenant)
    wanted = _filter(request)
    chosen, words = await _chosen(ledger, log_id, size, request)
    trail = PostgresAccessTrail(ledger.pool)
    readings = list(_readings(request.tenant, wanted, chosen))
    lines = [await trail.begin(each) for each in readings]
    if request.wanted:
        chosen = await _found(ledger, log_id, size, wanted, chosen)
        values = "; ".join(f"{name} {', '.join(each)}" for name, each in request.wanted.items())
        words = f"{words} of {values}"
    origin = ledger.origin_of(request.tenant)
    key = ledger.key_of(origin)
    witness = ledger.declared.witness
    head = BundleHead(
        bundle=VERSION,
        checkpoint=note,
        chosen=words,
        keys=[key.text, *([witness.key] if witness else [])],
        log=origin,
        made_at=SystemClock().now().replace(microsecond=0).isoformat(),
    )
    bundling, total, told = Bundling(ledger.logs, log_id, head), sum(map(len, chosen)), 0
    with _written(request.out, overwrite=request.overwrite) as sink:
        async for line in bundling.lines(chosen):
            sink.write(line)
            if bundling.entries - told >= TOLD_EVERY:
                told = bundling.entries
                report(Progress(f"{told:,} of {total:,} entries", told, total))
    counts = handed_out([range(each.start, each.end) for each in readings], chosen, bundling.pruned)
    for told_at, count in zip(lines, counts, strict=True):
        await trail.ended(request.tenant, told_at, count)
    return BundleMade(
        str(request.out),
        origin,
        size,
        bundling.entries,
        bundling.pruned,
        request.out.stat().st_size,
        key.text,
    )


async def _chosen(ledger: Ledger, log_id: int, size: int, request: BundleRequest) -> tuple[list[range], str]:
    """Leaves of the published tree, in order, none twice; and in words which."""
    first, end, words = 0, size, "all entries"
    if request.since or request.until:
        reading = PostgresLogReading(ledger.pool, ledger.logs)
        first, end = await reading.taken_in(log_id, _utc(request.since), _utc(request.until))
        end = min(end, size)
        words = f"entries taken in from {_told(request.since)} to {_told(request.until)}"
    if not request.leaves:
        return ([range(first, end)] if first < end else []), words
    beyond = [last for _, last in request.leaves if last >= size]
    if beyond:
        raise NotThere(
            f"leaf {beyond[0]:,} is not published: the checkpoint tells of {size:,} leaves",
            hint="it is published within seconds, once the second region and the witness have it",
        )
    found = list[range]()
    for low, high in sorted(request.leaves):
        fresh = range(max(low, first, found[-1].stop if found else 0), min(high + 1, end))
        if fresh:
            found.append(fresh)
    named = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in request.leaves[:20])
    return found, f"leaves {named}{', ...' if request.leaves[20:] else ''}" + (
        f" of {words}" if request.since or request.until else ""
    )


def _filter(request: BundleRequest) -> Filter:
    """Raises Unsuitable."""
    if request.wanted and not request.tenant:
        raise Unsuitable("the log over all logs has no jobs", hint="name a tenant: --tenant KEY")
    return Filter.of(wanted={Dimension(name): values for name, values in request.wanted.items()})


def _readings(tenant: str, wanted: Filter, chosen: Sequence[range]) -> Iterator[Reading]:
    """What the access trail is told before anything is read. The log over all holds nobody's entries."""
    if not tenant or not chosen:
        return
    spans = chosen if len(chosen) <= MOST_TOLD_APART else [range(chosen[0].start, chosen[-1].stop)]
    for each in spans:
        yield Reading(tenant, Caller(command_line(), Way.CLI), Act.EXPORT, wanted, each.start, each.stop)


def handed_out(spans: Sequence[range], chosen: Sequence[range], pruned: int) -> Iterator[int]:
    """How many entries of each span were in the bundle. What retention took is the first of the chosen."""
    starts = [each.start for each in chosen]
    for span in spans:
        count = sum(
            max(0, min(each.stop, span.stop) - max(each.start, span.start))
            for each in chosen[max(bisect_right(starts, span.start) - 1, 0) : bisect_left(starts, span.stop)]
        )
        gone = min(count, pruned)
        pruned -= gone
        yield count - gone


async def _found(
    ledger: Ledger, log_id: int, size: int, wanted: Filter, chosen: Sequence[range]
) -> list[range]:
    """Those of the chosen leaves that match."""
    if not chosen:
        return []
    leaves = list[int]()
    async for each in search(ledger.logs, PostgresFindings(ledger.pool), log_id, wanted, size):
        leaves += [leaf for leaf, _ in each.found]
        if each.start <= chosen[0].start:
            break
    starts = [each.start for each in chosen]
    within = sorted(leaf for leaf in leaves if leaf in chosen[max(bisect_right(starts, leaf) - 1, 0)])
    return [range(leaf, leaf + 1) for leaf in within]


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=at.tzinfo or UTC)


def _told(at: datetime | None) -> str:
    return "..." if at is None else f"{_utc(at):%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def _written(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """The whole file, or none under that name. Raises Unsuitable."""
    if path.exists() and not overwrite:
        raise Unsuitable(f"{path} is there already", hint="--overwrite replaces it")
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("wb") as plain:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", 6, plain, 0) as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield plain
            plain.flush()
            os.fsync(plain.fileno())
        fresh.replace(path)
    except OSError as error:
        raise Unsuitable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)


def read_bundle(
    path: Path, keys: Sequence[VerifierKey], report: Report, on_entry: Callable[[int, bytes], None]
) -> BundleVerified:
    """What a bundle proves. Raises ProofRefused when it proves nothing, NotThere when it cannot be read."""
    entries = 0
    try:
        lines = _lines(path)
        verifier = BundleVerifier(next(lines, b""), keys, verifies)
        size = verifier.signed.checkpoint.size
        for line in lines:
            if found := verifier.line(line):
                on_entry(*found)
                entries += 1
                if entries % TOLD_EVERY == 0:
                    report(Progress(f"{entries:,} entries", found[0], size))
    except (OSError, EOFError, zlib.error) as error:
        raise NotThere(f"{path} cannot be read: {error}") from error
    signed = verifier.end()
    head = verifier.head
    return BundleVerified(
        head.log, signed.checkpoint.size, entries, head.chosen, head.made_at, signed.witnesses
    )


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        with gzip.open(plain) if packed else plain as source:
            while line := source.readline(MOST_LINE_BYTES):
                if not line.endswith(b"\n") and len(line) == MOST_LINE_BYTES:
                    raise ProofRefused("a line of the bundle is longer than any entry")
                yield line
