"""The two-region lab of this data directory, as drills break and heal it."""

from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.lab import RegionsLab
from holdfast.recovery.errors import StepFailed


def lab_beside(around: Surroundings) -> RegionsLab:
    """Raises StepFailed where there is none: nothing else can be broken by a drill."""
    from holdfast.bootstrap import lab  # noqa: PLC0415  few processes ever need it

    regions = lab.regions_at(around.place)
    if not (regions.directory / "state").is_dir():
        raise StepFailed("there is no lab in this data directory", hint="holdfast lab up regions starts it")
    return regions
