"""The lab's commands: from the command line's words to the lab's, and back."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.interfaces.cli.ports import LabPart, Place, Progress, Report
from holdfast.kernel.errors import HoldfastError
from holdfast.lab import Damage, Lab, LabEvent, PartStatus, Stage

_WORDS = {Stage.WAITING: "waiting for another command on the lab"}


class UnknownDamage(HoldfastError):  # noqa: N818
    """Not a way to break something."""


def lab_at(place: Place) -> Lab:
    """The lab in Holdfast's data directory."""
    return Lab(place.data_dir / "lab")


async def prepare_demo(place: Place) -> Path:
    """The demo's estate file. Its secrets go into this process's environment, which the roles inherit."""
    lab = lab_at(place)
    os.environ.update(lab.environment())
    return lab.estate_file


async def up(place: Place, report: Report) -> Sequence[LabPart]:
    return _parts(await lab_at(place).up(_told(report)))


async def down(place: Place, report: Report) -> Sequence[LabPart]:
    return _parts(await lab_at(place).down(_told(report)))


async def break_(place: Place, name: str, how: str, report: Report) -> Sequence[LabPart]:
    try:
        damage = Damage(how)
    except ValueError as error:
        known = ", ".join(each.value for each in Damage)
        raise UnknownDamage(f"there is no damage {how!r}", hint=f"there are: {known}") from error
    return _parts(await lab_at(place).break_(name, damage, _told(report)))


async def heal(place: Place, name: str, report: Report) -> Sequence[LabPart]:
    return _parts(await lab_at(place).heal(name, _told(report)))


async def status(place: Place) -> Sequence[LabPart]:
    return _parts(await lab_at(place).status())


def _told(report: Report) -> Callable[[LabEvent], None]:
    def tell(event: LabEvent) -> None:
        text = _WORDS.get(event.stage, f"{event.stage.value} {event.part}")
        report(Progress(text, event.done, event.total))

    return tell


def _parts(statuses: Sequence[PartStatus]) -> list[LabPart]:
    return [LabPart(each.name, each.state.value, each.pid, each.port, each.since) for each in statuses]
