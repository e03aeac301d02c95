"""A desk that remembers what a keeper reports, and says what is to be kept."""

from dataclasses import dataclass, field

from holdfast.backup.recoverable.points import RegionPoints
from holdfast.estate.backup import Keep


@dataclass
class Desk:
    """`keeps` is what counts in every region; None: nobody knows."""

    reported: dict[str, RegionPoints] = field(default_factory=dict)
    keeps: Keep | None = None

    def report(self, points: RegionPoints) -> None:
        self.reported[points.region] = points

    def keep(self, region: str) -> Keep | None:
        del region
        return self.keeps
