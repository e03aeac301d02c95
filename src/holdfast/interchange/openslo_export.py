"""Agreements as OpenSLO v1: a Service for each customer, an SLI and an SLO for each agreement.

An agreement promises a share of time, not of requests: the average of each minute's share is the share of the
time, which OpenSLO calls RatioTimeslices. What OpenSLO has no field for stands in annotations `holdfast/...`,
from which `import openslo` makes the same agreement again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from holdfast.availability.sla import FORMULA
from holdfast.estate.model import Agreement, Estate
from holdfast.interchange.errors import NothingError
from holdfast.interchange.lines import one_line
from holdfast.interchange.openslo_windows import time_window
from holdfast.interchange.report import Remark, Report
from holdfast.interchange.writing import yaml_documents
from holdfast.kernel.durations import format_duration

API_VERSION = "openslo/v1"
SOURCE_TYPE = "Holdfast"
PREFIX = "holdfast/"
LONGEST_DISPLAY_NAME = 63


@dataclass(frozen=True, slots=True)
class Exported:
    """The documents' text, how many SLOs are in it, and what could not be said."""

    text: str
    slos: int
    remarks: tuple[Remark, ...]


def export_openslo(estate: Estate, source: str, at: datetime) -> Exported:
    """The estate's agreements. Raises NothingError when there is none that could be said."""
    report = Report()
    customers: dict[str, Mapping[str, Any]] = {}
    objects: list[Mapping[str, Any]] = []
    for key, agreement in estate.agreements.items():
        path = f"agreements.{key}"
        if agreement.objective >= 100:
            report.left_out(path, "an objective of 100 %", "OpenSLO's targets are below 100 %")
            continue
        customers[agreement.customer] = _service(agreement.customer, estate, report)
        objects += [_sli(key, agreement, report), _slo(key, agreement, report)]
        if agreement.report_link is not None:
            report.left_out(f"{path}.report_link", "the report's link", "OpenSLO has no field for it")
    if not objects:
        hint = "declare agreements in the estate first"
        raise NothingError(f"{source} has no agreement to export", remarks=report.remarks, hint=hint)
    header = (f"Exported from Holdfast ({one_line(source, 200)}) on {at:%Y-%m-%d %H:%M} UTC.",)
    text = yaml_documents([*customers.values(), *objects], header)
    return Exported(text, len(objects) // 2, report.remarks)


def _service(customer: str, estate: Estate, report: Report) -> Mapping[str, Any]:
    name = estate.customers[customer].name
    return {
        "apiVersion": API_VERSION,
        "kind": "Service",
        "metadata": _metadata(f"customers.{customer}.name", customer, name, report),
        "spec": {},
    }


def _sli(key: str, agreement: Agreement, report: Report) -> Mapping[str, Any]:
    def measured(what: str) -> Mapping[str, Any]:
        spec = {
            "components": list(agreement.components),
            "combine": agreement.combine,
            "measure": what,
            "formula": FORMULA,
        }
        return {"metricSource": {"type": SOURCE_TYPE, "spec": spec}}

    ratio = {"counter": False, "good": measured("weighted up time"), "total": measured("counted time")}
    return {
        "apiVersion": API_VERSION,
        "kind": "SLI",
        "metadata": _metadata(f"agreements.{key}.name", key, agreement.name, report),
        "spec": {"description": f"Availability by the formula {FORMULA}.", "ratioMetric": ratio},
    }


def _slo(key: str, agreement: Agreement, report: Report) -> Mapping[str, Any]:
    path = f"agreements.{key}"
    metadata = _metadata(f"{path}.name", key, agreement.name, report)
    metadata["annotations"] = dict(_annotations(agreement))
    objective = {
        "displayName": f"Availability of at least {agreement.objective} %",
        "targetPercent": agreement.objective,
        "timeSliceWindow": "1m",
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "SLO",
        "metadata": metadata,
        "spec": {
            "service": agreement.customer,
            "indicatorRef": key,
            "timeWindow": [time_window(f"{path}.window", agreement, report)],
            "budgetingMethod": "RatioTimeslices",
            "objectives": [objective],
        },
    }


def _annotations(agreement: Agreement) -> Iterator[tuple[str, str]]:
    """Every term that OpenSLO has no field for, as text."""
    yield f"{PREFIX}customer", agreement.customer
    yield f"{PREFIX}components", ", ".join(agreement.components)
    yield f"{PREFIX}combine", agreement.combine
    yield f"{PREFIX}unknown", agreement.unknown
    yield f"{PREFIX}notice", format_duration(agreement.notice)
    if isinstance(agreement.window, timedelta):
        yield f"{PREFIX}time-zone", agreement.time_zone
    if agreement.credits:
        tiers = (f"{_exact(tier.below)}={_exact(tier.credit)}" for tier in agreement.credits)
        yield f"{PREFIX}credits", ", ".join(tiers)
    for name, length in (("rpo", agreement.rpo), ("rto", agreement.rto)):
        if length is not None:
            yield f"{PREFIX}{name}", format_duration(length)


def _metadata(path: str, key: str, name: str, report: Report) -> dict[str, Any]:
    shown = one_line(name, LONGEST_DISPLAY_NAME)
    if shown != name:
        why = f"a display name has at most {LONGEST_DISPLAY_NAME} characters"
        report.changed(path, "the name", why, f"shown as `{shown}`")
    return {"name": key, "displayName": shown}


def _exact(number: Decimal) -> str:
    return format(number, "f")
