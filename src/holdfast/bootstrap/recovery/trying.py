"""What `holdfast check` tries of recovery: the key that signs evidence."""

from collections.abc import Sequence

from holdfast.bootstrap.recovery.evidence_keys import evidence_signer
from holdfast.bootstrap.recovery.terms import keeping_of
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Finding, Place
from holdfast.kernel.errors import HoldfastError


def evidence_findings(estate: Estate, place: Place) -> Sequence[Finding]:
    """Only of a declared key: the data directory's own is made when it is needed first."""
    subject = "recovery.evidence.signing_key"
    if keeping_of(estate).signing_key is None:
        return []
    try:
        key = evidence_signer(estate, place.config, place.data_dir).key
    except HoldfastError as error:
        text = f"{error}; {error.hint}" if error.hint else str(error)
        return [Finding(subject, ok=False, text=text)]
    return [Finding(subject, ok=True, text=f"signs as {key.text}")]
