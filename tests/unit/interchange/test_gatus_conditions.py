"""Gatus' conditions mean the same in our language, answer by answer."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.availability.conditions import parse, validate
from holdfast.availability.conditions.lexer import lex
from holdfast.interchange.gatus_conditions import Refused, Said, go_duration, quoted, translated

OTHER_TYPES = ("tcp", "tls", "smtp", "websocket", "dns", "grpc", "icmp", "domain")


def _holds(condition: str, facts: dict[str, Any], check_type: str = "http") -> bool:
    said = translated(condition, check_type)
    assert isinstance(said, Said), said
    return parse(said.text, check_type).holds(facts).holds if said.text else True


def _body(value: object) -> dict[str, Any]:
    return {"body": json.dumps(value).encode(), "status": 200}


@pytest.mark.parametrize(
    ("condition", "good", "bad"),
    [
        ("[STATUS] == 200", [200], [201, 404]),
        ("[STATUS] != 500", [200, 501], [500]),
        ("[STATUS] < 300", [200, 299], [300, 500]),
        ("[STATUS] <= 299", [299], [300]),
        ("300 > [STATUS]", [200, 299], [300]),
        ("[STATUS] == any(200, 429)", [200, 429], [201]),
        ("[STATUS] != any(500, 503)", [200], [500, 503]),
        ("[STATUS] == pat(2*)", [200, 204, 299], [302, 500]),
        ("[STATUS] == pat(?00)", [100, 200, 500], [201]),
        ("[status] == 200", [200], [500]),
    ],
)
def test_a_status(condition: str, good: list[int], bad: list[int]) -> None:
    for status in good:
        assert _holds(condition, {"status": status}), status
    for status in bad:
        assert not _holds(condition, {"status": status}), status


@pytest.mark.parametrize(
    ("condition", "good", "bad"),
    [
        ("[BODY].user.name == john", [{"user": {"name": "john"}}], [{"user": {"name": "jane"}}, {}, []]),
        ("[BODY].n == 3", [{"n": 3}, {"n": "3"}], [{"n": 4}, {"n": True}]),
        ("[BODY].ok == true", [{"ok": True}, {"ok": "true"}], [{"ok": False}, {"ok": 1}]),
        ("[BODY].a != x", [{"a": "y"}, {"b": 1}], [{"a": "x"}]),
        ("[BODY].a == any(x, 2)", [{"a": "x"}, {"a": 2}], [{"a": "y"}]),
        ("[BODY].a == pat(*oh*)", [{"a": "john"}], [{"a": "jane"}]),
        ("[BODY].a == pat(j?hn*)", [{"a": "john"}, {"a": "jahn!"}], [{"a": "jane"}, {"a": "xjohn"}]),
        ("[BODY].age > 5", [{"age": 6}], [{"age": 5}, {}]),
        ("[BODY][0].id == 1", [[{"id": 1}]], [[{"id": 2}], [], {}]),
        ("[BODY].items[1][0] == b", [{"items": [[], ["b"]]}], [{"items": [["b"]]}]),
        ("[BODY].x-y.z == 1", [{"x-y": {"z": 1}}], [{"x": {"z": 1}}]),
        ("has([BODY].errors) == false", [{}, {"errors": None}], [{"errors": []}, {"errors": "x"}]),
        ("has([BODY].errors) == true", [{"errors": "x"}], [{}, {"errors": None}]),
        (
            "len([BODY].data) < 3",
            [{"data": [1, 2]}, {"data": []}, {"data": "ab"}],
            [{"data": [1, 2, 3]}, {"data": "abc"}],
        ),
        (
            "len([BODY].data) <= 2",
            [{"data": ["", ""]}, {"data": "ab"}],
            [{"data": [1, 2, 3]}, {"data": "abc"}],
        ),
        (
            "len([BODY].data) == 2",
            [{"data": [1, 2]}, {"data": "ab"}],
            [{"data": [1]}, {"data": [1, 2, 3]}, {"data": "a"}],
        ),
        ("len([BODY].data) == 0", [{"data": []}, {"data": ""}], [{"data": [1]}, {"data": "a"}, {}]),
        (
            "len([BODY].data) != 2",
            [{"data": [1]}, {"data": []}, {"data": "abc"}],
            [{"data": [1, 2]}, {"data": "ab"}],
        ),
        ("len([BODY].data) >= 1", [{"data": [0]}, {"data": "x"}], [{"data": []}, {"data": ""}, {}]),
        ("len([BODY]) > 0", [[1], {"a": 1}], [[]]),
    ],
)
def test_a_body_of_json(condition: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        assert _holds(condition, _body(value)), value
    for value in bad:
        assert not _holds(condition, _body(value)), value


@pytest.mark.parametrize(
    ("condition", "good", "bad"),
    [
        ("[BODY] == OK", ["OK", " OK\n"], ["OK!", "ok", ""]),
        ("[BODY] != OK", ["NO"], ["OK\n"]),
        ("[BODY] == any(a, b.c)", ["a", "b.c"], ["bxc", "ab"]),
        ("[BODY] == pat(*john*)", ["a john b", "x\njohn"], ["jane"]),
        ("[BODY] == pat(<h1>*</h1>)", ["<h1>a\nb</h1>\n"], ["<h2></h2>"]),
        ("[BODY] != pat(*error*)", ["fine"], ["an error"]),
        ("has([BODY]) == true", ["x"], ["", " \n"]),
        ("has([BODY]) == false", [""], ["x"]),
    ],
)
def test_a_body_of_text(condition: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        assert _holds(condition, {"body": text.encode()}), text
    for text in bad:
        assert not _holds(condition, {"body": text.encode()}), text


def test_times_are_milliseconds_or_durations() -> None:
    fast, slow = (
        {"response_time": timedelta(milliseconds=299)},
        {"response_time": timedelta(milliseconds=300)},
    )
    for condition in ("[RESPONSE_TIME] < 300", "[RESPONSE_TIME] < 300ms", "[RESPONSE_TIME] < 0.3s"):
        assert _holds(condition, fast)
        assert not _holds(condition, slow)
    assert _holds("[CERTIFICATE_EXPIRATION] > 48h", {"certificate_expires_in": timedelta(days=3)})
    assert not _holds("[CERTIFICATE_EXPIRATION] > 48h", {"certificate_expires_in": timedelta(days=2)})
    assert _holds("[RESPONSE_TIME] < 100", {"round_trip_time": timedelta(milliseconds=5)}, "icmp")


@pytest.mark.parametrize(
    ("condition", "check_type", "good", "bad"),
    [
        ("[DNS_RCODE] == NOERROR", "dns", {"rcode": "NOERROR"}, {"rcode": "NXDOMAIN"}),
        ("[BODY] == 192.0.2.1", "dns", {"answers": ["192.0.2.1"]}, {"answers": ["192.0.2.2"]}),
        ("[BODY] == any(192.0.2.1, 192.0.2.2)", "dns", {"answers": ["192.0.2.2"]}, {"answers": []}),
        ("[BODY] == pat(192.0.*)", "dns", {"answers": ["192.0.2.1"]}, {"answers": ["10.0.0.1"]}),
        ("[BODY].status == SERVING", "grpc", {"serving_status": "SERVING"}, {"serving_status": "UNKNOWN"}),
        ("[BODY] == pat(*PONG*)", "tcp", {"answer": b"+PONG\r\n"}, {"answer": b"-ERR"}),
        ("[BODY] == hello", "websocket", {"message": "hello"}, {"message": "bye"}),
        (
            "[DOMAIN_EXPIRATION] > 720h",
            "domain",
            {"expires_in": timedelta(days=31)},
            {"expires_in": timedelta(days=29)},
        ),
    ],
)
def test_other_checks(condition: str, check_type: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    assert _holds(condition, good, check_type)
    assert not _holds(condition, bad, check_type)


def test_being_connected_is_what_every_check_asks_for() -> None:
    assert translated("[CONNECTED] == true", "tcp") == Said("")
    assert translated("[CONNECTED] != false", "tcp") == Said("")
    refused = translated("[CONNECTED] == false", "tcp")
    assert isinstance(refused, Refused)
    assert refused.reverses


@pytest.mark.parametrize(
    ("condition", "check_type"),
    [
        ("[IP] == 127.0.0.1", "http"),
        ("[CONTEXT].id == 1", "http"),
        ("[STATUS] == 200", "tcp"),
        ("[BODY].a == 1", "tcp"),
        ("[STATUS] == [BODY].status", "http"),
        ("1 == 1", "http"),
        ("nonsense", "http"),
        ("[STATUS] == abc", "http"),
        ("[STATUS] == pat(9*)", "http"),
        ("len([STATUS]) == 3", "http"),
        ("len([BODY].a) < 0", "http"),
        ("len([BODY].a) == many", "http"),
        ("has([BODY].a) == 1", "http"),
        ("[BODY] > 5", "http"),
        ("[BODY].a > many", "http"),
        ("[BODY].a == pat([a-z]*)", "http"),
        ("[BODY].'a' == 1", "http"),
        ("[BODY]..a == 1", "http"),
        ("[RESPONSE_TIME] < soon", "http"),
        ("[STATUSES] == 200", "http"),
        ("[BODY].status == SERVING " + "x" * 1000, "http"),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_reason(condition: str, check_type: str) -> None:
    refused = translated(condition, check_type)

    assert isinstance(refused, Refused)
    assert refused.why


@given(
    st.text(alphabet=st.sampled_from(list("[]BODYSTAUConecd.()=<>! 0123abnylphs*?\\\"',")), max_size=60)
    | st.tuples(
        st.sampled_from(
            ["[STATUS]", "[BODY]", "[BODY].a", "len([BODY].a)", "has([BODY])", "[RESPONSE_TIME]", "[IP]"]
        ),
        st.sampled_from([" == ", " != ", " < ", " > ", " <= ", " >= "]),
        st.text(max_size=30) | st.sampled_from(["any(1,2)", "pat(*)", "pat(**)", "any()", "5", "5m", "true"]),
    ).map("".join),
    st.sampled_from(("http", *OTHER_TYPES)),
)  # fmt: skip
@example("[BODY] == pat(*\\*)", "http")
@settings(deadline=None, derandomize=True, max_examples=600)
def test_what_is_said_is_valid_whatever_was_written(condition: str, check_type: str) -> None:
    result = translated(condition, check_type)

    if isinstance(result, Said):
        assert not result.text or validate(check_type, result.text) is None
    else:
        assert result.why


@given(st.text(alphabet=st.sampled_from(list("ab\\\"'nrt\n\r\t.s")), max_size=20))
@settings(deadline=None, derandomize=True)
def test_a_literal_is_the_text_that_it_was_made_of(text: str) -> None:
    lexemes = lex(quoted(text))

    assert len(lexemes) == 2
    assert lexemes[0].value == text


def test_durations_as_go_writes_them() -> None:
    assert go_duration("1h30m") == timedelta(minutes=90)
    assert go_duration("1.5h") == timedelta(minutes=90)
    assert go_duration("500us") == timedelta(microseconds=500)
    assert go_duration("10") is None
    assert go_duration("1d") is None
    assert go_duration("999999999h") is None
