"""What can go wrong in the ledger.

HoldfastError
└── LedgerError
    ├── RecordRefused      a posted record is malformed: its line and reason, the others go in
    ├── BatchRefused       a whole request: too large, too deep, not readable
    ├── SourceRefused      a source that may not post this
    ├── LogDamaged         stored entries, tiles or checkpoints do not fit together
    ├── EntriesPruned      retention took these entries; their hashes and proofs stay
    ├── ProofRefused       a proof, note or checkpoint does not hold
    │   └── Fork               two checkpoints of one log that cannot both be true
    ├── Overtaken          another sequencer has appended to this log: read it again    transient
    ├── NotFlushed         the second region has not flushed it in time                 transient
    └── WitnessAway        no cosignature now                                           transient
"""

from holdfast.kernel.errors import HoldfastError, Remedy


class LedgerError(HoldfastError):
    """The ledger did not do it."""


class RecordRefused(LedgerError):  # noqa: N818  a judgement more than an error
    """One record is malformed."""


class BatchRefused(LedgerError):  # noqa: N818
    """Nothing of a request can be read."""


class SourceRefused(LedgerError):  # noqa: N818
    """The source may not post this."""

    remedy = Remedy.NEEDS_OPERATOR


class LogDamaged(LedgerError):  # noqa: N818
    """What is stored does not fit together."""

    remedy = Remedy.NEEDS_OPERATOR


class EntriesPruned(LedgerError):  # noqa: N818
    """Retention took them; their hashes and proofs stay."""


class ProofRefused(LedgerError):  # noqa: N818
    """It does not prove what it claims."""


class Fork(ProofRefused):
    """Two checkpoints of one log that cannot both be true."""

    remedy = Remedy.NEEDS_OPERATOR


class Overtaken(LedgerError):  # noqa: N818
    """Somebody else appended first; nothing was written."""

    remedy = Remedy.TRANSIENT


class NotFlushed(LedgerError):  # noqa: N818
    """It is durable here, and not known to be in the second region."""

    remedy = Remedy.TRANSIENT


class WitnessAway(LedgerError):  # noqa: N818
    """The witness did not cosign now."""

    remedy = Remedy.TRANSIENT
