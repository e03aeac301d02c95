"""Reading an estate file. For information: nothing is promised about it, but every reload pays it."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.estates import Wanted, estate_text
from bench.subjects import Options
from bench.table import Measurement
from holdfast.bootstrap.estates import read_estate

COMPONENTS = 2_000


def measure(options: Options) -> Sequence[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "holdfast.yaml"
        path.write_text(estate_text(Wanted(COMPONENTS)), encoding="utf-8")
        times = []
        for _ in range(options.runs):
            began = time.perf_counter()
            read_estate(path)
            times.append(time.perf_counter() - began)
        lines = len(path.read_text(encoding="utf-8").splitlines())
    return [Measurement("estate of 2,000 components read", "s", times, note=f"{lines:,} lines")]
