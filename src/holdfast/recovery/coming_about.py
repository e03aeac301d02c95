"""Whether what a step brings about is there: how most actions verify, by looking once more. Pure."""

from holdfast.recovery.errors import StepFailed
from holdfast.recovery.ports import Found


def come_about(found: Found | None, otherwise: str) -> Found:
    """What was found. Raises StepFailed with `otherwise` when there is something to do yet."""
    if found is None:
        raise StepFailed(otherwise)
    return found
