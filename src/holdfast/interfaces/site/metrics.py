"""`/metrics` in OpenMetrics 1.0: what a monitoring system wants to know of the site and of what it shows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.availability.views import Overview
from holdfast.interfaces.site.publisher import Counts, Edition
from holdfast.interfaces.site.responses import Answer
from holdfast.interfaces.site.wording import Shown, all_components, shown

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(frozen=True, slots=True)
class CopyAge:
    """A static copy: how old what it shows is (None: it was never written), and failures since."""

    region: str
    to: str
    age_s: float | None
    failures: int


def copy_ages(copies: Sequence[CopyAge]) -> Iterator[str]:
    """The lines about the copies; none where there are no copies."""
    if not copies:
        return
    named = [(f'region="{_quoted(each.region)}",to="{_quoted(each.to)}"', each) for each in copies]
    yield from _head("holdfast_site_copy_age_seconds", "gauge", "Age of what a static copy shows.", "seconds")
    for labels, each in named:
        if each.age_s is not None:
            yield f"holdfast_site_copy_age_seconds{{{labels}}} {each.age_s:.3f}"
    yield from _head(
        "holdfast_site_copy_failing", "gauge", "Failures to write a static copy since it was last written."
    )
    for labels, each in named:
        yield f"holdfast_site_copy_failing{{{labels}}} {each.failures}"


def metrics(
    edition: Edition,
    counts: Counts,
    requests: Counter[tuple[str, int]],
    streams: int,
    now: datetime,
    copies: Sequence[CopyAge] = (),
) -> Answer:
    """The whole exposition. While the database is away, component states are left out: they would be old."""
    lines = [*_site(edition, counts, requests, streams, now), *copy_ages(copies)]
    if edition.snapshot and not edition.away:
        lines += _components(edition.snapshot.overview)
    lines.append("# EOF\n")
    return Answer("\n".join(lines), CONTENT_TYPE, cache="no-store")


def _site(
    edition: Edition, counts: Counts, requests: Counter[tuple[str, int]], streams: int, now: datetime
) -> Iterator[str]:
    if edition.snapshot:
        yield from _head(
            "holdfast_site_snapshot_age_seconds", "gauge", "Age of what the site shows.", "seconds"
        )
        age_s = max(0.0, (now - edition.snapshot.at).total_seconds())
        yield f"holdfast_site_snapshot_age_seconds {age_s:.3f}"
    yield from _head(
        "holdfast_site_database_away", "gauge", "1 while the site answers from its last snapshot."
    )
    yield f"holdfast_site_database_away {int(edition.away)}"
    yield from _head("holdfast_site_event_streams", "gauge", "Open event streams.")
    yield f"holdfast_site_event_streams {streams}"
    yield from _head("holdfast_site_renders", "counter", "Times that the snapshot was rendered.")
    yield f"holdfast_site_renders_total {counts.renders}"
    yield from _head("holdfast_site_failures", "counter", "Failures to read, render or store the snapshot.")
    for step, count in (
        ("read", counts.read_failures),
        ("render", counts.render_failures),
        ("store", counts.store_failures),
    ):
        yield f'holdfast_site_failures_total{{step="{step}"}} {count}'
    yield from _head("holdfast_site_requests", "counter", "Requests by kind of page and status.")
    for (kind, status), count in sorted(requests.items()):
        yield f'holdfast_site_requests_total{{page="{kind}",status="{status}"}} {count}'


def _components(overview: Overview) -> Iterator[str]:
    everything = [
        (f'cluster="{_quoted(cluster.key)}",component="{_quoted(each.status.key)}"', each)
        for cluster, each in all_components(overview)
    ]
    yield from _head("holdfast_component_state", "stateset", "The state that the site shows.")
    for labels, each in everything:
        for state in Shown:
            is_it = int(shown(each.status) is state)
            yield f'holdfast_component_state{{{labels},holdfast_component_state="{state.label}"}} {is_it}'
    yield from _head(
        "holdfast_component_availability_ratio", "gauge", "Availability over the window.", "ratio"
    )
    for labels, each in everything:
        if (share := each.figure.availability) is not None:
            window = f'window="{len(each.days)}d",formula="{_quoted(each.figure.formula)}"'
            yield f"holdfast_component_availability_ratio{{{labels},{window}}} {float(share):.9f}"


def _head(name: str, kind: str, text: str, unit: str = "") -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {text}"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
