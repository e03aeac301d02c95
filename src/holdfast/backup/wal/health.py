"""Whether a region takes what it is given, and since when not."""

from collections.abc import Callable, Mapping

from holdfast.kernel.clock import Clock

Events = Callable[[str, Mapping[str, object]], None]


class Health:
    """Of one region. Each change is told once. From any thread."""

    def __init__(self, region: str, clock: Clock, on_event: Events) -> None:
        self.error = ""
        """What went wrong last; empty when all is well."""
        self._region = region
        self._clock = clock
        self._on_event = on_event
        self._failing_since: float | None = None

    @property
    def failing_for_s(self) -> float | None:
        """None when all is well."""
        since = self._failing_since
        return None if since is None else self._clock.monotonic() - since

    def failed(self, text: str) -> None:
        self.error = text
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()
            self._on_event("region_failed", {"region": self._region, "error": text})

    def well(self) -> None:
        if self._failing_since is not None:
            self._failing_since = None
            self.error = ""
            self._on_event("region_well_again", {"region": self._region})
