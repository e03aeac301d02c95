"""What `holdfast check` says of playbooks: one that is wrong is found out now, and not in the disaster."""

from collections.abc import Sequence

from holdfast.estate.model import Estate
from holdfast.interfaces.cli.ports import Finding, Place
from holdfast.kernel.errors import HoldfastError


def playbooks_checked(estate: Estate, place: Place) -> Sequence[Finding]:
    """One for all that are right, and one for each that is not; none without a `recovery:` section."""
    if estate.recovery is None:
        return []
    from holdfast.bootstrap.recovery.people import shelf_of  # noqa: PLC0415  with all actions

    try:
        shelf = shelf_of(estate, place)
    except HoldfastError as error:
        return [Finding("playbooks", ok=False, text=str(error))]
    wrong = [
        Finding(f"playbook {name}", ok=False, text=each.problems[0].as_text().splitlines()[0])
        for name, each in shelf.items()
        if each.playbook is None
    ]
    silent = [
        Finding(f"playbook {name}", ok=True, warning=True, text=each.warnings[0].as_text().splitlines()[0])
        for name, each in shelf.items()
        if each.playbook is not None and each.warnings
    ]
    right = len(shelf) - len(wrong)
    return [Finding("playbooks", ok=True, text=f"{right} can be run"), *wrong, *silent]
