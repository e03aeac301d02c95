"""One line per figure: what was measured, against which target, and whether it holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

HEADINGS = ("", "target", "median", "min .. max", "", "")


@dataclass(frozen=True, slots=True)
class Target:
    """A bound that a figure must keep, in the figure's own unit."""

    kind: Literal["at most", "at least"]
    bound: float

    def holds(self, value: float) -> bool:
        return value <= self.bound if self.kind == "at most" else value >= self.bound


@dataclass(frozen=True, slots=True)
class Measurement:
    """A figure that was measured several times. It is judged by its median; without a target, not at all."""

    name: str
    unit: str
    values: Sequence[float]
    target: Target | None = None
    note: str = ""
    missing: str = ""
    """Why nothing was measured, when it was not."""

    def __post_init__(self) -> None:
        if not self.values and not self.missing:
            raise ValueError(f"{self.name}: nothing was measured")

    @property
    def median(self) -> float | None:
        return median(self.values) if self.values else None

    @property
    def ok(self) -> bool | None:
        """None where there is no target, or nothing was measured."""
        middle = self.median
        return None if self.target is None or middle is None else self.target.holds(middle)

    def as_json(self) -> dict[str, object]:
        target = None if self.target is None else {"kind": self.target.kind, "bound": self.target.bound}
        return {
            "name": self.name,
            "unit": self.unit,
            "target": target,
            "median": self.median,
            "min": min(self.values, default=None),
            "max": max(self.values, default=None),
            "values": list(self.values),
            "ok": self.ok,
            "note": self.note,
            "missing": self.missing,
        }


def at_most(bound: float) -> Target:
    return Target("at most", bound)


def at_least(bound: float) -> Target:
    return Target("at least", bound)


def not_measured(name: str, why: str, target: Target | None = None) -> Measurement:
    return Measurement(name, "", (), target, missing=why)


def number(value: float) -> str:
    """Three digits that count, and no more decimals than they need."""
    if value and abs(value) < 10:
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def table(measurements: Iterable[Measurement]) -> str:
    """The measurements as text in columns, ending with a line end."""
    rows = [HEADINGS, *map(_cells, measurements)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = []
    for name, target, middle, spread, verdict, note in rows:
        cells = (
            name.ljust(widths[0]),
            target.rjust(widths[1]),
            middle.rjust(widths[2]),
            spread.rjust(widths[3]),
            verdict.ljust(widths[4]),
            note,
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def _cells(each: Measurement) -> tuple[str, str, str, str, str, str]:
    sign = {"at most": "<=", "at least": ">="}
    target = (
        f"{sign[each.target.kind]} {number(each.target.bound)} {each.unit}".rstrip() if each.target else ""
    )
    if each.median is None:
        return each.name, target, "not measured", "", "", each.missing
    low, high = number(min(each.values)), number(max(each.values))
    spread = f"{low} .. {high}" if len(each.values) > 1 else ""
    verdict = {True: "ok", False: "SHORT", None: ""}[each.ok]
    return each.name, target, f"{number(each.median)} {each.unit}", spread, verdict, each.note
