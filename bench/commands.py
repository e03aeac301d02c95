"""How long the command line takes to answer, as whole processes."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.processes import timed
from bench.subjects import Options
from bench.table import Measurement, at_most

TIMES = 10


def measure(_: Options) -> Sequence[Measurement]:
    program = str(Path(sys.executable).with_name("holdfast"))
    timed([program, "--help"])  # the first one compiles and fills the disk cache
    return [
        Measurement("holdfast --help", "s", [timed([program, "--help"]) for _ in range(TIMES)], at_most(0.3)),
        Measurement("holdfast --version", "s", [timed([program, "--version"]) for _ in range(TIMES)]),
    ]
