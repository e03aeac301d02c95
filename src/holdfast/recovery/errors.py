"""What can go wrong in recovery.

HoldfastError
└── RecoveryError
    ├── PlaybookWrong    a playbook that could not be run as it stands
    ├── NotThere         no run has this id
    ├── RunUnreadable    a run that another version of Holdfast wrote
    ├── Refused          what is asked for is not possible in the state that the run is in
    ├── Fenced           another replica has taken the run over: nothing of ours counts any more
    ├── StepFailed       an action did not come to what it should
    └── EvidenceRefused  an entry of evidence, or its proof, does not hold
"""

from holdfast.kernel.errors import HoldfastError, Remedy


class RecoveryError(HoldfastError):
    """Recovery did not do it."""


class PlaybookWrong(RecoveryError):  # noqa: N818  a judgement more than an error
    """A playbook that could not be run."""


class NotThere(RecoveryError):  # noqa: N818
    """No run has this id."""


class RunUnreadable(RecoveryError):  # noqa: N818
    """A run that another version of Holdfast wrote."""

    remedy = Remedy.NEEDS_OPERATOR


class Refused(RecoveryError):  # noqa: N818
    """Not in the state that the run is in."""


class Fenced(RecoveryError):  # noqa: N818
    """The run has a later epoch than ours."""


class StepFailed(RecoveryError):  # noqa: N818
    """An action did not come to what it should."""

    remedy = Remedy.NEEDS_OPERATOR


class EvidenceRefused(RecoveryError):  # noqa: N818
    """It does not prove what it claims, or cannot be kept."""


class ComesLate(StepFailed):
    """A target has heard of a later epoch or turn."""
