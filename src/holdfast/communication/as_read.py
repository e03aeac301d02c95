"""Steps for somebody who read one version of something, and means that one."""

from dataclasses import dataclass

from holdfast.communication.errors import ChangedMeanwhile


@dataclass(frozen=True, slots=True)
class AsRead:
    """What was read: which one, and in which version."""

    id: str
    version: int

    def check(self, found_id: str, version: int) -> None:
        """Raises ChangedMeanwhile when it is another version by now."""
        if found_id == self.id and version != self.version:
            raise ChangedMeanwhile(
                f"{found_id} was changed since it was read", hint="look at what it says now, then decide anew"
            )
