"""How long the two-region lab takes from nothing to a synchronous standby, and what it weighs."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.two_regions import TwoRegions

from bench.subjects import Options
from bench.table import Measurement, Target

ROUNDS = 10
READY_S = Target("at most", 60)
MEMORY_MB = Target("at most", 1500)


def measure(options: Options) -> Sequence[Measurement]:
    """Each run makes a lab of its own, and ends it: also when it is interrupted."""
    ups, downs, weights = [], [], []
    for _ in range(1 if options.quick else max(ROUNDS, options.runs)):
        with tempfile.TemporaryDirectory(prefix="holdfast-lab-") as folder:
            lab = TwoRegions(Path(folder) / "regions")
            up, weight, down = asyncio.run(_once(lab))
            ups.append(up)
            weights.append(weight)
            downs.append(down)
    return [
        Measurement("lab: from nothing to two regions in step", "s", ups, READY_S),
        Measurement("lab: memory, shared pages counted once", "MB", weights, MEMORY_MB),
        Measurement("lab: down, nothing left", "s", downs),
    ]


async def _once(lab: TwoRegions) -> tuple[float, float, float]:
    try:
        began = time.monotonic()
        await lab.lab.up()
        await lab.paired()
        up = time.monotonic() - began
        weight = lab.memory_bytes() / 1e6
        began = time.monotonic()
    finally:
        await lab.again().down()
    down = time.monotonic() - began
    if left := lab.processes():
        raise RuntimeError(f"something is left: {left}")
    return up, weight, down
