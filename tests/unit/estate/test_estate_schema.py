"""The schema, the template and the reference page say the same as the loader."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from estate_files import VALID, edited, load, problems
from pydantic import BaseModel

from holdfast.availability.conditions import validate
from holdfast.estate import backup, checks, communication, drills, ledger, model, recovery, values
from holdfast.estate.loader import parse_estate
from holdfast.estate.schema import estate_schema
from holdfast.estate.source import plain, read_tree
from holdfast.estate.template import render_template

PAGE = (Path(__file__).parents[3] / "docs" / "estate.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.split("```yaml\n", 1)[1].split("```", 1)[0]


def tree(text: str) -> Any:
    root, faults = read_tree(text)
    assert root is not None
    assert faults == []
    return plain(root)


def matches(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """The part of JSON Schema that our schema uses; a keyword that is not known here fails the test."""
    known = {"$schema", "$defs", "title", "description", "default", "examples", "discriminator"}
    return all(_holds(key, limit, value, schema, root) for key, limit in schema.items() if key not in known)


def _holds(key: str, limit: Any, value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    number = not isinstance(value, (str, list, dict, bool)) and value is not None
    match key:
        case "$ref":
            return matches(value, root["$defs"][limit.removeprefix("#/$defs/")], root)
        case "anyOf":
            return any(matches(value, option, root) for option in limit)
        case "oneOf":
            return sum(matches(value, option, root) for option in limit) == 1
        case "type":
            kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
            return number if limit in ("number", "integer") else isinstance(value, kinds[limit])
        case "const":
            return bool(value == limit)
        case "enum":
            return value in limit
        case "pattern":
            return not isinstance(value, str) or re.search(limit, value) is not None
        case "minimum":
            return not number or value >= limit
        case "maximum":
            return not number or value <= limit
        case "minLength" | "minItems" | "minProperties":
            return not isinstance(value, (str, list, dict)) or len(value) >= limit
        case "maxLength" | "maxItems":
            return not isinstance(value, (str, list)) or len(value) <= limit
        case "items":
            return not isinstance(value, list) or all(matches(item, limit, root) for item in value)
        case "required":
            return not isinstance(value, dict) or set(limit) <= set(value)
        case "properties" | "patternProperties" | "additionalProperties":
            return not isinstance(value, dict) or _properties_hold(value, schema, root)
    raise AssertionError(f"a keyword that this test does not know: {key}")


def _properties_hold(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any]) -> bool:
    for key, item in value.items():
        fitting = [
            sub for pattern, sub in schema.get("patternProperties", {}).items() if re.search(pattern, key)
        ]
        if key in schema.get("properties", {}):
            fitting.append(schema["properties"][key])
        if not fitting or not all(matches(item, sub, root) for sub in fitting):
            return False
    return True


def objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, below in schema.items():
            yield from objects(below, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, below in enumerate(schema):
            yield from objects(below, f"{path}/{index}")


def test_the_schema_says_what_it_is() -> None:
    schema = estate_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Holdfast estate"
    assert schema["description"]
    assert all(definition["description"] for definition in schema["$defs"].values())


def test_the_schema_is_closed_everywhere() -> None:
    found = dict(objects(estate_schema()))
    assert len(found) > 20
    assert [path for path, schema in found.items() if schema.get("additionalProperties") is not False] == []


def test_defaults_are_written_as_an_operator_writes_them() -> None:
    agreement = estate_schema()["$defs"]["Agreement"]["properties"]
    assert agreement["notice"]["default"] == "3d"
    assert estate_schema()["$defs"]["HttpCheck"]["properties"]["every"]["default"] == "30s"


@pytest.mark.parametrize("text", [VALID, render_template(), EXAMPLE.replace("retry: no", "retry: false")])
def test_the_schema_accepts_what_the_loader_accepts(text: str) -> None:
    schema = estate_schema()
    assert matches(tree(text), schema, schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("regions:", "region: 1\nregions:"),
        ("  eu:", "  EU:"),
        ("    region: west\n", ""),
        ("url: https://example.com/", "url: example.com"),
        ("url: https://example.com/", "url: https://example.com/\n            every: 5"),
        ("url: https://example.com/", "url: https://example.com/\n            evry: 5s"),
        ("url: https://example.com/", "url: https://example.com/\n            headers: {A b: x}"),
        ("url: https://example.com/", "type: tcp\n            host: h"),
        ("url: https://example.com/", "host: h"),
        ("[eu/web]", "[eu]"),
        ("99.9", "101"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(old: str, new: str) -> None:
    schema = estate_schema()
    text = edited((old, new))
    assert problems(text)
    assert not matches(tree(text), schema, schema)


def test_a_condition_may_be_a_text_or_a_mapping() -> None:
    schema = estate_schema()
    url = "url: https://example.com/"
    text = edited((url, f"{url}\n            conditions: [status == 200, {{expect: status == 200}}]"))
    load(text)
    assert matches(tree(text), schema, schema)


def test_the_template_and_the_example_load_with_the_real_condition_language() -> None:
    template = parse_estate(render_template().encode(), Path("holdfast.yaml"), validate)
    assert list(template.clusters) == ["eu"]
    example = parse_estate(EXAMPLE.encode(), Path("holdfast.yaml"), validate)
    assert len(example.clusters["eu"].components) == 4


def test_the_settings_that_the_template_offers_in_comments_are_right() -> None:
    """Each commented setting is put in force, but for the logo, which is a file."""
    text = re.sub(
        r"^( *)# (?=(?:url|colours|headers|conditions|report_link|retention|postgres):)",
        r"\1",
        render_template(),
        flags=re.MULTILINE,
    )
    text = text.replace("#   url: env:", "  url: env:")
    estate = parse_estate(text.encode(), Path("holdfast.yaml"), validate)
    assert estate.site.url == "https://status.example.com"
    assert estate.postgres.url is not None
    assert estate.agreements["acme-gold"].report_link is not None
    health = estate.clusters["eu"].components["api"].checks["health"]
    assert isinstance(health, checks.HttpCheck)
    assert len(health.conditions) == 1
    assert isinstance(health.headers["Authorization"], values.SecretRef)
    assert estate.retention == model.Retention()


def test_what_the_template_says_about_readers_is_right() -> None:
    template = render_template()
    begin = template.index("# communication:")
    text, rest = template[:begin], template[begin:]
    section, _, after = rest.partition("# How long each resolution")
    text += re.sub(
        r"^# (?=communication:|mail:|console:|backup:|databases:|ledger:| )", "", section, flags=re.MULTILINE
    )
    estate = parse_estate(f"{text}# {after}".encode(), Path("holdfast.yaml"), validate)
    assert estate.communication.rules["outages"].template == "outage"
    assert estate.mail is not None
    assert estate.console.url == "https://console.example.com"
    assert set(estate.databases["main"].copies) == set(estate.backup.stores)
    assert estate.ledger is not None


SECTIONS: dict[str, tuple[type[BaseModel], type[BaseModel] | None]] = {
    "The file": (model.Estate, None),
    "`site`": (model.Site, None),
    "`agents`": (model.Agents, None),
    "`postgres`": (model.Postgres, None),
    "`retention`": (model.Retention, None),
    "A region": (model.Region, None),
    "A vantage point": (model.VantagePoint, None),
    "A cluster": (model.Cluster, None),
    "A component": (model.Component, None),
    "A metric": (model.Metric, None),
    "A check (": (checks.CheckBase, None),
    "An HTTP check": (checks.HttpCheck, checks.CheckBase),
    "A TCP check": (checks.TcpCheck, checks.CheckBase),
    "A TLS check": (checks.TlsCheck, checks.CheckBase),
    "A DNS check": (checks.DnsCheck, checks.CheckBase),
    "An ICMP check": (checks.IcmpCheck, checks.CheckBase),
    "An AMQP check": (checks.AmqpCheck, checks.CheckBase),
    "An SMTP check": (checks.SmtpCheck, checks.CheckBase),
    "A gRPC check": (checks.GrpcCheck, checks.CheckBase),
    "A PostgreSQL check": (checks.PostgresCheck, checks.CheckBase),
    "A WebSocket check": (checks.WebsocketCheck, checks.CheckBase),
    "A Prometheus check": (checks.PrometheusCheck, checks.CheckBase),
    "A domain check": (checks.DomainCheck, checks.CheckBase),
    "A heartbeat check": (checks.HeartbeatCheck, checks.CheckBase),
    "A customer": (model.Customer, None),
    "An agreement": (model.Agreement, None),
    "`alerts`": (model.Alerts, None),
    "A channel": (model.AlertChannel, None),
    "A route": (model.AlertRoute, None),
    "What a route matches": (model.AlertMatch, None),
    "A place of the site": (communication.Publish, None),
    "`mail`": (communication.Mail, None),
    "`communication`": (communication.Communication, None),
    "A template": (communication.IncidentTemplate, None),
    "A rule": (communication.IncidentRule, None),
    "`communication.subscriptions`": (communication.Subscriptions, None),
    "A scheduled report": (communication.ScheduledReport, None),
    "`console`": (communication.Console, None),
    "OpenID Connect": (communication.OpenId, None),
    "Who has which role": (communication.OpenIdRole, None),
    "`backup`": (backup.Backup, None),
    "A region's store": (backup.Store, None),
    "Encryption of copies": (backup.Encryption, None),
    "A database": (backup.Database, None),
    "Its connection": (backup.DatabaseConnection, None),
    "How long copies are kept": (backup.Keep, None),
    "What a commit waits for": (backup.Sync, None),
    "When backups are taken": (backup.Schedule, None),
    "What must be true of a copy": (backup.Verification, None),
    "`ledger`": (ledger.Ledger, None),
    "The second region": (ledger.LedgerRegion, None),
    "The witness": (ledger.LedgerWitness, None),
    "What is unusual": (ledger.Unusual, None),
    "`recovery`": (recovery.Recovery, None),
    "A drill": (drills.Drill, None),
    "What is aimed at": (drills.DrillTarget, None),
    "The log of evidence": (drills.EvidenceKeeping, None),
    "A database that can be put back": (recovery.RecoveryDatabase, None),
    "Recovery of a cluster": (recovery.ClusterRecovery, None),
    "Its PostgreSQL": (recovery.RecoveryPostgres, None),
    "An edge": (recovery.RecoveryEdge, None),
    "The name that users know": (recovery.RecoveryDns, None),
    "Replicas of a region": (recovery.RecoveryScale, None),
    "A user's write": (recovery.RecoveryWrite, None),
    "How regions are watched": (recovery.Watch, None),
    "A failover that begins by itself": (recovery.Automatic, None),
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_page_describes_every_key_and_no_other(heading: str) -> None:
    part, base = SECTIONS[heading]
    section = PAGE.split(f"### {heading}", 1)[1].split("\n#", 1)[0]
    described = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    inherited = set(base.model_fields) if base else set()
    if part is checks.HeartbeatCheck:
        # It gives some of what all checks share a meaning, or a default, of its own.
        inherited = set(checks.CheckBase.model_fields) - {"every", "fail_after", "recover_after"}
    assert described - {"type"} == set(part.model_fields) - inherited - {"type"}


def test_the_page_has_a_section_for_every_part() -> None:
    assert PAGE.count("\n### ") == len(SECTIONS)


def test_an_estate_comes_back_from_its_json_as_it_was() -> None:
    """The registry keeps each revision as JSON; references to secrets stay references."""
    # Reports are of months, which a rolling window does not have.
    without_reports = re.sub(r"^  reports:\n(?:    .*\n)+", "", EXAMPLE, flags=re.MULTILINE)
    text = without_reports.replace("window: calendar_month", "window: 30d")
    estate = parse_estate(text.encode(), Path("holdfast.yaml"), validate)
    assert model.Estate.model_validate_json(estate.model_dump_json()) == estate
    assert model.Estate.model_validate(estate.model_dump(mode="json")) == estate
