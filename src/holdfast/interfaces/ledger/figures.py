"""What this process has done since it began, as OpenMetrics 1.0 at `/metrics`.

It tells no tenant and no source: who may reach the address may read it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.ledger.model import Acknowledged

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Figures:
    """Counted while it runs. `gauges` are asked when somebody wants to know."""

    requests: Counter[int] = field(default_factory=Counter)
    """By HTTP status."""
    records: Counter[str] = field(default_factory=Counter)
    """By what became of them: taken, repeated, conflict, refused."""
    one_region: int = 0
    """Requests that were acknowledged as in one region."""
    received_bytes: int = 0
    took_s: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    took_sum_s: float = 0.0
    gauges: dict[str, tuple[str, Callable[[], float]]] = field(default_factory=dict)
    """By name: its help, and what it is now."""

    def acknowledged(self, given: Acknowledged, two_regions: bool) -> None:
        for name, stretches in (
            ("taken", given.taken),
            ("repeated", given.repeated),
            ("conflict", given.conflicts),
        ):
            self.records[name] += sum(each.last - each.first + 1 for each in stretches)
        self.records["refused"] += len(given.refused)
        self.one_region += not two_regions

    def answered(self, status: int, took_s: float) -> None:
        self.requests[status] += 1
        at = next((n for n, bound in enumerate(BOUNDS_S) if took_s <= bound), len(BOUNDS_S))
        self.took_s[at] += 1
        self.took_sum_s += took_s

    def lines(self) -> list[str]:
        """The exposition, without its end."""
        found = [
            *_head("holdfast_ledger_requests", "counter", "Requests to POST /v1/records."),
            *(
                f'holdfast_ledger_requests_total{{status="{status}"}} {count}'
                for status, count in sorted(self.requests.items())
            ),
            *_head("holdfast_ledger_records", "counter", "Records, by what became of them."),
            *(
                f'holdfast_ledger_records_total{{outcome="{name}"}} {self.records[name]}'
                for name in ("taken", "repeated", "conflict", "refused")
            ),
            *_head("holdfast_ledger_one_region_requests", "counter", "Acknowledged in one region."),
            f"holdfast_ledger_one_region_requests_total {self.one_region}",
            *_head("holdfast_ledger_received_bytes", "counter", "Of bodies, as they came."),
            f"holdfast_ledger_received_bytes_total {self.received_bytes}",
            *_head("holdfast_ledger_request_seconds", "histogram", "From the head to the answer."),
        ]
        total = 0
        for bound, count in zip(BOUNDS_S, self.took_s, strict=False):
            total += count
            found.append(f'holdfast_ledger_request_seconds_bucket{{le="{bound}"}} {total}')
        total += self.took_s[-1]
        found += [
            f'holdfast_ledger_request_seconds_bucket{{le="+Inf"}} {total}',
            f"holdfast_ledger_request_seconds_count {total}",
            f"holdfast_ledger_request_seconds_sum {self.took_sum_s:.6f}",
        ]
        for name, (told, now) in self.gauges.items():
            found += [*_head(name, "gauge", told), f"{name} {now():g}"]
        return found


def _head(name: str, kind: str, told: str) -> tuple[str, str]:
    return f"# TYPE {name} {kind}", f"# HELP {name} {told}"
