"""Whether a witness stands where the log does, found out without moving it."""

from collections.abc import Awaitable, Callable

from holdfast.ledger.errors import Fork
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.notes import Note, Signature
from holdfast.ledger.log.witness import Addition
from holdfast.ledger.ports import Witness

MOST_TRIES = 4


async def stands(witness: Witness, published: str, note_at: Callable[[int], Awaitable[str | None]]) -> str:
    """How the witness differs; empty when it does not. `published` is the newest checkpoint, `note_at` finds
    the signed one of a size.

    It is asked for what it has cosigned already, which leaves it where it is. It cosigns before a checkpoint
    is published: so it may be ahead of that, never of the log. Raises WitnessAway and WitnessRefused.
    """
    size = Checkpoint.parsed(Note.parsed(published).body).size
    asked, note = size, published
    for _ in range(MOST_TRIES):
        try:
            answer = await witness.cosign(Addition(asked, (), note))
        except Fork as error:
            return str(error)
        if isinstance(answer, Signature):
            return ""
        if answer == asked:
            return f"it has cosigned another checkpoint of {asked:,} leaves"
        if answer < size:
            return f"it has cosigned {answer:,} leaves, and {size:,} are published"
        found = await note_at(answer)
        if found is None:
            return f"it has cosigned {answer:,} leaves, and the log never had as many at a growth's end"
        asked, note = answer, found
    return ""  # it goes on faster than it can be asked
