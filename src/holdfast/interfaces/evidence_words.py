"""Evidence in words and figures for people, and as plain values for programs."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from holdfast.interfaces.cli.sizes import size_text
from holdfast.recovery.evidence import Evidence, Measure, Outcome
from holdfast.recovery.evidence_ports import Grown

UNKNOWN = "unknown"


def plain_evidence(evidence: Evidence, leaf: int) -> dict[str, Any]:
    """For programs: as it is kept, its leaf, and whether it passed."""
    import msgspec  # noqa: PLC0415

    told: dict[str, Any] = msgspec.to_builtins(evidence)
    return {"leaf": leaf, "passed": evidence.passed, **told}


def lasted(millis: int | None) -> str:
    """`12.5 s`, `3 min 20 s`, `2 h 5 min`; `unknown` where nobody knows."""
    if millis is None:
        return UNKNOWN
    if millis < 60_000:
        return f"{millis / 1000:.3f}".rstrip("0").rstrip(".") + " s"
    minutes, seconds = divmod(round(millis / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def verdict(evidence: Evidence) -> str:
    """`passed`, `failed` or `cancelled`."""
    if evidence.outcome is Outcome.CANCELLED:
        return "cancelled"
    return "passed" if evidence.passed else "failed"


def kind(evidence: Evidence) -> str:
    """`drill of restore (isolated)`, `restore (production)`."""
    what = f"drill of {evidence.scenario}" if evidence.drill else evidence.scenario
    return f"{what} ({evidence.where.value})"


def measure_words(measure: Measure) -> Sequence[str]:
    """Target, contract, measured and whether it is met, one behind the other."""
    met: Mapping[bool | None, str] = {True: "met", False: "missed", None: "not known"}
    limit = measure.contract_ms if measure.contract_ms is not None else measure.target_ms
    return [
        "none" if measure.target_ms is None else lasted(measure.target_ms),
        "none" if measure.contract_ms is None else lasted(measure.contract_ms),
        lasted(measure.measured_ms),
        "no limit" if limit is None else met[measure.is_met],
    ]


def counted(count: int | None) -> str:
    """A number of what was lost; `unknown` is never 0."""
    return UNKNOWN if count is None else f"{count:,}"


def size_words(count: int | None) -> str:
    return UNKNOWN if count is None else size_text(count)


def cosigned_words(grown: Grown) -> str:
    """How far a witness vouches for the log, and what keeps it from vouching for the rest."""
    seen, waiting = grown.cosigned, grown.waiting
    if seen is None and waiting is None:
        return "no witness has cosigned the log"
    told = "the log is not cosigned yet" if seen is None else f"cosigned up to entry {seen.size:,}"
    if not grown.unseen:
        return f"{told}, the newest"
    since = f" since {grown.unseen_since:%F %T} UTC" if grown.unseen_since else ""
    why = f": {waiting.text}" if waiting is not None else ""
    return f"{told}; {grown.unseen:,} not cosigned{since}{why}"


def plain_grown(grown: Grown) -> dict[str, Any]:
    """For programs: entries, those a witness vouches for, and why the others wait. Times are moments."""
    seen, waiting = grown.cosigned, grown.waiting
    return {
        "size": grown.size,
        "cosigned": 0 if seen is None else seen.size,
        "cosigned_at": None if seen is None else seen.at,
        "not_cosigned_since": grown.unseen_since,
        "waits": None
        if waiting is None
        else {"reason": waiting.why.value, "text": waiting.text, "since": waiting.since},
    }


def seconds(duration: timedelta | None) -> str:
    return UNKNOWN if duration is None else lasted(round(duration.total_seconds() * 1000))
