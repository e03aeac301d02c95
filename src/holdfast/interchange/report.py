"""The report: what of a source has no counterpart, and what was done instead."""

from dataclasses import dataclass, field
from enum import Enum

from holdfast.interchange.lines import one_line
from holdfast.interchange.naming import variable

LONGEST = 240


class Kind(Enum):
    """What became of the part."""

    LEFT_OUT = "left out"
    CHANGED = "changed"
    REFERENCE = "reference"
    """Taken over as a reference; the operator has to provide the secret itself."""
    NOTE = "note"
    """Nothing is missing; worth knowing."""


UNSUPPORTED = (Kind.LEFT_OUT, Kind.CHANGED)


@dataclass(frozen=True, slots=True)
class Remark:
    """One part of the source: where it stands, what it is, why it cannot be, what was done instead."""

    kind: Kind
    path: str
    what: str
    why: str
    instead: str = ""

    def as_text(self) -> str:
        """`endpoints[2].alerts: 2 alerts: routed elsewhere; left out`."""
        done = self.instead or self.kind.value
        return f"{self.path}: {self.what}: {self.why}; {done}"

    def as_json(self) -> dict[str, str]:
        return {
            "kind": self.kind.value,
            "path": self.path,
            "what": self.what,
            "why": self.why,
            "instead": self.instead,
        }


@dataclass(slots=True)
class Report:
    """Remarks as they come up, in the order of the source, each once."""

    _remarks: dict[Remark, None] = field(default_factory=dict)
    _variables: dict[str, str] = field(default_factory=dict)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        return tuple(self._remarks)

    def variable(self, owner: str, *words: str) -> str:
        """An environment variable named after `words`, for the part at `owner` alone.

        Two parts of one name must not share a secret: what is meant for one would be sent to the other.
        """
        name = candidate = variable(*words)
        count = 1
        while self._variables.setdefault(candidate, owner) != owner:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def left_out(self, path: str, what: str, why: str, instead: str = "") -> None:
        self._add(Kind.LEFT_OUT, path, what, why, instead)

    def changed(self, path: str, what: str, why: str, instead: str) -> None:
        self._add(Kind.CHANGED, path, what, why, instead)

    def secret(self, path: str, what: str, instead: str) -> None:
        self._add(Kind.REFERENCE, path, what, "the estate holds secrets by reference only", instead)

    def note(self, path: str, what: str, why: str) -> None:
        self._add(Kind.NOTE, path, what, why, "nothing to do")

    def _add(self, kind: Kind, path: str, what: str, why: str, instead: str) -> None:
        texts = (one_line(text, LONGEST) for text in (path, what, why, instead))
        self._remarks[Remark(kind, *texts)] = None


def unsupported(remarks: tuple[Remark, ...]) -> int:
    """How many remarks are about something that could not be taken over as it was."""
    return sum(remark.kind in UNSUPPORTED for remark in remarks)
