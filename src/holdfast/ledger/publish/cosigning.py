"""Having a checkpoint cosigned: the witness is told from where the log goes on, or tells it itself."""

from collections.abc import Awaitable, Callable, Hashable, Sequence

from holdfast.ledger.errors import Fork, WitnessAway
from holdfast.ledger.log.notes import Signature
from holdfast.ledger.log.witness import Addition
from holdfast.ledger.ports import Witness

MOST_TRIES = 4
"""A witness that tells another size each time is asked so often."""


class Cosigning:
    """Remembers where the witness is believed to stand, by log. Of several who ask, one goes first."""

    def __init__(self, witness: Witness, unit: str = "leaves", hint: str = "") -> None:
        """`unit` and `hint` are for who reads of a fork."""
        self._witness = witness
        self._unit = unit
        self._hint = hint
        self._stands: dict[Hashable, int] = {}

    async def of(
        self,
        log: Hashable,
        size: int,
        note: str,
        consistency: Callable[[int], Awaitable[Sequence[bytes]]],
        is_grown_to: Callable[[int], Awaitable[bool]],
    ) -> Signature | None:
        """The cosignature of the checkpoint `note` of so many leaves; None when the witness is ahead of it,
        and the log by now as well. `consistency` proves that it begins with the log as it was at a size.

        Raises WitnessAway, WitnessRefused, and Fork when the witness has seen what this does not continue.
        """
        for _ in range(MOST_TRIES):
            old_size = self._stands.get(log, 0)
            if old_size > size:
                if await is_grown_to(old_size):
                    return None
                del self._stands[log]
                raise Fork(
                    f"the witness has seen this log with {old_size:,} {self._unit}, and it has {size:,}",
                    hint=self._hint,
                )
            proof = await consistency(old_size)
            answer = await self._witness.cosign(Addition(old_size, tuple(proof), note))
            if isinstance(answer, Signature):
                self._stands[log] = size
                return answer
            if answer == old_size:
                raise Fork(
                    f"the witness has cosigned another checkpoint of {size:,} {self._unit} of this log",
                    hint=self._hint,
                )
            self._stands[log] = answer
        raise WitnessAway("the witness tells another size each time it is asked")
