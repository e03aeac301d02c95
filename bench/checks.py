"""1,000 HTTP checks every 10 s by the real controller, beside as many beats by Uptime Kuma's design.

The target is a service in a process of its own whose CPU does not count. Both run at once, in the same
windows, at the same rate, against the same target: what else the machine does meets both.
"""

from collections.abc import Sequence

from bench.controlled import Taken, Watching, controlled, percentile
from bench.estates import Wanted
from bench.kuma import Beats, beats
from bench.probe_cpu import service
from bench.subjects import Options
from bench.table import Measurement, at_most, not_measured

CHECKS = 1_000
EVERY_S = 10
WINDOW_S = 60.0
"""One fold of the roll-ups falls into each window, as into each minute of real life."""


def measure(options: Options) -> Sequence[Measurement]:
    with service() as (port, _, _):
        url = f"http://127.0.0.1:{port}/"
        with beats(url, CHECKS // EVERY_S) as peer:
            window_s = WINDOW_S / 2 if options.quick else WINDOW_S
            watching = Watching(options.runs_beside_peers, window_s, beside=peer.read)
            taken = controlled(Wanted(CHECKS, url=url, every=f"{EVERY_S}s"), watching)
    return [*_of_holdfast(taken), *_of_both(taken, peer)]


def _of_holdfast(taken: Taken) -> Sequence[Measurement]:
    delays = taken.delays
    return [
        Measurement(
            "check judged and stored: CPU",
            "ms",
            taken.together_ms,
            at_most(1.0),
            note=f"{sum(taken.rates) / len(taken.rates):.0f} checks/s",
        ),
        Measurement("  of it the controller", "ms", taken.controller_ms),
        Measurement("  of it PostgreSQL", "ms", taken.postgres_ms),
        Measurement("controller: peak resident memory", "MB", [taken.peak_memory_mb], at_most(250)),
        Measurement(
            "start delay, p99",
            "s",
            [percentile(each, 0.99) for each in delays],
            at_most(1.0),
            note=f"worst {max(map(max, delays)):.3f} s",
        ),
    ]


def _of_both(taken: Taken, peer: Beats) -> Sequence[Measurement]:
    name = "Uptime Kuma's design: CPU per beat"
    if peer.missing:
        return [not_measured(name, peer.missing)]
    spent = []
    for before, after in taken.windows:
        assert before.beside is not None
        assert after.beside is not None
        spent.append(1000 * (after.beside[0] - before.beside[0]) / (after.beside[1] - before.beside[1]))
    ratios = [ours / theirs for ours, theirs in zip(taken.together_ms, spent, strict=True)]
    return [
        Measurement(name, "ms", spent, note="one row, three of statistics; SQLite"),
        Measurement("  a check of Holdfast's by that", "x", ratios, at_most(0.2), note="PostgreSQL included"),
    ]
