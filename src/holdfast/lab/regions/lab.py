"""The two-region lab's commands. As the other lab's; besides, it remembers how it was started."""

import json
from functools import partial
from pathlib import Path

from holdfast.kernel.clock import Clock, SystemClock
from holdfast.lab.errors import PartFailedError
from holdfast.lab.lab import AnyLab, silent
from holdfast.lab.model import PartStatus, Progress
from holdfast.lab.place import Place
from holdfast.lab.regions.layout import REGIONS, REGIONS_OFFSET, Layout
from holdfast.lab.regions.parts import end_whatever_is_left
from holdfast.lab.regions.settings import Pace
from holdfast.lab.regions.topology import Regions
from holdfast.lab.sources import find_printcloud
from holdfast.lab.topology import DEFAULT_BASE_PORT

DEFAULT_DIRECTORY = Path(".holdfast/lab/regions")


class RegionsLab(AnyLab):
    """Regions A and B and the witness site W; `base_port` + 300 is their first port.

    With `namespaces` each site is in a network namespace of its own, so that links can be cut; that needs
    root, and is decided when the lab is first started: left out, it is as it was then, else without.
    """

    def __init__(
        self,
        directory: Path = DEFAULT_DIRECTORY,
        *,
        sources: Path | None = None,
        base_port: int = DEFAULT_BASE_PORT,
        bin_dir: Path | None = None,
        clock: Clock | None = None,
        patience_s: float = 120.0,
        namespaces: bool | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.directory = directory
        self._place = Place(directory)
        self._patience_s = patience_s
        self._sources = partial(find_printcloud, sources)
        self._mode = self._place.root / "mode.json"
        started_with = self._started_with()
        self._wanted = bool(started_with) if namespaces is None else namespaces
        self._differs = started_with is not None and started_with != self._wanted
        self.layout = Layout(
            self._place.root,
            base_port + REGIONS_OFFSET,
            self._wanted if started_with is None else started_with,
        )
        regions = Regions(
            self.layout, self._place, self._sources, bin_dir, clock or SystemClock(), pace or Pace()
        )
        self.network = regions.network
        """The links between the sites; only a lab with namespaces has any."""
        self._topology = regions.topology()
        self._faults = regions.faults()

    @property
    def estate_file(self) -> Path:
        """The estate that describes this lab on its default ports. Raises SourcesMissingError."""
        return self._sources() / "regions.yaml"

    def secret_file(self, name: str) -> Path:
        """Where the lab keeps a secret or a conninfo of that name."""
        return self._place.secret_file(name)

    async def up(self, progress: Progress = silent) -> tuple[PartStatus, ...]:
        if self._differs:
            raise PartFailedError(
                f"the lab was started {'with' if self.layout.namespaces else 'without'} network namespaces",
                hint="its databases know each other by those addresses; to begin anew: holdfast lab down, "
                f"then remove {self._place.root}",
            )
        self._place.prepare()
        self._mode.write_text(json.dumps({"namespaces": self.layout.namespaces}), encoding="ascii")
        return await super().up(progress)

    async def down(self, progress: Progress = silent) -> tuple[PartStatus, ...]:
        await super().down(progress)
        await end_whatever_is_left(self._place.root, [self.layout.data(region) for region in REGIONS])
        return await self.status()

    def _started_with(self) -> bool | None:
        """Whether the lab whose content is here has namespaces; None when there is none yet."""
        try:
            return bool(json.loads(self._mode.read_bytes())["namespaces"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
