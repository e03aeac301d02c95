"""The lab's commands: from the command line's words to the lab's, and back."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.interfaces.cli.ports import LabPart, Place, Progress, Report
from holdfast.kernel.errors import HoldfastError
from holdfast.lab import AnyLab, Damage, Lab, LabEvent, PartStatus, RegionsLab, Stage
from holdfast.lab.regions.settings import FAST, Pace
from holdfast.lab.topology import CLUSTERS, DEFAULT_BASE_PORT, ROLES, port_of

BASE_PORT = "HOLDFAST_LAB_BASE_PORT"
"""The variable that moves the whole lab to other ports. Every command on one lab needs the same value."""
HIGHEST_BASE_PORT = 65_100
REGIONS_LAB, CLUSTERS_LAB = "regions", "clusters"

_WORDS = {Stage.WAITING: "waiting for another command on the lab"}


class UnknownDamage(HoldfastError):  # noqa: N818
    """Not a way to break something."""


class UnknownLab(HoldfastError):  # noqa: N818
    """Not one of the labs."""


class WrongPort(HoldfastError):  # noqa: N818
    """Not a number that the lab's ports can begin at."""


def lab_at(place: Place) -> Lab:
    """The lab in Holdfast's data directory. Raises WrongPort."""
    return Lab(place.data_dir / "lab", base_port=base_port())


def regions_at(place: Place, *, namespaces: bool | None = None, pace: Pace | None = None) -> RegionsLab:
    """The two-region lab in Holdfast's data directory. Raises WrongPort."""
    return RegionsLab(
        place.data_dir / "lab" / "regions", base_port=base_port(), namespaces=namespaces, pace=pace
    )


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


async def up_clusters(place: Place, report: Report) -> Sequence[LabPart]:
    return _parts(await lab_at(place).up(_told(report)))


async def down_clusters(place: Place, report: Report) -> Sequence[LabPart]:
    return _parts(await lab_at(place).down(_told(report)))


async def up(
    place: Place, what: str, report: Report, *, namespaces: bool | None, fast: bool
) -> Sequence[LabPart]:
    """Start the two regions, or the demo's three clusters. Raises UnknownLab."""
    if what == CLUSTERS_LAB:
        return await up_clusters(place, report)
    if what != REGIONS_LAB:
        raise UnknownLab(f"there is no lab {what!r}", hint=f"there are: {REGIONS_LAB}, {CLUSTERS_LAB}")
    lab = regions_at(place, namespaces=namespaces, pace=FAST if fast else None)
    return _parts(await lab.up(_told(report)))


async def down(place: Place, report: Report) -> Sequence[LabPart]:
    """End whatever there is of both labs."""
    return [part for lab in _there(place) for part in _parts(await lab.down(_told(report)))]


async def break_(place: Place, name: str, how: str | None, report: Report) -> Sequence[LabPart]:
    try:
        damage = Damage(how) if how is not None else None
    except ValueError as error:
        known = ", ".join(each.value for each in Damage)
        raise UnknownDamage(f"there is no damage {how!r}", hint=f"there are: {known}") from error
    return _parts(await _with_part(place, name).break_(name, damage, _told(report)))


async def heal(place: Place, name: str, report: Report) -> Sequence[LabPart]:
    return _parts(await _with_part(place, name).heal(name, _told(report)))


async def status(place: Place) -> Sequence[LabPart]:
    return [part for lab in _there(place) for part in _parts(await lab.status())]


def _there(place: Place) -> list[AnyLab]:
    """The labs that have been started here at some time; the regions when none has."""
    clusters, regions = lab_at(place), regions_at(place)
    there: list[AnyLab] = [lab for lab in (clusters, regions) if (lab.directory / "state").is_dir()]
    return there or [regions]


def _with_part(place: Place, name: str) -> AnyLab:
    """The lab that knows the name; the one that is there, to say that it does not, when neither does."""
    labs: list[AnyLab] = [lab_at(place), regions_at(place)]
    return next((lab for lab in labs if name in lab.names), _there(place)[0])


def _told(report: Report) -> Callable[[LabEvent], None]:
    def tell(event: LabEvent) -> None:
        text = _WORDS.get(event.stage, f"{event.stage.value} {event.part}")
        report(Progress(text, event.done, event.total))

    return tell


def _parts(statuses: Sequence[PartStatus]) -> list[LabPart]:
    return [LabPart(each.name, each.state.value, each.pid, each.port, each.since) for each in statuses]
