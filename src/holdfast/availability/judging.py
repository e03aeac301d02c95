"""From an observation to an outcome: what was seen against what the check expects. Pure.

1. An observation with an error has the check's severity, and its error is the reason.
2. An HTTP answer has an expected status, unless a condition speaks about `status` and none was declared.
   Other types have expectations of their own (`_EXPECTED`), unless a condition speaks about the same.
3. Each condition that does not hold means its `otherwise`, else the check's severity. The worst wins.
4. The reason is one line that a customer may read: it never repeats the target's own words.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from holdfast.availability.conditions.documents import DOCUMENT, decode
from holdfast.availability.conditions.expressions import Evaluation, Expression
from holdfast.availability.conditions.parser import parse
from holdfast.availability.errors import ConditionError
from holdfast.availability.model import Observation, Outcome, Timings
from holdfast.estate.checks import Check, HttpCheck
from holdfast.estate.values import Severity

_LONGEST_REASON = 300
_OUTCOMES: dict[Severity, Outcome] = {
    "degraded": Outcome.DEGRADED,
    "partial_outage": Outcome.PARTIAL,
    "major_outage": Outcome.FAILED,
}
_TIMES: dict[str, Callable[[Timings], int | None]] = {
    "resolve_time": lambda timings: timings.resolve_us,
    "connect_time": lambda timings: timings.connect_us,
    "tls_time": lambda timings: timings.tls_us,
    "first_byte_time": lambda timings: timings.first_byte_us,
    "response_time": lambda timings: timings.total_us,
}
_EXPECTED: Mapping[str, tuple[tuple[str, frozenset[str]], ...]] = {
    "dns": (
        (
            'rcode == "NOERROR" and answer_count > 0',
            frozenset({"rcode", "answers", "every_answer", "answer_count"}),
        ),
        ('rcode == "NOERROR"', frozenset({"rcode"})),
    ),
    "grpc": (('serving_status == "SERVING"', frozenset({"serving_status"})),),
    "domain": (("expires_in > 0s", frozenset({"expires_in"})),),
}
"""By check type: what is expected unless the check's own conditions mention one of these facts."""
_STATUS = re.compile(r"([1-5][0-9]{2})(?:\s*(?:-|\.\.)\s*([1-5][0-9]{2}))?")


@dataclass(frozen=True, slots=True)
class ExpectedStatus:
    """The status codes that are good, and how they were written."""

    codes: frozenset[int]
    text: str


@dataclass(frozen=True, slots=True)
class CompiledCheck:
    """A check made ready to be judged, once. `needs` are the facts that its conditions mention."""

    check: Check
    severity: Outcome
    conditions: tuple[tuple[Expression, Outcome], ...]
    expected_status: ExpectedStatus | None
    needs: frozenset[str]
    times: tuple[str, ...]


def compile_check(check: Check) -> CompiledCheck:
    """Make `check` ready. Raises ConditionError for a condition or a status code that cannot be read."""
    severity = _OUTCOMES[check.severity]
    conditions = tuple(
        (
            parse(condition.expect, check.type),
            _OUTCOMES[condition.otherwise] if condition.otherwise else severity,
        )
        for condition in check.conditions
    )
    needs = frozenset[str]().union(*(expression.names for expression, _ in conditions))
    for text, spoken in _EXPECTED.get(check.type, ()):
        if not needs & spoken:
            conditions += ((parse(text, check.type), severity),)
            break
    expected = None
    if isinstance(check, HttpCheck) and (
        "status" not in needs or "expected_status" in check.model_fields_set
    ):
        expected = expect_status(check.expected_status)
    return CompiledCheck(
        check, severity, conditions, expected, needs, tuple(name for name in _TIMES if name in needs)
    )


def expect_status(declared: tuple[int | str, ...]) -> ExpectedStatus:
    """The codes of `200`, `"204"` and `"200-299"`. Raises ConditionError for anything else."""
    codes: set[int] = set()
    for each in declared:
        match = _STATUS.fullmatch(str(each).strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if high < low:
            raise ConditionError(
                f"{str(each)!r} is neither a status code nor a range of them",
                position=0,
                hint="such as 200 or 200-299",
            )
        codes.update(range(low, high + 1))
    return ExpectedStatus(frozenset(codes), ", ".join(str(each) for each in declared))


def judge(compiled: CompiledCheck, observation: Observation) -> tuple[Outcome, str]:
    """How the attempt ended, and why in one line when it was not good."""
    if observation.error is not None:
        return compiled.severity, _one_line([observation.error])
    facts = observation.facts
    if compiled.times or "json" in compiled.needs:
        facts = _enriched(compiled, observation)
    worst, reasons = Outcome.GOOD, [""]
    expected = compiled.expected_status
    if expected is not None and (status := facts.get("status")) not in expected.codes:
        was = "status is missing" if status is None else f"status was {status}"
        worst, reasons = compiled.severity, [f"{was}, expected {expected.text}"]
    for expression, otherwise in compiled.conditions:
        evaluation: Evaluation = expression.holds(facts)
        if evaluation.holds or otherwise < worst:
            continue
        reasons = reasons if otherwise == worst else []
        reasons.append(evaluation.public)
        worst = otherwise
    return worst, _one_line(reasons)


def _enriched(compiled: CompiledCheck, observation: Observation) -> dict[str, object]:
    """The facts with the times that conditions ask for and, once for all conditions, the decoded body."""
    facts = dict(observation.facts)
    for name in compiled.times:
        micros = _TIMES[name](observation.timings)
        if micros is not None:
            facts[name] = timedelta(microseconds=micros)
    if "json" in compiled.needs:
        facts[DOCUMENT] = decode(observation.facts)
    return facts


def _one_line(reasons: list[str]) -> str:
    line = "; ".join(reasons)
    if not line.isprintable():
        line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 3] + "..."
