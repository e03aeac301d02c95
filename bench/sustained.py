"""20,000 checks a minute by the real controller on one core: start delays, and memory for each check.

PostgreSQL and the target are kept on the other core. The same rate twice: many checks a minute, and fewer
more often. The memory that a check takes is the slope from 1,000 to 11,000 checks, in two controllers.
"""

import os
from collections.abc import Sequence

from bench.controlled import Taken, Watching, controlled, percentile
from bench.estates import Wanted
from bench.probe_cpu import service
from bench.subjects import Options
from bench.table import Measurement, at_least, at_most

CHECKS_EACH = 10
"""So that the estate stays below what a file may have: 4 MiB, and 250,000 keys and values."""
SHAPES = ((20_000, 60), (3_340, 10))
"""Checks, and seconds between the runs of each."""
A_MINUTE = 20_000
FEW, MANY = 1_000, 11_000


def measure(options: Options) -> Sequence[Measurement]:
    measured: list[Measurement] = []
    with service(core=(os.cpu_count() or 1) - 1) as (port, _, _):
        url = f"http://127.0.0.1:{port}/"
        for checks, every_s in SHAPES:
            watching = Watching(options.runs, 60.0, warm_up_s=60.0, on_one_core=True)
            taken = controlled(_estate(checks, url, every_s), watching)
            measured += _rows(taken, f"{checks:,} checks every {every_s} s on one core")
        measured.append(_memory(url))
    return measured


def _estate(checks: int, url: str, every_s: int) -> Wanted:
    return Wanted(checks // CHECKS_EACH, url=url, every=f"{every_s}s", checks_each=CHECKS_EACH)


def _rows(taken: Taken, name: str) -> Sequence[Measurement]:
    delays = taken.delays
    cores = [
        (after.controller_s - before.controller_s) / (after.at - before.at).total_seconds()
        for before, after in taken.windows
    ]
    return [
        # A run or two may fall just outside of a minute.
        Measurement(
            f"{name}: stored", "/min", [60 * rate for rate in taken.rates], at_least(0.995 * A_MINUTE)
        ),
        Measurement(
            "  start delay, p99",
            "s",
            [percentile(each, 0.99) for each in delays],
            at_most(1.0),
            note=f"worst {max(map(max, delays)):.3f} s",
        ),
        Measurement("  CPU per check, PostgreSQL included", "ms", taken.together_ms),
        Measurement("  share of the core", "", cores, note=f"peak memory {taken.peak_memory_mb:.0f} MB"),
    ]


def _memory(url: str) -> Measurement:
    taken = [
        controlled(_estate(checks, url, 60), Watching(1, 30.0, warm_up_s=60.0)) for checks in (FEW, MANY)
    ]
    now, peak = (
        1000 * (getattr(taken[1], field) - getattr(taken[0], field)) / (MANY - FEW)
        for field in ("memory_mb", "peak_memory_mb")
    )
    return Measurement(
        f"memory per check, from {FEW:,} to {MANY:,}",
        "kB",
        [now],
        at_most(100),
        note=f"at its peak {peak:.1f}",
    )
