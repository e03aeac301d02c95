"""The site's memory of the last good reading, kept on disk so that it answers without a database."""

import os
import tempfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from holdfast.availability.sla import Figure, Tally
from holdfast.availability.views import ComponentHistory, Overview
from holdfast.communication.news import News
from holdfast.interfaces.site.readership import (
    Holder,
    Readership,
    cut_overview,
    holders_news,
    public_news,
    public_overview,
    with_told_states,
)
from holdfast.kernel.windows import Window

FORMAT = 2
DAYS = 90


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read last. `format` tells which version of the site wrote it.

    As read it holds what is private too; pages are made of `for_everybody()`, or of `for_holder()`. In those
    two the components bear what open incidents tell of them.
    """

    overview: Overview
    news: News = field(default_factory=News)
    readership: Readership = field(default_factory=Readership)
    format: int = FORMAT

    @property
    def at(self) -> datetime:
        return self.overview.at

    def for_everybody(self) -> "Snapshot":
        """Without anything that is private, and without knowing who may read what."""
        news = public_news(self.news, self.readership)
        overview = public_overview(self.overview, self.readership)
        return Snapshot(with_told_states(overview, news), news)

    def for_holder(self, holder: Holder) -> "Snapshot":
        """The components of a customer's agreements alone, and what is told of them."""
        news = holders_news(self.news, self.readership, holder)
        overview = cut_overview(self.overview, holder.component_ids.__contains__)
        return Snapshot(with_told_states(overview, news), news)


_SNAPSHOT = msgspec.json.Decoder(Snapshot)


class SnapshotFile:
    """One snapshot on disk, replaced as a whole and readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Snapshot | None:
        """The stored snapshot; None when there is none, or none that this version understands."""
        try:
            stored = _SNAPSHOT.decode(self._path.read_bytes())
        except (OSError, ValueError):
            # ValueError covers msgspec's errors: a torn or foreign file is as good as none.
            return None
        return stored if stored.format == FORMAT else None

    def store(self, snapshot: Snapshot) -> None:
        """Replace the file atomically. Raises OSError when the disk refuses."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp gives mode 0600; the rename lets readers see the old file or the new one, never half.
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name, suffix=".new")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(snapshot))
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def found(overview: Overview, cluster_key: str, key: str) -> ComponentHistory | None:
    """The component of that name, as the overview has it."""
    for cluster in overview.clusters:
        if cluster.key == cluster_key:
            return next((each for each in cluster.components if each.status.key == key), None)
    return None


def last_days(history: ComponentHistory, count: int) -> ComponentHistory:
    """The same component over its last `count` days only, with the figure made of theirs."""
    days = list(history.days[-count:])
    if not days:
        return history
    window = Window(days[0].figure.window.start, days[-1].figure.window.end)
    together = sum((day.figure.tally for day in days), Tally())
    return ComponentHistory(
        history.status,
        window,
        days,
        Figure(window, together, history.figure.unknown_counts_as, history.figure.formula),
    )
