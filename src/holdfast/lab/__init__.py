"""The lab: a real estate on one machine, made of real processes that can be broken and healed."""

from holdfast.lab.lab import Lab
from holdfast.lab.model import Damage, LabEvent, PartState, PartStatus, Progress, Stage

__all__ = ["Damage", "Lab", "LabEvent", "PartState", "PartStatus", "Progress", "Stage"]
