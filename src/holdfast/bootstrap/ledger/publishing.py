"""Publishing, a duty of the ledger's process: a second after a log has grown, its checkpoint is out."""

import asyncio
from collections import Counter
from functools import partial

from holdfast.adapters.postgres.ledger.published import PostgresPublished
from holdfast.adapters.postgres.ledger.sources import PostgresSources
from holdfast.adapters.signing.ed25519 import verifies
from holdfast.bootstrap.ledger.witnesses import witness_of
from holdfast.bootstrap.ledger.working import Working
from holdfast.kernel.errors import HoldfastError
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.continuing import is_closed
from holdfast.ledger.log.notes import VerifierKey
from holdfast.ledger.model import Prepared
from holdfast.ledger.publish.handing_out import HandingOut
from holdfast.ledger.publish.publishing import Publisher

LOOK_EVERY_S = 1.0


class OnlyHere:
    """Where no second region is declared: what is committed is everywhere that it will ever be."""

    async def flushed(self, lsn: int, within_s: float) -> bool:
        del lsn, within_s
        return True


async def publish(working: Working) -> None:
    """For ever. Several processes may do so at once: each checkpoint is published once."""
    ledger, declared = working.ledger, working.ledger.declared
    published = PostgresPublished(ledger.pool)
    line = Sequencer(ledger.logs, ledger.packs, origin_of=ledger.origin_of, signer_for=ledger.signer_for)

    async def append(prepared: Prepared) -> None:
        await line.append([prepared])

    async with witness_of(declared, working.place.config) as witness:
        publisher = Publisher(
            ledger.logs,
            published,
            working.second or OnlyHere(),
            witness,
            witness_key=VerifierKey.parsed(declared.witness.key) if declared.witness else None,
            verifies=verifies,
            flushed_within_s=working.gate.within_s,
        )
        out = HandingOut(
            publisher,
            published,
            append,
            ledger.keys_of,
            working.clock,
            working.tell,
            partial(is_closed, PostgresSources(ledger.pool)),
        )
        done = Counter[str]()

        async def figures() -> str:
            return _figures(out, done, len(await published.pending()))

        working.more_figures.append(figures)
        while True:
            try:
                done["checkpoints"] += await out.round()
            except HoldfastError as error:
                # What was waited for before is still known when the database is back.
                working.tell.trouble("publishing_stands_still", error)
            else:
                working.tell.trouble("publishing_stands_still", None)
            await asyncio.sleep(LOOK_EVERY_S)


def _figures(out: HandingOut, done: Counter[str], pending: int) -> str:
    waits = Counter(each.reason for each in out.waiting.values())
    lines = [
        "# TYPE holdfast_ledger_checkpoints_published counter",
        "# HELP holdfast_ledger_checkpoints_published Checkpoints that this process has published.",
        f"holdfast_ledger_checkpoints_published_total {done['checkpoints']}",
        "# TYPE holdfast_ledger_logs_unpublished gauge",
        "# HELP holdfast_ledger_logs_unpublished Logs that have grown since they were published.",
        f"holdfast_ledger_logs_unpublished {pending}",
        "# TYPE holdfast_ledger_publishing_waits gauge",
        "# HELP holdfast_ledger_publishing_waits What publishing waits for, by reason.",
        *(
            f'holdfast_ledger_publishing_waits{{reason="{reason}"}} {waits[reason]}'
            for reason in ("second_region_away", "witness_away", "witness_refuses", "fork", "failed")
        ),
    ]
    return "\n".join(lines)
