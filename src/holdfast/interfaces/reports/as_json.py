"""A report as JSON, in a form that stays: `holdfast-report-1` (docs/reports.md).

Times are RFC 3339 in UTC, lengths in seconds, percentages text with the digits that they have. Fields may be
added under this name; a change of what one means gets a new name.
"""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from holdfast.availability.freezing import FrozenMonth
from holdfast.availability.review import MonthLine, Part, Planned, Review, Trouble
from holdfast.availability.sla import MEASURED, Budget, Figure, Terms, percent_text
from holdfast.availability.views import Sample
from holdfast.communication.model import Incident
from holdfast.interfaces.reports.model import Downtime, Report
from holdfast.kernel.windows import MICROSECOND, Window

FORMAT = "holdfast-report-1"


def as_json(report: Report) -> bytes:
    """The document, indented, with a line end."""
    return msgspec.json.format(msgspec.json.encode(plain(report)), indent=2) + b"\n"


def plain(report: Report) -> dict[str, Any]:
    """The document as plain values."""
    review = report.review
    made = review.statement
    return {
        "format": FORMAT,
        "subject": {
            "kind": review.subject.value,
            "key": review.key,
            "name": review.name,
            "customer": {"key": review.customer, "name": review.customer_name} if review.customer else None,
        },
        **_window(review.window),
        "counted_to": _time(review.elapsed.end),
        "time_zone": review.time_zone,
        "made_at": _time(review.at),
        "formula": review.figure.formula,
        "sample": review.sample,
        "figure": _figure(review.figure),
        "objective_percent": str(made.terms.objective) if made else None,
        "met": made.met if made else None,
        "budget": _budget(made.budget) if made else None,
        "credit_percent": str(made.credit) if made and review.has_credit else None,
        "terms": _terms(made.terms) if made else None,
        "components": [_part(each) for each in review.parts],
        "months": [_month(each) for each in review.months],
        "downtimes": [_downtime(each) for each in report.downtimes],
        "unknown": [_trouble(each) for each in report.unknown],
        "maintenance": [_planned(each) for each in review.planned],
        "latency": _latency(review),
        "frozen": [_frozen(each) for each in review.frozen],
    }


def key_of(part: Part) -> str:
    return f"{part.cluster_key}/{part.key}"


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _s(length: timedelta) -> float:
    return length.total_seconds()


def _window(window: Window) -> dict[str, str]:
    return {"from": _time(window.start), "to": _time(window.end)}


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "availability_percent": percent_text(figure.availability, 5),
        "counted_s": _s(figure.counted),
        "weighted_downtime_s": _s(figure.downtime),
        "excluded_maintenance_s": _s(figure.tally.excluded),
        **{f"{state.label}_s": _s(figure.tally.of(state)) for state in MEASURED},
    }


def _budget(budget: Budget) -> dict[str, float]:
    return {"allowed_s": _s(budget.allowed), "spent_s": _s(budget.spent), "left_s": _s(budget.left)}


def _terms(terms: Terms) -> dict[str, Any]:
    return {
        "combine": terms.combine,
        "unknown": terms.unknown,
        "notice_s": _s(terms.notice),
        "credits": [
            {"below_percent": str(each.below), "credit_percent": str(each.credit)} for each in terms.credits
        ],
    }


def _part(part: Part) -> dict[str, Any]:
    return {"key": key_of(part), "name": part.name, "figure": _figure(part.figure)}


def _month(line: MonthLine) -> dict[str, Any]:
    return {
        "month": f"{line.first:%Y-%m}",
        **_window(line.window),
        "complete": line.whole,
        "figure": _figure(line.figure),
        "met": line.met,
        "budget": _budget(line.budget) if line.budget else None,
        "credit_percent": None if line.credit is None else str(line.credit),
        "intervals_sha256": line.frozen.intervals_sha256 if line.frozen else None,
    }


def _trouble(trouble: Trouble) -> dict[str, Any]:
    event = trouble.event
    return {
        "component": key_of(trouble.part),
        "state": event.state.label,
        **_window(event.window),
        "duration_s": _s(event.duration),
        "excluded_maintenance_s": _s(trouble.excluded),
        "reason": event.reason,
        "because_of": [f"{each.cluster_key}/{each.key}" for each in event.because_of],
        "sample": event.sample,
    }


def _downtime(downtime: Downtime) -> dict[str, Any]:
    return {**_trouble(downtime.trouble), "incident": _incident(downtime.incident)}


def _incident(incident: Incident | None) -> dict[str, Any] | None:
    if incident is None:
        return None
    return {
        "id": incident.id,
        "title": incident.title,
        "impact": incident.impact.value,
        "phase": incident.phase.value,
        "began_at": _time(incident.began_at),
        "resolved_at": _time(incident.resolved_at) if incident.resolved_at else None,
    }


def _planned(planned: Planned) -> dict[str, Any]:
    each = planned.maintenance
    return {
        "title": each.title,
        **_window(each.window),
        "announced_at": _time(each.announced_at),
        "cancelled_at": _time(each.cancelled_at) if each.cancelled_at else None,
        "counting": planned.counting.value,
        "components": [key_of(part) for part in planned.parts],
    }


def _latency(review: Review) -> dict[str, Any]:
    return {
        "step_s": _s(review.step),
        "components": {key_of(part): [_sample(each) for each in part.latency] for part in review.parts},
    }


def _sample(sample: Sample) -> dict[str, Any]:
    def ms(value: float | None) -> float | None:
        return None if value is None else round(value / 1000, 3)

    return {
        "at": _time(sample.at),
        "p50_ms": ms(sample.p50_us),
        "p95_ms": ms(sample.p95_us),
        "p99_ms": ms(sample.p99_us),
        "checks": sample.good + sample.degraded + sample.failed,
        "failed": sample.failed,
    }


def _frozen(row: FrozenMonth) -> dict[str, Any]:
    total = row.figures["total"]
    return {
        "id": row.id,
        "month": row.month,
        "frozen_at": _time(row.frozen_at) if row.frozen_at else None,
        "formula": row.formula,
        "availability_percent": total["availability_percent"],
        "weighted_downtime_s": _s(total["downtime_us"] * MICROSECOND),
        "unknown_s": _s(total["unknown_us"] * MICROSECOND),
        "credit_percent": row.figures["credit_percent"],
        "met": row.figures["met"],
        "intervals_sha256": row.intervals_sha256,
        "corrects": row.corrects,
        "sample": row.figures["sample"],
    }
