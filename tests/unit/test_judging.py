"""From what was seen to an outcome and a reason that a customer may read."""

from datetime import timedelta

import pytest
from pydantic import TypeAdapter

from holdfast.availability.errors import ConditionError
from holdfast.availability.judging import compile_check, expect_status, judge
from holdfast.availability.model import Observation, Outcome, Timings
from holdfast.estate.checks import Check, HttpCheck

CHECKS: TypeAdapter[Check] = TypeAdapter(Check)


def http(**fields: object) -> HttpCheck:
    return HttpCheck.model_validate({"url": "http://example.com/", **fields})


def judged(
    check: Check, *, error: str | None = None, total_us: int = 1_000, **facts: object
) -> tuple[Outcome, str]:
    return judge(compile_check(check), Observation(Timings(total_us=total_us), error=error, facts=facts))


def test_an_error_has_the_checks_severity() -> None:
    assert judged(http(), error="connection refused") == (Outcome.FAILED, "connection refused")
    assert judged(http(severity="partial_outage"), error="x\ny" * 200)[0] is Outcome.PARTIAL
    reason = judged(http(), error="x\ny" * 200)[1]
    assert len(reason) == 300
    assert reason.isprintable()


def test_a_success_status_is_expected_unless_a_condition_speaks_about_it() -> None:
    assert judged(http(), status=204) == (Outcome.GOOD, "")
    assert judged(http(), status=503) == (Outcome.FAILED, "status was 503, expected 200-299")
    assert judged(http(), headers={}) == (Outcome.FAILED, "status is missing, expected 200-299")
    assert judged(http(conditions=["status == 503"]), status=503) == (Outcome.GOOD, "")


def test_a_declared_status_counts_beside_a_condition_on_it() -> None:
    check = http(expected_status=[200, "301-303"], conditions=["status != 302"])
    assert judged(check, status=301)[0] is Outcome.GOOD
    assert judged(check, status=302) == (Outcome.FAILED, "status was 302, expected anything but 302")
    assert judged(check, status=404) == (Outcome.FAILED, "status was 404, expected 200, 301-303")


def test_the_worst_condition_wins_and_equals_are_joined() -> None:
    check = http(
        conditions=[
            {"expect": "response_time < 1ms", "otherwise": "degraded"},
            {"expect": "redirects == 0", "otherwise": "degraded"},
            {"expect": 'body contains "ready"', "otherwise": "partial_outage"},
        ]
    )
    slow = "response_time was 2ms, expected < 1ms"
    assert judged(check, total_us=2_000, status=200, redirects=0, body=b"ready") == (Outcome.DEGRADED, slow)
    both = f"{slow}; redirects was 1, expected 0"
    assert judged(check, total_us=2_000, status=200, redirects=1, body=b"ready") == (Outcome.DEGRADED, both)
    assert judged(check, total_us=2_000, status=200, redirects=0, body=b"secret stack trace") == (
        Outcome.PARTIAL,
        'expected body to contain "ready"',
    )


def test_the_order_of_conditions_does_not_matter() -> None:
    worse = {"expect": "redirects == 0", "otherwise": "partial_outage"}
    bad = {"expect": "status == 200", "otherwise": "degraded"}
    for conditions in ([worse, bad], [bad, worse]):
        judgement = judged(http(conditions=conditions), status=404, redirects=1)
        assert judgement == (Outcome.PARTIAL, "redirects was 1, expected 0")


def test_a_phase_that_did_not_happen_is_missing() -> None:
    check = http(conditions=["tls_time < 1s"])
    assert judged(check, status=200) == (Outcome.FAILED, "tls_time is missing")


def test_json_is_decoded_once_for_all_conditions_and_facts_stay_as_they_were() -> None:
    check = http(conditions=['json("$.a") == 1', 'json("$.b") == 2'])
    facts: dict[str, object] = {"status": 200, "body": b'{"a": 1, "b": 2}'}
    observation = Observation(Timings(total_us=1), facts=facts)
    assert judge(compile_check(check), observation) == (Outcome.GOOD, "")
    assert set(facts) == {"status", "body"}


def test_tcp_and_tls_checks_expect_nothing_beyond_success() -> None:
    for fields in ({"type": "tcp", "host": "h", "port": 1}, {"type": "tls", "host": "h"}):
        assert judged(CHECKS.validate_python(fields)) == (Outcome.GOOD, "")


def test_wrong_conditions_and_status_codes_are_refused() -> None:
    with pytest.raises(ConditionError, match="sees no statsu"):
        compile_check(http(conditions=["statsu == 200"]))
    for wrong in ("2xx", "299-200", "20", "600", 1):
        with pytest.raises(ConditionError, match="neither a status code nor a range"):
            expect_status((wrong,))


DNS = {"type": "dns", "name": "a.example"}
GOOD_DNS = {"rcode": "NOERROR", "answers": ["192.0.2.1"], "answer_count": 1}


@pytest.mark.parametrize(
    ("check", "facts", "reason"),
    [
        (DNS, GOOD_DNS, ""),
        (DNS, {"rcode": "NXDOMAIN", "answer_count": 0}, 'rcode was "NXDOMAIN", expected "NOERROR"'),
        (DNS, {"rcode": "NOERROR", "answer_count": 0}, "answer_count was 0, expected > 0"),
        (DNS, {}, "rcode is missing"),
        ({**DNS, "conditions": ["answer_count == 0"]}, {"rcode": "NOERROR", "answer_count": 0}, ""),
        (
            {**DNS, "conditions": ["answer_count == 0"]},
            {"rcode": "SERVFAIL", "answer_count": 0},
            'rcode was "SERVFAIL", expected "NOERROR"',
        ),
        ({**DNS, "conditions": ['rcode == "NXDOMAIN"']}, {"rcode": "NXDOMAIN", "answer_count": 0}, ""),
        ({**DNS, "conditions": ["ttl > 1s"]}, GOOD_DNS, "ttl is missing"),
        ({"type": "grpc", "host": "h", "port": 1}, {"serving_status": "SERVING"}, ""),
        (
            {"type": "grpc", "host": "h", "port": 1},
            {"serving_status": "UNKNOWN"},
            'serving_status was "UNKNOWN", expected "SERVING"',
        ),
        ({"type": "domain", "domain": "a.example"}, {"expires_in": timedelta(days=1)}, ""),
        (
            {"type": "domain", "domain": "a.example"},
            {"expires_in": timedelta(days=-1)},
            "expires_in was -1d, expected > 0s",
        ),
        ({"type": "icmp", "host": "h"}, {"loss": 66}, ""),
    ],
)
def test_what_a_type_expects_by_itself(
    check: dict[str, object], facts: dict[str, object], reason: str
) -> None:
    outcome, found = judged(CHECKS.validate_python(check), **facts)
    assert found == reason
    assert (outcome is Outcome.GOOD) == (not reason)


def test_an_expectation_of_its_own_has_the_checks_severity() -> None:
    check = CHECKS.validate_python({**DNS, "severity": "degraded"})
    assert judged(check, rcode="REFUSED")[0] is Outcome.DEGRADED


def test_several_series_each_have_to_be_as_expected() -> None:
    check = CHECKS.validate_python(
        {"type": "prometheus", "url": "http://p", "query": "up", "conditions": ["value < 5"]}
    )
    assert judged(check, values=(1.0, 2.0)) == (Outcome.GOOD, "")
    assert judged(check, values=(1.0, 9.0)) == (Outcome.FAILED, "value was 1, 9, expected < 5")
    assert judged(check, values=(1.0, float("nan"))) == (Outcome.FAILED, "value is not a number")
    assert judged(check, values=()) == (Outcome.FAILED, "value is missing")
    assert judged(check) == (Outcome.FAILED, "value is missing")
