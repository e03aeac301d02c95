"""What can go wrong in the ledger.

HoldfastError
└── LedgerError
    ├── RecordRefused      a posted record is malformed: its line and reason, the others go in
    ├── BatchRefused       a whole request: too large, too deep, not readable
    │   └── TooLarge           more bytes than a request may have
    ├── Overloaded         too much waits already                                       transient
    ├── NoLedger           the estate declares none                                     needs the operator
    ├── KeyRefused         a key that is none, or not the one that was declared         needs the operator
    ├── SourceRefused      a source that may not post this
    ├── NotThere           a tenant, source, token or entry that is asked for
    ├── Unsuitable         a key, name, time zone or correction that cannot be
    ├── LogDamaged         stored entries, tiles or checkpoints do not fit together
    ├── EntriesPruned      retention took these entries; their hashes and proofs stay
    ├── ProofRefused       a proof, note or checkpoint does not hold
    │   └── Fork               two checkpoints of one log that cannot both be true
    ├── OnHold             a legal hold stands in the way                               needs the operator
    ├── PersonsNotKept     a record tells of a person, and no pseudonym key is declared needs the operator
    ├── KeysAway           a store of persons' keys cannot be reached                   transient
    ├── Overtaken          another sequencer has appended to this log: read it again    transient
    ├── NotFlushed         the second region has not flushed it in time                 transient
    ├── WitnessAway        no cosignature now                                           transient
    └── WitnessRefused     the witness does not trust this log                          needs the operator
"""

from holdfast.kernel.errors import HoldfastError, Remedy


class LedgerError(HoldfastError):
    """The ledger did not do it."""


class RecordRefused(LedgerError):  # noqa: N818  a judgement more than an error
    """One record is malformed."""


class BatchRefused(LedgerError):  # noqa: N818
    """Nothing of a request can be read."""


class TooLarge(BatchRefused):
    """It has more bytes than a request may have."""


class Overloaded(LedgerError):  # noqa: N818
    """Too much waits already; nothing of this was looked at."""

    remedy = Remedy.TRANSIENT


class SourceRefused(LedgerError):  # noqa: N818
    """The source may not post this."""

    remedy = Remedy.NEEDS_OPERATOR


class NotThere(LedgerError):  # noqa: N818
    """There is none that is in force."""


class Unsuitable(LedgerError):  # noqa: N818
    """It cannot be so."""


class NoLedger(LedgerError):  # noqa: N818
    """The estate declares none."""

    remedy = Remedy.NEEDS_OPERATOR


class KeyRefused(LedgerError):  # noqa: N818
    """It is no key, or not the one that is meant."""

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


class Otherwise(LedgerError):  # noqa: N818
    """Something else stands in the log than a growth supposes; nothing was written."""

    remedy = Remedy.TRANSIENT


class NotFlushed(LedgerError):  # noqa: N818
    """It is durable here, and not known to be in the second region."""

    remedy = Remedy.TRANSIENT


class WitnessAway(LedgerError):  # noqa: N818
    """The witness did not cosign now."""

    remedy = Remedy.TRANSIENT


class OnHold(LedgerError):  # noqa: N818
    """Nothing of this tenant goes while the hold stands."""

    remedy = Remedy.NEEDS_OPERATOR


class PersonsNotKept(LedgerError):  # noqa: N818
    """Without a pseudonym key nobody's data can be taken in."""

    remedy = Remedy.NEEDS_OPERATOR


class KeysAway(LedgerError):  # noqa: N818
    """A store of persons' keys does not answer, or is not the one that was there."""

    remedy = Remedy.TRANSIENT


class WitnessRefused(LedgerError):  # noqa: N818
    """The witness does not trust this log, or cannot read what it was asked."""

    remedy = Remedy.NEEDS_OPERATOR
