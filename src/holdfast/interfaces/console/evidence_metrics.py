"""Drills and evidence as figures, by subject: what was measured last, how long ago, if it counts still."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from holdfast.estate.drills import Drill
from holdfast.interfaces.evidence_desk import DrillShown
from holdfast.interfaces.evidence_words import verdict
from holdfast.recovery.evidence import Evidence
from holdfast.recovery.evidence_ports import Grown

NEWEST = 500
"""So much evidence is looked at, for what was measured last."""


def evidence_figures(
    drills: Sequence[DrillShown],
    newest: Sequence[Evidence],
    grown: Grown,
    cluster_of: Callable[[str], str | None],
    now: datetime,
) -> Iterator[str]:
    """Lines of OpenMetrics. `newest`: evidence, the newest first. What nobody knows is left out."""
    standings = [(each.standing, _labels(each.standing.drill, cluster_of)) for each in drills]
    yield from _head("holdfast_drill_age_seconds", "How long ago the last drill passed.", "seconds")
    for it, labels in standings:
        if it.passed_at is not None:
            yield f"holdfast_drill_age_seconds{{{labels}}} {max((now - it.passed_at).total_seconds(), 0):.0f}"
    yield from _head("holdfast_drill_expired", "1 where no drill that passed proves anything any more.")
    for it, labels in standings:
        yield f"holdfast_drill_expired{{{labels}}} {int(it.is_expired)}"
    yield from _measured("rpo", "Recovery point, as it was measured last.", newest, cluster_of)
    yield from _measured("rto", "Recovery time, as it was measured last.", newest, cluster_of)
    yield from _head("holdfast_evidence_entries", "Entries of the log of evidence.")
    yield f"holdfast_evidence_entries {grown.size}"
    yield from _head("holdfast_evidence_not_cosigned", "Entries that no witness has cosigned.")
    yield f"holdfast_evidence_not_cosigned {grown.unseen}"
    yield from _head("holdfast_evidence_newest", f"Of the newest {NEWEST}: how many ended so.")
    ended = Counter((each.scenario, each.drill, verdict(each)) for each in newest)
    for (scenario, drill, how), count in sorted(ended.items()):
        kind = "drill" if drill else "real"
        labels = f'scenario="{_quoted(scenario)}",kind="{kind}",verdict="{how}"'
        yield f"holdfast_evidence_newest{{{labels}}} {count}"


def _measured(
    name: str, text: str, newest: Sequence[Evidence], cluster_of: Callable[[str], str | None]
) -> Iterator[str]:
    full = f"holdfast_evidence_{name}_seconds"
    yield from _head(full, text, "seconds")
    told = set[str]()
    for it in newest:
        measured = (it.rpo if name == "rpo" else it.rto).measured_ms
        labels = _labels(it, cluster_of)
        if measured is not None and labels not in told:
            told.add(labels)
            yield f"{full}{{{labels}}} {measured / 1000:g}"


def _labels(it: Drill | Evidence, cluster_of: Callable[[str], str | None]) -> str:
    subject, scenario, cluster = it.subject, it.scenario, cluster_of(it.subject) or ""
    return f'cluster="{_quoted(cluster)}",subject="{_quoted(subject)}",scenario="{_quoted(scenario)}"'


def _head(name: str, text: str, unit: str = "") -> Sequence[str]:
    units = [f"# UNIT {name} {unit}"] if unit else []
    return [f"# TYPE {name} gauge", *units, f"# HELP {name} {text}"]


def _quoted(text: str) -> str:
    """For a label: no control characters, and no end before its end."""
    plain = "".join(each if each.isprintable() else "?" for each in text[:200])
    return plain.replace("\\", "\\\\").replace('"', '\\"')
