"""The condition language: what it accepts, what it says, and what it refuses."""

import random
import re
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.availability.conditions import CHECK_TYPES, parse, validate
from holdfast.availability.conditions.documents import decode
from holdfast.availability.conditions.patterns import Pattern
from holdfast.availability.errors import ConditionError

PAGE = (Path(__file__).parents[2] / "docs" / "conditions.md").read_text()
EXAMPLES = [
    (check_type, line)
    for check_type, block in re.findall(r"```conditions (\w+)\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]
GOOD = {
    "status": 200,
    "headers": {
        "content-type": "application/json",
        "strict-transport-security": "max-age=1",
        "x-state": "ready",
    },
    "body": b'{"ok": true, "queue": {"depth": 3}, "replicas": [{"state": "up"}, {"state": "up"}],'
    b' "services": [{"name": "mail", "state": "idle"}], "tags": ["primary"], "huge": 1e300, "text": "ready"}',
    "body_truncated": False,
    "redirects": 0,
    "answer": b"220 mail.example.com ESMTP\r\n",
    "resolve_time": timedelta(milliseconds=1),
    "connect_time": timedelta(milliseconds=2),
    "tls_time": timedelta(milliseconds=20),
    "first_byte_time": timedelta(milliseconds=30),
    "response_time": timedelta(milliseconds=50),
    "tls_version": "TLSv1.3",
    "cipher": "TLS_AES_256_GCM_SHA384",
    "certificate_expires_in": timedelta(days=30),
    "certificate_subject": "example.com",
    "certificate_issuer": "Example CA",
    "rcode": "NOERROR",
    "answers": ["192.0.2.10", "192.0.2.11"],
    "answer_count": 2,
    "authenticated": True,
    "ttl": timedelta(minutes=5),
    "loss": 0,
    "round_trip_time": timedelta(milliseconds=2),
    "beat_age": timedelta(seconds=40),
    "beat_message": "printed 12 pages",
    "messages": 3,
    "consumers": 1,
    "capabilities": ["PIPELINING", "SIZE"],
    "capability_parameters": {"PIPELINING": "", "SIZE": "10485760"},
    "serving_status": "SERVING",
    "row": {"role": "primary", "lag": 3},
    "rows": 1,
    "message": b"welcome",
    "subprotocol": "v2.print",
    "values": (0.001, 0.002),
    "series": 2,
    "empty": False,
    "expires_in": timedelta(days=90),
    "registrar": "Example Registrar",
    "domain_status": ["active"],
}


def holds(text: str, check_type: str = "http", **facts: object) -> bool:
    return parse(text, check_type).holds({**GOOD, **facts}).holds


def explanation(text: str, **facts: object) -> str:
    evaluation = parse(text).holds({**GOOD, **facts})
    assert not evaluation.holds
    return evaluation.explanation


# The page


@pytest.mark.parametrize(("check_type", "example"), EXAMPLES)
def test_every_example_of_the_page_parses_and_evaluates(check_type: str, example: str) -> None:
    facts = dict(GOOD)
    if "^ok" in example:
        facts["body"] = b"OK then"
    if "</html>" in example:
        facts["body"] = b"<html></html>\n"
    if example == "value < 60":
        facts["row"] = {"value": 3}
    assert parse(example, check_type).holds(facts).holds
    missing = parse(example, check_type).holds({})
    assert not missing.holds
    assert missing.explanation


def test_the_page_has_examples_for_every_check_type_and_names_every_fact() -> None:
    assert {check_type for check_type, _ in EXAMPLES} == set(CHECK_TYPES)
    section = PAGE.partition("## Facts")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)(?:\(.*?\))?` \|.*\| ([^|]*) \|$", section, re.MULTILINE))
    assert set(rows) == {name for facts in CHECK_TYPES.values() for name in facts}
    for name, listed in rows.items():
        but = set(listed.removeprefix("all but ").split(", "))
        types = set(CHECK_TYPES) - but if listed.startswith("all but ") else but
        assert {kind for kind in CHECK_TYPES if name in CHECK_TYPES[kind]} == (
            set(CHECK_TYPES) if listed == "all" else types
        ), name


# What holds


@pytest.mark.parametrize(
    "text",
    [
        "status != 500",
        "status >= 200 and status <= 200",
        "status in (200)",
        "not (status == 500 or status == 503)",
        "not not status == 200",
        "status == 500 or status == 200 and redirects == 0",
        'header("Content-TYPE") == "application/json"',
        "body starts_with '{' and body ends_with '}'",
        'body not contains "error"',
        'json("$") exists',
        'json("$.queue.depth") in 1..3',
        'json("$.queue.depth") == 3.0',
        'json("$.missing") exists or status == 200',
        'json("$.tags[-1]") == "primary"',
        'json("$.replicas[*].state") not contains "down"',
        'json("$..depth") == 3',
        'json("$.text") in ("ready", null, true)',
        "certificate_expires_in > -1d",
        "response_time in 10ms..1s",
        "body_truncated == false",
        "tls_version != 'TLSv1.2'",
    ],
)
def test_holds(text: str) -> None:
    assert holds(text)


def test_or_binds_looser_than_and() -> None:
    assert holds("status == 200 or status == 1 and status == 2")
    assert not holds("(status == 200 or status == 1) and status == 2")


def test_json_values_keep_their_kind() -> None:
    assert not holds('json("$.ok") == 1')
    assert not holds('json("$.queue.depth") == "3"')
    assert not holds('json("$.text") < 5')
    assert not holds('not json("$.text") < 5')
    assert holds('json("$.queue.depth") != "3"')


def test_several_matches_must_all_pass_also_with_a_negated_operator() -> None:
    body = b'{"r": [{"s": "up"}, {"s": "down"}]}'
    assert not holds('json("$.r[*].s") == "up"', body=body)
    assert not holds('json("$.r[*].s") != "down"', body=body)
    assert not holds('json("$.r[*].s") not in ("down")', body=body)
    assert holds('not json("$.r[*].s") == "up"', body=body)
    assert not holds('json("$.none[*].s") == "up"', body=body)


def test_bytes_that_are_no_text_are_read_with_replacements() -> None:
    assert holds('body contains "ok"', body=b"\xff\xfeok\x00")


def test_text_escapes() -> None:
    assert holds(r'body == "a\"b\\c\nd\d"', body='a"b\\c\nd\\d')
    assert holds(r"body == 'it\'s'", body="it's")


# What is not known


@pytest.mark.parametrize(
    "text",
    [
        'header("x-none") == "1"',
        'not header("x-none") == "1"',
        'header("x-none") != "1"',
        'not (header("x-none") == "1" or status == 500)',
        'json("$.none") > 1',
        'not json("$.none") > 1',
    ],
)
def test_what_is_not_there_holds_neither_way(text: str) -> None:
    assert not holds(text)


def test_only_exists_asks_about_absence() -> None:
    assert holds('not header("x-none") exists')
    assert holds('not json("$.none") exists')
    assert holds('not header("x-none") exists or header("x-none") != "HIT"')
    assert not holds('not json("$.none") exists', body=b"<html>")
    assert not parse('not header("x-none") exists').holds({}).holds


# What it says


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("status in 200..299", {"status": 503}, "status was 503, expected 200..299"),
        ("status in (200, 204)", {"status": 503}, "status was 503, expected one of 200, 204"),
        ("not status == 503", {"status": 503}, "status was 503, expected not 503"),
        ("status != 503", {"status": 503}, "status was 503, expected anything but 503"),
        ("status == 200", {"status": None}, "status is missing"),
        (
            "response_time < 500ms",
            {"response_time": timedelta(milliseconds=1250)},
            "response_time was 1.25s, expected < 500ms",
        ),
        (
            "certificate_expires_in > 14d",
            {"certificate_expires_in": timedelta(days=13, hours=4, seconds=9)},
            "certificate_expires_in was 13d4h, expected > 14d",
        ),
        (
            'body contains "ready"',
            {"body": "no\nway\x1b[31m"},
            r'body was "no\nway\x1b[31m", expected to contain "ready"',
        ),
        ('body == "x"', {"body": "y" * 100}, f'body was "{"y" * 60}...", expected "x"'),
        ('header("x-none") exists', {}, 'header("x-none") is missing'),
        ('json("$.queue.depth") < 2', {}, 'json("$.queue.depth") was 3, expected < 2'),
        ('json("$.queue") == 2', {}, 'json("$.queue") was an object, expected 2'),
        ('json("$.ok") == true', {"body": b"<html>"}, "body is not JSON"),
        ('json("$.ok") == true', {"body_truncated": True}, "body is too long to be read as JSON"),
        ("status == 1 or redirects == 1", {}, "status was 200, expected 1; redirects was 0, expected 1"),
        ("status == 200 and redirects == 1", {}, "redirects was 0, expected 1"),
        ("body_truncated", {}, "body_truncated was false, expected true"),
    ],
)
def test_explanations_name_the_actual_value(text: str, facts: dict[str, object], expected: str) -> None:
    assert explanation(text, **facts) == expected


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ('body contains "ready!"', 'expected body to contain "ready!"'),
        ('header("x-state") == "up"', 'expected header("x-state") to be "up"'),
        ('json("$.text") == "up"', 'expected json("$.text") to be "up"'),
        ('not json("$.text") exists', 'expected no json("$.text")'),
        ('json("$.queue.depth") > 5', 'json("$.queue.depth") was 3, expected > 5'),
        ('json("$.replicas[*].state") == "x"', 'expected json("$.replicas[*].state") to be "x"'),
    ],
)
def test_the_public_line_never_repeats_the_targets_words(text: str, public: str) -> None:
    evaluation = parse(text).holds(GOOD)
    assert evaluation.public == public
    assert len(evaluation.explanation) <= 300


# What it refuses


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("", 0, "the name of a fact"),
        ("statsu == 200", 0, "did you mean status?"),
        ("answer contains 'x'", 0, "a check of type http sees no answer"),
        ("status < 5s", 9, "status is a number and cannot be compared with 5s"),
        ("response_time < 500", 16, "500ms"),
        ('status == "200"', 10, "status is a number"),
        ('body < "a"', 5, "cannot be compared with <"),
        ("header == 1", 7, 'write header("...")'),
        ("header(5) == 1", 7, "a text in quotes"),
        ('status("x") == 1', 6, "takes nothing in parentheses"),
        ("status", 6, "expected an operator"),
        ("status = 200", 7, "compare with =="),
        ("status == 200 && redirects == 0", 14, "write `and`"),
        ("status == 200 status", 14, "expected `and`, `or` or the end"),
        ("200 == status", 0, "the fact comes first"),
        ("status in 299..200", 10, "from low to high"),
        ("status in (200", 14, "expected ')'"),
        ('tls_version in "a".."b"', 15, "only numbers and durations have ranges"),
        ('json("$.a") in 1..5s', 18, "cannot be compared"),
        ("status == ready", 10, "text stands in quotes"),
        ("status == 5sec", 10, "neither a number nor a duration"),
        ('body contain "x"', 5, "did you mean contains?"),
        ('body contains "x', 14, "no closing quote"),
        ("body_truncated == 1", 18, "true or false"),
        ("body_truncated not", 18, "expected an operator"),
        ('json("queue") == 1', 5, "is not a JSON path"),
        ('json("$..a..b") == 1', 5, "at most once"),
        ('json("$.a[?@.b == $.c]") == 1', 5, "compares with @"),
        ("json(\"$.a[?match(@.b, '(a+)+')]\") exists", 5, "no function match"),
        ('json("$.a") < "x"', 14, "cannot be compared"),
        ('json("$.a") == 5s', 15, "cannot be compared"),
        ('body matches "(a"', 13, "the pattern ends too early"),
        (r'body matches "(a)\1"', 13, "back references"),
        ('body matches "(?=a)"', 13, "look-around"),
        ('body matches "a++"', 13, "possessive"),
        ('body matches "*a"', 13, "nothing to repeat"),
        ('body matches "[z-a]"', 13, "runs backwards"),
        ('body matches "a{9999}"', 13, "at most 250"),
        ('body matches "((((){250}){250}){250}){250}"', 13, "too large"),
        ("status == 99999999999d", 10, "neither a number nor a duration"),
        ("response_time < 999999999w", 16, "longer than any duration"),
        ("(" * 30 + "status == 200" + ")" * 30, 20, "too many parentheses"),
        ("status == 200" + " " * 1000, 1000, "at most 1000 characters"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, position: int, said: str) -> None:
    with pytest.raises(ConditionError) as raised:
        parse(text)
    assert said in f"{raised.value} {raised.value.hint}"
    assert raised.value.position == position
    assert (validate("http", text) or "").startswith(str(raised.value))


def test_validate_says_nothing_about_a_good_condition() -> None:
    assert validate("http", "status == 200") is None
    assert (
        validate("gopher", "status == 200")
        == f"no check type 'gopher' (at character 1); check types are {', '.join(CHECK_TYPES)}"
    )


# What a target may send


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b"[" * 500 + b"]" * 500,
        b'{"a":' * 500_000,
        b"NaN",
        b"1e999",
        b"9" * 100_000,
        b'"\xff"',
        b"",
        b'{"queue": ',
        '"\ud800"',
        b"[1,2,3]",
        b'"text [not json"',
        b"{}" + b" " * 1_000_000,
    ],
)
def test_no_body_breaks_a_json_condition(body: bytes | str) -> None:
    for text in ('json("$.queue.depth") < 100', 'json("$..depth") < 100', 'json("$[?@.a > 1].b") exists'):
        evaluation = parse(text).holds({"status": 200, "body": body})
        assert not evaluation.holds
        assert evaluation.explanation


def test_huge_numbers_compare_and_are_shown_short() -> None:
    facts = {"body": b'{"n": ' + b"9" * 4_000 + b"}"}
    assert not parse('json("$.n") < 100').holds(facts).holds
    assert len(parse('json("$.n") < 100').holds(facts).explanation) < 100


def test_a_body_is_decoded_once_when_the_document_is_handed_in() -> None:
    facts: dict[str, object] = {"body": b'{"a": 1}'}
    facts["json"] = decode(facts)
    facts["body"] = b"no longer needed"
    assert parse('json("$.a") == 1').holds(facts).holds


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 65_536 + "b"),
        ("a.*b.*c.*d", "abc" * 20_000),
        (r"(\s*\s*\s*)*x", " " * 65_536),
        ("(a|aa)+$", "a" * 65_535 + "b"),
        (r"^(\w+\s?)*$", "word " * 13_000 + "!"),
    ],
)
def test_patterns_that_ruin_a_backtracking_engine_answer(pattern: str, text: str) -> None:
    assert Pattern(pattern).found_in(text) is False


def test_a_pattern_that_asks_for_too_many_states_gives_up_within_its_budget() -> None:
    text = "".join(random.Random(1).choices("ab", k=65_536))
    pattern = Pattern("(a|b)*a" + "(a|b)" * 120 + "c")
    assert pattern.found_in(text) is None
    assert Pattern("ready").found_in("x" * 70_000 + "ready") is False  # beyond what a pattern looks at
    assert Pattern("x$").found_in("x" * 70_000) is False  # where it stops looking is not the end
