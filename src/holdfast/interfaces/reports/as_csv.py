"""A report as one table (RFC 4180): every line is a record of the kind that its first column names.

    report, component, month, downtime, unknown, maintenance, latency, frozen

So any tool can filter it, and nothing has to be taken apart. Columns that a kind has no use for are empty.
Times are RFC 3339 in UTC, lengths in seconds, a percentage has a point. The file is UTF-8 without a mark.

A text that a spreadsheet would take for a formula gets an apostrophe in front: a cell never acts.
"""

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from holdfast.interfaces.reports.as_json import plain
from holdfast.interfaces.reports.model import Report

COLUMNS = (
    "record",
    "key",
    "name",
    "customer",
    "from",
    "to",
    "state",
    "availability_percent",
    "objective_percent",
    "met",
    "counted_s",
    "weighted_downtime_s",
    "unknown_s",
    "excluded_maintenance_s",
    "duration_s",
    "budget_allowed_s",
    "budget_spent_s",
    "budget_left_s",
    "credit_percent",
    "incident",
    "incident_title",
    "reason",
    "because_of",
    "announced_at",
    "counting",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "checks",
    "failed",
    "sha256",
    "corrects",
    "formula",
    "time_zone",
    "made_at",
    "sample",
)
_ACTING = ("=", "+", "-", "@", "\t", "\r", "\n")

Record = Mapping[str, Any]


def as_csv(report: Report) -> bytes:
    """The table, its lines ended by CR LF."""
    out = StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for record in _records(plain(report)):
        writer.writerow({name: _cell(value) for name, value in record.items()})
    return out.getvalue().encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_ACTING) else text


def _records(whole: Record) -> Iterator[Record]:
    subject = whole["subject"]
    yield {
        "record": "report",
        "key": subject["key"],
        "name": subject["name"],
        "customer": subject["customer"] and subject["customer"]["name"],
        "from": whole["from"],
        "to": whole["to"],
        **_figure(whole["figure"]),
        **_budget(whole["budget"]),
        **{name: whole[name] for name in ("objective_percent", "met", "credit_percent")},
        **{name: whole[name] for name in ("formula", "time_zone", "made_at", "sample")},
    }
    for each in whole["components"]:
        yield {
            "record": "component",
            "key": each["key"],
            "name": each["name"],
            "from": whole["from"],
            "to": whole["counted_to"],
            **_figure(each["figure"]),
        }
    for each in whole["months"]:
        yield {
            "record": "month",
            "key": each["month"],
            "from": each["from"],
            "to": each["to"],
            **_figure(each["figure"]),
            **_budget(each["budget"]),
            "met": each["met"],
            "credit_percent": each["credit_percent"],
            "sha256": each["intervals_sha256"],
        }
    yield from _happened(whole)
    yield from _measured(whole)


def _happened(whole: Record) -> Iterator[Record]:
    for kind, troubles in (("downtime", whole["downtimes"]), ("unknown", whole["unknown"])):
        for each in troubles:
            incident = each.get("incident")
            declared = {} if kind == "unknown" else {"incident": "none declared"}
            if incident is not None:
                declared = {"incident": incident["id"], "incident_title": incident["title"]}
            yield {
                "record": kind,
                "key": each["component"],
                "because_of": " ".join(each["because_of"]),
                **{name: each[name] for name in ("from", "to", "state", "duration_s")},
                **{name: each[name] for name in ("excluded_maintenance_s", "reason", "sample")},
                **declared,
            }
    for each in whole["maintenance"]:
        yield {
            "record": "maintenance",
            "key": " ".join(each["components"]),
            "name": each["title"],
            **{name: each[name] for name in ("from", "to", "announced_at", "counting")},
        }


def _measured(whole: Record) -> Iterator[Record]:
    for key, samples in whole["latency"]["components"].items():
        for each in samples:
            figures = {name: each[name] for name in ("p50_ms", "p95_ms", "p99_ms", "checks", "failed")}
            yield {"record": "latency", "key": key, "from": each["at"], **figures}
    for each in whole["frozen"]:
        yield {
            "record": "frozen",
            "key": each["month"],
            "from": each["frozen_at"],
            **{name: each[name] for name in ("availability_percent", "weighted_downtime_s", "unknown_s")},
            **{name: each[name] for name in ("credit_percent", "met", "corrects", "formula", "sample")},
            "name": each["id"],
            "sha256": each["intervals_sha256"],
        }


def _figure(figure: Record) -> Record:
    return {
        name: figure[name]
        for name in (
            "availability_percent",
            "counted_s",
            "weighted_downtime_s",
            "unknown_s",
            "excluded_maintenance_s",
        )
    }


def _budget(budget: Record | None) -> Record:
    return {f"budget_{name}": value for name, value in budget.items()} if budget else {}
