"""What can be measured, by name. A subject is loaded when it is measured: listing them costs nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from bench.table import Measurement

FOLDER = Path(__file__).parent / ".data"
"""What benches keep between runs, and where their servers live."""


@dataclass(frozen=True, slots=True)
class Options:
    """How thoroughly to measure. `quick` is for trying a change: shorter windows, a smaller year."""

    runs: int = 3
    quick: bool = False

    @property
    def runs_beside_peers(self) -> int:
        """Comparisons are medians of at least five, but for a quick look."""
        return self.runs if self.quick else max(5, self.runs)


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to measure; `bench.NAME` has a `measure` that does it."""

    name: str
    what: str

    def measure(self, options: Options) -> Sequence[Measurement]:
        measure = import_module(f"bench.{self.name}").measure
        return cast("Callable[[Options], Sequence[Measurement]]", measure)(options)


SUBJECTS = (
    Subject("commands", "how long `holdfast --help` and `holdfast --version` take"),
    Subject("loading", "reading an estate file of 2,000 components"),
    Subject("probing", "CPU of one HTTP check, probe and judgement alone"),
    Subject("blackbox", "CPU of one HTTP check beside that of prometheus-blackbox-exporter"),
    Subject(
        "checks", "1,000 HTTP checks every 10 s, beside Uptime Kuma's design: CPU per check, start delay"
    ),
    Subject("sustained", "20,000 checks a minute on one core: start delay, memory per check"),
    Subject("reading", "a year of 2,000 components: agreement report, component page"),
    Subject("overall", "the overall page of 50 components: requests per second, size"),
    Subject("declaring", "an incident from the console's button to the page, the feed and 10,000 deliveries"),
    Subject("findgood", "the wrong commit among 40,000, found by holdfast find-good"),
    Subject("backups", "backups and restores of 2 GB beside pgBackRest, Barman and cp -r"),
    Subject("syncing", "commits per second with a receiver of WAL, beside none and pg_receivewal"),
    Subject("ledger", "the ledger's intake beside raw COPY of the same records; what it keeps on disk"),
    Subject("ledger_regions", "the ledger's intake with a second region at 60 ms"),
    Subject("ledger_reports", "reports over 10 million records, from roll-ups and from raw rows"),
    Subject("ledger_proofs", "inclusion proofs out of 10 million leaves, nothing in memory"),
    Subject("lab", "the two-region lab: until it is ready, what it weighs"),
    Subject("recovery_region", "a lost region, until a user's write is acknowledged in the other one"),
    Subject("recovery_runs", "how long until a dead replica's run goes on in another one"),
    Subject("mailing", "an incident to 10,000 subscribers by mail, the sender killed twice"),
)
