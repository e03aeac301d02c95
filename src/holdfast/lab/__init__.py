"""The labs: real estates on one machine, made of real processes that can be broken and healed."""

from holdfast.lab.lab import AnyLab, Lab
from holdfast.lab.model import Damage, LabEvent, PartState, PartStatus, Progress, Stage
from holdfast.lab.regions.lab import RegionsLab

__all__ = [
    "AnyLab",
    "Damage",
    "Lab",
    "LabEvent",
    "PartState",
    "PartStatus",
    "Progress",
    "RegionsLab",
    "Stage",
]
