# ruff: noqa: E501  one mistake on one line is how the tables read best
import stat
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from estate_files import VALID, any_condition, edited, load, problems
from pydantic import BaseModel

from holdfast.estate import checks, model, values
from holdfast.estate.errors import EstateError
from holdfast.estate.loader import load_estate
from holdfast.estate.partial import CHECK_TYPES, model_at

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
CHECK = "url: https://example.com/"


def only(text: str, base: Path = Path()) -> tuple[int, str, str, str]:
    (problem,) = problems(text, base)
    return problem.line, problem.path, problem.message, problem.hint


def in_check(extra: str) -> str:
    return edited((CHECK, f"{CHECK}\n            {extra}"))


def test_the_valid_file_loads() -> None:
    estate = load(VALID)
    assert estate.clusters["eu"].components["web"].checks["page"].every == timedelta(seconds=30)
    assert estate.agreements["gold"].objective == Decimal("99.9")


def test_a_cluster_may_be_called_no() -> None:
    estate = load(edited(("  eu:", "  no:"), ("eu/web", "no/web")))
    assert list(estate.clusters) == ["no"]


def test_yes_and_no_are_understood_where_true_or_false_belongs() -> None:
    assert load(in_check("retry: no")).clusters["eu"].components["web"].checks["page"].retry is False


def test_a_secret_in_a_header_is_a_reference_and_text_is_text() -> None:
    estate = load(in_check("headers: {Authorization: 'env:TOKEN', Accept: text/html}"))
    check = estate.clusters["eu"].components["web"].checks["page"]
    assert isinstance(check, checks.HttpCheck)
    assert check.headers == {
        "Authorization": values.SecretRef(source="env", name="TOKEN"),
        "Accept": "text/html",
    }


def test_what_is_sent_keeps_its_line_end() -> None:
    estate = load(
        edited((CHECK, 'type: tcp\n            host: h\n            port: 1\n            send: "PING\\r\\n"'))
    )
    check = estate.clusters["eu"].components["web"].checks["page"]
    assert isinstance(check, checks.TcpCheck)
    assert check.send == "PING\r\n"


@pytest.mark.parametrize(("every", "timeout"), [("5s", 5), ("1m", 10)])
def test_the_timeout_follows_a_short_every(every: str, timeout: int) -> None:
    check = load(in_check(f"every: {every}")).clusters["eu"].components["web"].checks["page"]
    assert check.timeout == timedelta(seconds=timeout)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # keys
        ("regions:", "site: {titel: x}\nregions:", (1, "site.titel", "unknown key", "did you mean `title`?")),
        ("    region: west", "    regoin: west", (7, "clusters.eu.regoin", "unknown key", "did you mean `region`?")),
        ("    region: west\n", "", (5, "clusters.eu.region", "missing", "one of the regions: west, north")),
        ("north: {", "EU West: {", (3, "regions.EU West", "not a possible key", "use lower-case letters, digits and hyphens, at most 63 of them, such as `eu-west`")),
        ("{name: West}", "{}", (2, "regions.west.name", "missing", "")),
        # kinds of values
        ("name: Europe", "name: 2.10", (6, "clusters.eu.name", "text is needed, not a number", "put it in quotes")),
        ("name: Europe", "name:", (6, "clusters.eu.name", "empty; text belongs here", "write it, or remove the key")),
        ("name: Europe", "name: ''", (6, "clusters.eu.name", "empty", "")),
        ("name: Europe", f"name: {'x' * 101}", (6, "clusters.eu.name", "longer than 100 characters", "")),
        ("name: Europe", "name: [x]", (6, "clusters.eu.name", "text is needed, not a list", "")),
        ("{name: West}", "West", (2, "regions.west", "a mapping (keys and values) is needed, not text", "")),
        ("region: west", "region: west\n    was: old", (8, "clusters.eu.was", "a list is needed, not text", "write [old]")),
        ("[eu/web]", "[]", (20, "agreements.gold.components", "empty; at least one entry is needed", "")),
        ("99.9", "high", (21, "agreements.gold.objective", "a number is needed, not text", "")),
        ("99.9", "101", (21, "agreements.gold.objective", "must be at most 100", "")),
        ("99.9", "-1", (21, "agreements.gold.objective", "must be at least 0", "")),
        ("regions:", "version: 2\nregions:", (1, "version", "`2` is not possible here", "possible here: 1")),
        ("regions:", "site: {languages: [fr]}\nregions:", (1, "site.languages[0]", "`fr` is not possible here", "possible here: en, de")),
        ("regions:", "site: {colours: {accent: green}}\nregions:", (1, "site.colours.accent", "not a colour", "write # and six hexadecimal digits in quotes, such as '#0b6e4f'")),
        ("regions:", "site: {time_zone: Europe/Berln}\nregions:", (1, "site.time_zone", "'Europe/Berln' is not a time zone", "did you mean `Europe/Berlin`?")),
        ("regions:", "site: {listen: '8080'}\nregions:", (1, "site.listen", "not an address to listen on", "write host:port, such as 127.0.0.1:8080 or [::1]:8080")),
        # between the parts
        ("region: west", "region: wset", (7, "clusters.eu.region", "no region is called `wset`", "did you mean `west`?")),
        ("region: west", "region: west\n    secondary: nort", (8, "clusters.eu.secondary", "no region is called `nort`", "did you mean `north`?")),
        ("region: west", "region: west\n    secondary: west", (8, "clusters.eu.secondary", "the secondary region is the primary one", "recovery needs another region; name one, or remove the key")),
        ("customer: acme", "customer: amce", (18, "agreements.gold.customer", "no customer is called `amce`", "did you mean `acme`?")),
        ("customers:\n  acme: {name: Acme}\n", "", (16, "agreements.gold.customer", "no customer is called `acme`", "declare it under `customers`")),
        ("eu/web", "eu/wbe", (20, "agreements.gold.components[0]", "`eu/wbe` matches no component", "did you mean `eu/web`?")),
        ("eu/web", "ue/web", (20, "agreements.gold.components[0]", "`ue/web` matches no component", "did you mean `eu/web`?")),
        ("eu/web", "eu/mail", (20, "agreements.gold.components[0]", "`eu/mail` matches no component", "components of eu: web")),
        ("eu/web", "usa/*", (20, "agreements.gold.components[0]", "`usa/*` matches no component", "clusters: eu")),
        ("eu/web", "eu", (20, "agreements.gold.components[0]", "`eu` does not name components", "write cluster/component, with * for all: eu/api, eu/*, */website")),
        ("99.9", "99.9\n    window: 3h", (22, "agreements.gold.window", "a rolling window is 1d to 366d long", "write calendar_month, or a rolling window such as 30d")),
        ("99.9", "99.9\n    window: month", (22, "agreements.gold.window", "not a window", "write calendar_month, or a rolling window such as 30d")),
        ("99.9", "99.9\n    notice: 9999999w", (22, "agreements.gold.notice", "'9999999w' is longer than 100 years", "write 500ms, 10s, 5m or 14d")),
        ("99.9", "99.9\n    notice: 72", (22, "agreements.gold.notice", "write a duration with its unit, such as 500ms, 10s, 5m or 14d", "")),
        ("99.9", "99.9\n    report_link: hunter2", (22, "agreements.gold.report_link", "write a secret by reference: env:NAME or file:/path, never in the file itself", "")),
        ("99.9", "99.9\n    credits: [{below: 99, credit: 5}, {below: 99.5, credit: 9}]", (22, "agreements.gold.credits[1].below", "99.5 comes after 99", "order the tiers from the highest `below` down")),
        ("99.9", "99.9\n    credits: [{below: 99, credit: 5}, {below: 99, credit: 9}]", (22, "agreements.gold.credits[1].below", "below 99 is given twice", "keep one of the two")),
        ("99.9", "99.9\n    credits: [{below: 99, credit: 5}, {below: 98, credit: 5}]", (22, "agreements.gold.credits[1].credit", "5 is not more than the tier above", "a lower availability is owed more than 5")),
        ("99.9", "99.9\n    credits: [{below: 99.95, credit: 5}]", (22, "agreements.gold.credits[0].below", "a credit below 99.95, although the objective is 99.9", "a credit is owed for a missed objective only; lower it, or raise the objective")),
        # the site and what is kept
        ("regions:", "site: {languages: [en, en]}\nregions:", (1, "site.languages[1]", "`en` is given twice", "keep one of the two")),
        ("regions:", "site: {listen: 'localhost:70000'}\nregions:", (1, "site.listen", "the port is above 65535", "")),
        ("regions:", "site: {url: 'https://x.example:99999'}\nregions:", (1, "site.url", "not a public address", "write https:// and the host that people visit")),
        ("regions:", "site: {url: 'https://x.example/?a=1'}\nregions:", (1, "site.url", "a public address has no ? and no #", "end it with the host or a path")),
        ("regions:", "retention: {minutes: 1d}\nregions:", (1, "retention.minutes", "`minutes` (1d) is kept for less than `results`", "keep it for 7d or longer")),
        ("regions:", "retention: {results: 1m}\nregions:", (1, "retention.results", "shorter than 1h", "")),
        # text
        ("name: Europe", 'name: "a\\nb"', (6, "clusters.eu.name", "holds the control character U+000A", "write it on one line")),
        ("name: Europe", 'name: "a\\u202eb"', (6, "clusters.eu.name", "holds the control character U+202E", "remove it")),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem(old: str, new: str, expected: tuple[int, str, str, str]) -> None:
    assert only(edited((old, new))) == expected


@pytest.mark.parametrize(
    ("extra", "key", "message"),
    [
        ("evry: 10s", "evry", "unknown key"),
        ("every: 10", "every", "write a duration with its unit, such as 500ms, 10s, 5m or 14d"),
        ("every: 10 s", "every", "'10 s' is not a duration"),
        ("every: 0.9s\n            timeout: 500ms", "every", "shorter than 1s"),
        ("every: 2d", "every", "longer than 1d"),
        ("timeout: 31s", "timeout", "the timeout (31s) is longer than the check's `every` (30s)"),
        ("timeout: 0s", "timeout", "shorter than 1ms"),
        ("timeouts: {tls: 11s}", "timeouts.tls", "longer than the check's `timeout` (10s)"),
        ("timeouts: {tls: 0s}", "timeouts.tls", "shorter than 1ms"),
        ("timeouts: {dns: 1s}", "timeouts.dns", "unknown key"),
        ("severity: bad", "severity", "`bad` is not possible here"),
        ("fail_after: 0", "fail_after", "must be at least 1"),
        (f"fail_after: {10**30}", "fail_after", "must be at most 100"),
        ("fail_after: two", "fail_after", "a whole number is needed, not text"),
        ("fail_after: 1.5", "fail_after", "a whole number is needed, not a number"),
        ("retry: maybe", "retry", "true or false is needed, not text"),
        ("conditions: [status == 200, wrong]", "conditions[1].expect", "not a condition for http"),
        ("conditions: [{expect: wrong}]", "conditions[0].expect", "not a condition for http"),
        ("conditions: [{otherwise: degraded}]", "conditions[0].expect", "missing"),
        ("conditions: status == 200", "conditions", "a list is needed, not text"),
        ("method: get", "method", "`get` is not possible here"),
        ("headers: {A: 1}", "headers.A", "a header is text, or a secret by reference"),
        ("headers: {A b: x}", "headers.A b", "not a possible header name"),
        ("headers: {Host: x, host: y}", "headers.host", "the same header as `Host`"),
        ("headers: {Content-Length: '1'}", "headers.Content-Length", "set by the check itself"),
        ("headers: {authorization: abc}", "headers.authorization", "a secret is given by reference, never in the file itself"),
        ("headers: {A: Zoë}", "headers.A", "a header holds ASCII only"),
        ('headers: {A: "x\\r\\nB: y"}', "headers.A", "holds the control character U+000D"),
        ("expected_status: []", "expected_status", "empty"),
        ("expected_status: 200", "expected_status", "a list is needed, not a number"),
        ("expected_status: [99]", "expected_status[0]", "not a status"),
        ("expected_status: [200, 600]", "expected_status[1]", "not a status"),
        ("expected_status: [2xx]", "expected_status[0]", "not a status"),
        ("expected_status: [299-200]", "expected_status[0]", "the range runs backwards"),
        ("expected_status: [{}]", "expected_status[0]", "not a status"),
        ("method: HEAD\n            body: x", "body", "a HEAD request has no body"),
        ("was: [page]", "was[0]", "`page` is what it is called now"),
        ("ca_file: none.pem", "ca_file", "there is no such file"),
    ],
)  # fmt: skip
def test_one_mistake_in_a_check_is_one_problem(extra: str, key: str, message: str) -> None:
    assert only(in_check(extra))[1:3] == (f"clusters.eu.components.web.checks.page.{key}", message)


REFERENCE = "write a secret by reference: env:NAME or file:/path, never in the file itself"


@pytest.mark.parametrize(
    ("check", "key", "message"),
    [
        ("{url: example.com}", ".url", "not an HTTP address"),
        ("{url: 'https://u:p@example.com'}", ".url", "the address holds a user name or password"),
        ("{url: 'https://example.com:99999'}", ".url", "not an HTTP address"),
        ("{url: 'https://[::1'}", ".url", "not an HTTP address"),
        ("{url: 'https://example.com/a b'}", ".url", "not an HTTP address"),
        ("{type: http}", ".url", "missing"),
        ("{type: htpp, url: 'https://x'}", ".type", "`htpp` is not possible here"),
        ("{type: [tcp], host: h, port: 1}", ".type", "`['tcp']` is not possible here"),
        ("{host: h, port: 1}", ".type", "missing"),
        ("{ulr: 'https://x'}", ".type", "missing"),
        ("https://example.com", "", "a mapping (keys and values) is needed, not text"),
        ("", "", "empty; a mapping (keys and values) belongs here"),
        ("{type: tcp, host: h, port: 0}", ".port", "must be at least 1"),
        ("{type: tcp, host: h, port: 65536}", ".port", "must be at most 65535"),
        ("{type: tcp, host: h}", ".port", "missing"),
        ("{type: tcp, host: h, port: 1, url: x}", ".url", "unknown key"),
        ("{type: tcp, host: 'h:1', port: 1}", ".host", "not a host"),
        ("{type: tcp, host: 'a b', port: 1}", ".host", "not a host"),
        ("{type: tls, host: 'https://h'}", ".host", "a host, not an address with a path"),
        ("{type: tls, host: h, conditions: [wrong]}", ".conditions[0].expect", "not a condition for tls"),
        ("{type: dns, name: 'a b'}", ".name", "not a name of the DNS"),
        ("{type: dns, name: example.com, record: AAAAA}", ".record", "`AAAAA` is not possible here"),
        ("{type: dns, name: example.com, server: '192.0.2.1:53'}", ".server", "not a host"),
        ("{type: icmp, host: h, count: 11}", ".count", "must be at most 10"),
        ("{type: amqp, host: h, user: u, password: hunter2}", ".password", REFERENCE),
        ("{type: amqp, host: h, user: u}", ".password", "missing"),
        ("{type: smtp, host: h, tls: maybe}", ".tls", "`maybe` is not possible here"),
        ("{type: grpc, host: h, port: 1, metadata: {Up: x}}", ".metadata.Up", "not a possible name"),
        ("{type: grpc, host: h, port: 1, metadata: {te: x}}", ".metadata.te", "set by the check itself"),
        (
            "{type: grpc, host: h, port: 1, metadata: {a-bin: x}}",
            ".metadata.a-bin",
            "binary metadata cannot be sent",
        ),
        (
            "{type: grpc, host: h, port: 1, metadata: {authorization: x}}",
            ".metadata.authorization",
            "a secret is given by reference, never in the file itself",
        ),
        ("{type: postgres, host: h, user: u}", ".database", "missing"),
        ("{type: postgres, host: h, user: u, database: d, query: ''}", ".query", "empty"),
        ("{type: websocket, url: 'https://x'}", ".url", "not a WebSocket address"),
        ("{type: websocket, url: 'ws://x:99999/'}", ".url", "not a WebSocket address"),
        (
            "{type: websocket, url: 'ws://x', headers: {Sec-WebSocket-Key: x}}",
            ".headers.Sec-WebSocket-Key",
            "set by the check itself",
        ),
        ("{type: prometheus, url: 'http://x', query: up}", ".conditions", "missing"),
        (
            "{type: prometheus, url: 'http://x/api/v1/query', query: up, conditions: [c]}",
            ".url",
            "more than the address of a server",
        ),
        ("{type: domain, domain: com}", ".domain", "not a domain"),
        ("{type: domain, domain: 192.0.2.1}", ".domain", "not a domain"),
        ("{type: domain, domain: example.com, rdap: example.com}", ".rdap", "not an HTTP address"),
        ("{type: domain, domain: example.com, whois: 'a:0'}", ".whois", "not a possible port"),
        ("{type: domain, domain: example.com, whois: 'a b'}", ".whois", "not a server"),
    ],
)
def test_a_check_is_judged_as_what_it_is(check: str, key: str, message: str) -> None:
    text = edited((f"page:\n            {CHECK}", f"page: {check}"))
    assert only(text)[1:3] == (f"clusters.eu.components.web.checks.page{key}", message)


def test_an_address_by_number_is_a_host() -> None:
    assert problems(edited((CHECK, "{type: tcp, host: '::1', port: 1}"))) == ()


def test_a_misspelt_key_is_not_also_missing() -> None:
    assert [p.message for p in problems(edited(("objective", "objectiv")))] == ["unknown key"]


def test_was_must_be_free_and_claimed_once() -> None:
    component = "        name: Website\n"
    others = (
        "      {0}: {{name: X, was: [{1}], checks: {{c: {{url: 'https://x'}}}}}}\n"
        "      {2}: {{name: Y, {3}checks: {{c: {{url: 'https://x'}}}}}}\n"
    )
    head = "    components:\n"
    in_use = edited((head, head + others.format("a", "b", "b", "")))
    assert only(in_use)[1:3] == ("clusters.eu.components.a.was[0]", "`b` is still in use")
    twice = edited((head, head + others.format("a", "z", "b", "was: [z], ")))
    assert only(twice)[1:3] == ("clusters.eu.components.b.was[0]", "`z` is claimed by `a` already")
    swap = edited((head, head + others.format("a", "b", "b", "was: [a], ")))
    assert problems(swap) == ()
    assert problems(edited((component, component + "        was: [site, portal]\n"))) == ()


def test_two_customers_do_not_share_a_report_link() -> None:
    text = (
        VALID
        + "    report_link: env:LINK\n  silver: {customer: b, name: S, components: ['*/*'], objective: 9, report_link: 'env:LINK'}\n"
    )
    text = text.replace("customers:\n", "customers:\n  b: {name: B}\n")
    assert only(text)[1:3] == ("agreements.silver.report_link", "the same secret as agreement `gold`")
    assert problems(text.replace("customer: b", "customer: acme")) == ()


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = edited(
        ("{name: West}", "{nmae: West}"),
        ("region: west", "region: wset"),
        (CHECK, f"{CHECK}\n            evry: 1s\n            timeout: 40s\n            conditions: [wrong]"),
        ("customer: acme", "customer: b\n    custmer: acme"),
        ("[eu/web]", "[eu/wbe, eu]"),
        ("99.9", "99.9\n    credits: [{below: 99, credit: 1}, {below: 99.5, credit: x}]\n    objective: 98"),
    )
    found = problems(text)
    assert [p.line for p in found] == sorted(p.line for p in found)
    assert [(p.path or p.message) for p in found] == [
        "regions.west.nmae",
        "clusters.eu.region",
        "clusters.eu.components.web.checks.page.evry",
        "clusters.eu.components.web.checks.page.timeout",
        "clusters.eu.components.web.checks.page.conditions[0].expect",
        "agreements.gold.customer",
        "agreements.gold.custmer",
        "agreements.gold.components[0]",
        "agreements.gold.components[1]",
        "agreements.gold.credits[1].below",
        "agreements.gold.credits[1].credit",
        "the key `objective` is given twice",
    ]


def test_a_broken_part_does_not_make_the_others_wrong() -> None:
    """A reference to a part that is there, if broken, is no second problem."""
    text = edited(("{name: West}", "7"), ("  acme: {name: Acme}", "  acme: {}"), (CHECK, "nothing: here"))
    assert [p.path for p in problems(text)] == [
        "regions.west",
        "clusters.eu.components.web.checks.page.type",
        "customers.acme.name",
    ]


def test_a_default_is_not_judged_in_place_of_a_broken_value() -> None:
    assert (
        only(in_check("every: often\n            timeout: 50s"))[1]
        == "clusters.eu.components.web.checks.page.every"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file declares nothing"),
        (b"# nothing\n", "the file declares nothing"),
        (b"[1, 2]", "an estate is a mapping of keys to values"),
        (b"just text", "an estate is a mapping of keys to values"),
        (b"a: \xff\n", "not UTF-8 text"),
        ("a: 1".encode("utf-16"), "not UTF-8 text"),
        (b"#" * (4 * 1024 * 1024 + 1), "larger than 4 MiB"),
    ],
)
def test_a_file_that_is_no_estate(content: bytes, message: str) -> None:
    assert [p.message for p in problems(content)] == [message]


def test_a_byte_order_mark_is_fine() -> None:
    assert problems(b"\xef\xbb\xbf" + VALID.encode()) == ()


def test_the_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(EstateError) as raised:
        load_estate(tmp_path / "holdfast.yaml", any_condition)
    assert raised.value.as_text() == (
        f"{tmp_path}/holdfast.yaml  there is no such file\n    hint: `holdfast init` writes one to begin with"
    )
    with pytest.raises(EstateError, match="cannot be read: Is a directory"):
        load_estate(tmp_path, any_condition)


def test_texts_for_people_and_for_programs() -> None:
    with pytest.raises(EstateError) as raised:
        load(in_check("evry: 10s\n            fail_after: 0"))
    error = raised.value
    path = "clusters.eu.components.web.checks.page"
    assert error.as_text() == (
        f"holdfast.yaml:14:13  {path}.evry: unknown key\n    hint: did you mean `every`?\n"
        f"holdfast.yaml:15:25  {path}.fail_after: must be at least 1"
    )
    assert str(error) == f"holdfast.yaml has 2 problems; the first: line 14: {path}.evry: unknown key"
    assert error.hint == "did you mean `every`?"
    assert error.as_json()[0] == {
        "file": "holdfast.yaml",
        "line": 14,
        "column": 13,
        "path": f"{path}.evry",
        "message": "unknown key",
        "hint": "did you mean `every`?",
    }


def test_a_secret_written_by_mistake_is_not_repeated() -> None:
    text = edited(
        ("regions:", "postgres: {url: 'postgres://u:hunter2@h/d'}\nregions:"),
        (CHECK, "url: 'hunter2'\n            headers: {Cookie: hunter2, X-Api-Key: hunter2}"),
        ("99.9", "99.9\n    report_link: hunter2"),
    )
    with pytest.raises(EstateError) as raised:
        load(text)
    assert len(raised.value.problems) == 5
    assert "hunter2" not in raised.value.as_text()
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (PNG, None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"<?xml version='1.0'?>\n<!-- made by hand -->\n<svg ></svg>", None),
        (b"GIF89a", "`logo` is neither an SVG nor a PNG"),
        (b"<html><svg/></html>", "`logo` is neither an SVG nor a PNG"),
        (b"<svg><script>1</script></svg>", "`logo` is an SVG that does more than show"),
        (b"<svg onload='x'/>", "`logo` is an SVG that does more than show"),
        (PNG + bytes(256 * 1024), "larger than 256 KiB"),
    ],
)
def test_the_logo(tmp_path: Path, content: bytes | None, message: str | None) -> None:
    if content is not None:
        (tmp_path / "logo").write_bytes(content)
    found = problems(edited(("regions:", "site: {logo: logo}\nregions:")), tmp_path)
    assert [p.message for p in found] == ([message] if message else [])


def test_a_logo_that_is_a_folder_or_no_name_at_all(tmp_path: Path) -> None:
    assert only(edited(("regions:", "site: {logo: .}\nregions:")), tmp_path)[2] == "not a file"
    (tmp_path / "locked").mkdir(mode=stat.S_IRWXU)
    long = "x" * 300
    assert only(edited(("regions:", f"site: {{logo: {long}}}\nregions:")), tmp_path)[2].startswith(
        "cannot be read"
    )


def test_authorities(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    assert problems(in_check("ca_file: ca.pem"), tmp_path) == ()
    assert only(in_check("ca_file: key.pem"), tmp_path)[2] == "`key.pem` holds no certificate"


def test_every_part_of_the_model_has_its_place() -> None:
    """A part that `model_at` does not know would get no did-you-mean and no rules in a broken file."""
    raw = {"url": "x"}
    check = ("clusters", "a", "components", "b", "checks", "c")
    reached = {
        model_at(path, raw)
        for path in [
            (),
            ("site",),
            ("site", "colours"),
            ("agents",),
            ("postgres",),
            ("retention",),
            ("regions", "a"),
            ("vantage_points", "a"),
            ("customers", "a"),
            ("agreements", "a"),
            ("agreements", "a", "credits", 0),
            ("alerts",),
            ("alerts", "channels", "a"),
            ("alerts", "routes", 0),
            ("alerts", "routes", 0, "match"),
            check[:2],
            check[:4],
            check,
            (*check[:4], "metrics", "c"),
            (*check, "timeouts"),
            (*check, "conditions", 0),
        ]
    } | {model_at(check, {"type": kind}) for kind in CHECK_TYPES}
    parts = {
        value
        for module in (values, checks, model)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__ == module.__name__
    }
    assert reached == parts - {values.Declared, checks.CheckBase, checks.Trusting, values.SecretRef}
    assert get_args(checks.Check)
