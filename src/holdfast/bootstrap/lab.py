"""The lab's commands: from the command line's words to the lab's, and back."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.interfaces.cli.ports import LabPart, Place, Progress, Report
from holdfast.kernel.errors import HoldfastError
from holdfast.lab import Damage, Lab, LabEvent, PartStatus, Stage
from holdfast.lab.topology import CLUSTERS, DEFAULT_BASE_PORT, ROLES, port_of

BASE_PORT = "HOLDFAST_LAB_BASE_PORT"
"""The variable that moves the whole lab to other ports. Every command on one lab needs the same value."""
HIGHEST_BASE_PORT = 65_500

_WORDS = {Stage.WAITING: "waiting for another command on the lab"}


class UnknownDamage(HoldfastError):  # noqa: N818
    """Not a way to break something."""


class WrongPort(HoldfastError):  # noqa: N818
    """Not a number that the lab's ports can begin at."""


def lab_at(place: Place) -> Lab:
    """The lab in Holdfast's data directory. Raises WrongPort."""
    return Lab(place.data_dir / "lab", base_port=base_port())


def base_port() -> int:
    """Where the lab's ports begin: its own choice, or what the environment says. Raises WrongPort."""
    text = os.environ.get(BASE_PORT, "")
    if not text:
        return DEFAULT_BASE_PORT
    if not text.isdecimal() or not 1024 <= int(text) <= HIGHEST_BASE_PORT:
        raise WrongPort(
            f"{BASE_PORT} is {text!r}", hint=f"set it to a number from 1024 to {HIGHEST_BASE_PORT}"
        )
    return int(text)


async def prepare_demo(place: Place, listen: str | None) -> Path:
    """The demo's estate file: the sample's own or, on other ports, a copy of it in the lab's directory.

    Its secrets go into this process's environment, which the roles inherit.
    """
    lab = lab_at(place)
    os.environ.update(lab.environment())
    if base_port() == DEFAULT_BASE_PORT and listen is None:
        return lab.estate_file
    text = lab.estate_file.read_text(encoding="utf-8")
    copy = place.data_dir / "lab" / "holdfast.yaml"
    copy.write_text(on_other_ports(text, base_port(), listen), encoding="utf-8")
    return copy


def on_other_ports(text: str, base: int, listen: str | None) -> str:
    """The sample's estate file with the services' ports counted from `base`, and the site on `listen`."""
    ports = {
        str(port_of(DEFAULT_BASE_PORT, cluster, role)): str(port_of(base, cluster, role))
        for cluster in CLUSTERS
        for role in ROLES
    }
    text = re.sub(r"\b\d{5}\b", lambda match: ports.get(match[0], match[0]), text)
    if listen is not None:
        text = re.sub(r"(?m)^site:$", f"site:\n  listen: {listen}", text, count=1)
    return text


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
