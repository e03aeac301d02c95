"""What `holdfast ledger correct` does: one entry more, through the same sequencer as every other."""

from holdfast.adapters.postgres.conninfo import Conninfo
from holdfast.adapters.postgres.ledger.finding import PostgresFindings
from holdfast.adapters.postgres.ledger.imports import PostgresImports
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.bootstrap.actors import command_line
from holdfast.bootstrap.at_work import run
from holdfast.bootstrap.ledger.at_hand import no_log, with_ledger
from holdfast.bootstrap.ledger.importers import Importing, opened_importing
from holdfast.bootstrap.ledger.opening import Ledger
from holdfast.bootstrap.ledger.sources import tenant_of
from holdfast.interfaces.cli.ledger.correcting import CorrectionOutcome, CorrectionRequest
from holdfast.interfaces.cli.ports import Place
from holdfast.ledger.canonical import entry_of
from holdfast.ledger.completeness.correcting import SOURCE, corrected, differences, line_of, told_of
from holdfast.ledger.errors import NotThere, Overloaded, Unsuitable
from holdfast.ledger.find.finding import What
from holdfast.ledger.find.searching import LogSeen, Mentions
from holdfast.ledger.intake.drafts import Draft
from holdfast.ledger.intake.files import Mark, marker
from holdfast.ledger.intake.importing import Importer
from holdfast.ledger.model import Conflict, Reach, Record
from holdfast.ledger.sources import SourceKind, Tenant


class LocalCorrecting:
    """CorrectionCommands on this machine."""

    def correct(self, place: Place, request: CorrectionRequest) -> CorrectionOutcome:
        async def work(ledger: Ledger, conninfo: Conninfo) -> CorrectionOutcome:
            del conninfo
            sources = PostgresSources(ledger.pool)
            tenant = await tenant_of(sources, request.tenant)
            # Two at once would both find the leaf uncorrected, and one of them would count nothing.
            async with (
                PostgresImports(ledger.pool).alone(f"correction {tenant.key}"),
                opened_importing(ledger, place) as importing,
            ):
                return await _corrected(importing, sources, tenant, request)

        return run(with_ledger(place, work, signing=not request.dry_run))


async def _corrected(
    importing: Importing, sources: PostgresSources, tenant: Tenant, request: CorrectionRequest
) -> CorrectionOutcome:
    seen, before = await _named(importing.ledger, tenant, request.leaf)
    actor = request.actor or command_line()
    after = corrected(before, request.leaf, request.settings, reason=request.reason, actor=actor)
    mark = Mark(marker(importing.mark_key(tenant))(line_of(after)), 0)
    found = await sources.source(tenant.key, SOURCE)
    if found is None and not request.dry_run:
        found = await sources.add_source(
            tenant.key, SOURCE, SourceKind.IMPORTER, "Corrections", actor=command_line()
        )
    draft = Draft(0, mark, told_of(after))
    importer = await importing.importer_for(tenant, found) if found else None
    there = importer is not None and bool((await importer.looked_at([draft])).repeated)
    standing = await _standing(importing.ledger, seen, request.leaf)
    if there and standing is not None:
        return _outcome(before, after, standing, repeated=True)
    if standing is not None:
        raise Unsuitable(
            f"leaf {request.leaf:,} is corrected by leaf {standing:,} already",
            hint=f"what is wrong now is that one: --leaf {standing}",
        )
    if request.dry_run or importer is None:
        return _outcome(before, after, None)
    return await _taken(importer, draft, before, after)


async def _taken(importer: Importer, draft: Draft, before: Record, after: Record) -> CorrectionOutcome:
    outcome = await importer.take([draft])
    if not outcome.taken:
        told = [each.reason for each in (*outcome.refused, *outcome.otherwise)]
        raise Unsuitable(told[0] if told else "it is there already", hint="holdfast ledger trace shows it")
    [(_, leaf)] = outcome.taken
    return _outcome(before, after, leaf, one_region=outcome.reach is Reach.ONE_REGION)


async def _named(ledger: Ledger, tenant: Tenant, leaf: int) -> tuple[LogSeen, Record]:
    """The log, and the entry that is wrong. Raises NotThere, EntriesPruned, and Unsuitable for a conflict."""
    seen = await PostgresFindings(ledger.pool).log_of(tenant.key)
    if seen is None:
        raise no_log(tenant.key)
    if leaf >= seen.size:
        raise NotThere(f"the log of {tenant.key!r} has {seen.size:,} leaves, from 0 on")
    [content] = await ledger.logs.entries(seen.log_id, leaf, 1)
    entry = entry_of(content)
    if isinstance(entry, Conflict):
        raise Unsuitable(
            f"leaf {leaf:,} is a conflict entry, which counts nothing",
            hint=f"the entry that stands under its number is leaf {entry.leaf}",
        )
    return seen, entry


async def _standing(ledger: Ledger, seen: LogSeen, leaf: int) -> int | None:
    """The correction of the leaf that counts. Raises Unsuitable when the leaf itself counts nothing."""
    mentions = await Mentions.read(ledger.logs, PostgresFindings(ledger.pool), seen)
    if not mentions.complete:
        raise Overloaded(
            "the index is too far behind to tell whether the leaf is corrected already",
            hint="try again once the follower has caught up: holdfast ledger status",
        )
    found = [each for each in await mentions.of([leaf]) if each.what is What.CORRECTION]
    if any(each.by == leaf and each.void for each in found):
        raise Unsuitable(f"leaf {leaf:,} is a correction that counts nothing", hint="correct what counts")
    return next((each.by for each in found if each.leaf == leaf and not each.void), None)


def _outcome(
    before: Record, after: Record, leaf: int | None, *, repeated: bool = False, one_region: bool = False
) -> CorrectionOutcome:
    return CorrectionOutcome(
        told_of(before), told_of(after), differences(before, after), leaf, repeated, one_region
    )
