"""The terms of an agreement that OpenSLO has no field for, from the annotations `holdfast/...`."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import available_timezones

from holdfast.estate.values import LONGEST, PATTERN_PATTERN
from holdfast.interchange.lines import shown
from holdfast.interchange.report import Report
from holdfast.kernel.durations import format_duration, parse_duration

PREFIX = "holdfast/"
_MOST_TIERS = 20
_ABOUT = ("customer", "components")


def annotated_terms(
    path: str, annotations: Mapping[str, Any], objective: Decimal, report: Report
) -> dict[str, Any]:
    """`combine`, `unknown`, `notice`, `credits`, `rpo`, `rto`, `time_zone`, as far as given and right."""
    terms: dict[str, Any] = {}
    for key, value in annotations.items():
        name = str(key).removeprefix(PREFIX)
        if not str(key).startswith(PREFIX) or name in _ABOUT:
            continue
        read = _READERS.get(name)
        found = read(str(value), objective) if read else None
        if found is None:
            report.left_out(path, f"{shown(key)} {shown(value)}", "not a term of an agreement")
        else:
            terms[name.replace("-", "_")] = found
    return terms


def promised_components(annotations: Mapping[str, Any], indicator: Mapping[str, Any] | None) -> list[str]:
    """The components that an SLO names itself, as patterns; none when it does not."""
    given = annotations.get(f"{PREFIX}components")
    if isinstance(given, str):
        return _patterns(given.split(","))
    ratio = (indicator or {}).get("ratioMetric")
    good = ratio.get("good") if isinstance(ratio, Mapping) else None
    source = good.get("metricSource") if isinstance(good, Mapping) else None
    if not isinstance(source, Mapping) or str(source.get("type")).lower() != "holdfast":
        return []
    spec = source.get("spec")
    listed = spec.get("components") if isinstance(spec, Mapping) else None
    return _patterns(listed) if isinstance(listed, list) else []


def _patterns(texts: list[Any]) -> list[str]:
    found = (str(text).strip() for text in texts)
    return [text for text in found if re.fullmatch(PATTERN_PATTERN, text)]


def _one_of(*words: str) -> Callable[[str, Decimal], str | None]:
    return lambda text, _: text if text in words else None


def _length(text: str, _: Decimal) -> str | None:
    try:
        length = parse_duration(text)
    except (ValueError, OverflowError):
        return None
    return format_duration(length) if length <= LONGEST else None


def _zone(text: str, _: Decimal) -> str | None:
    return text if text in available_timezones() else None


def _credits(text: str, objective: Decimal) -> list[dict[str, Decimal]] | None:
    """`99.9=10, 99=25`: below 99.9 % ten percent, below 99 % twenty-five. As strict as the estate is."""
    tiers: list[dict[str, Decimal]] = []
    for part in text.split(",")[:_MOST_TIERS]:
        below, _, credit = part.partition("=")
        try:
            tier = {"below": Decimal(below.strip()), "credit": Decimal(credit.strip())}
        except InvalidOperation:
            return None
        if not all(number.is_finite() and 0 <= number <= 100 for number in tier.values()):
            return None
        limit, least = (tiers[-1]["below"], tiers[-1]["credit"]) if tiers else (None, None)
        if tier["below"] > objective or (limit is not None and tier["below"] >= limit):
            return None
        if least is not None and tier["credit"] <= least:
            return None
        tiers.append(tier)
    return tiers


_READERS: Mapping[str, Callable[[str, Decimal], Any]] = {
    "combine": _one_of("average", "worst"),
    "unknown": _one_of("excluded", "downtime", "uptime"),
    "notice": _length,
    "rpo": _length,
    "rto": _length,
    "time-zone": _zone,
    "credits": _credits,
}
