"""Who reads what in a report: incidents beside downtimes, and nothing of what is private."""

from dataclasses import replace

from reported import API, DOWN_AT, HOUR, OCTOBER, VAULT, WEBSITE, Past, incident

from holdfast.availability.views import Cause
from holdfast.communication.model import ComponentState, Phase, Update
from holdfast.interfaces.reports.as_json import as_json, plain
from holdfast.kernel.windows import Window

MAJOR = ComponentState.MAJOR_OUTAGE


async def test_a_downtime_names_its_incident_or_that_none_was_declared(past: Past) -> None:
    report = await past.desk().cluster("eu", OCTOBER)

    assert report is not None
    told = [(each.trouble.part.id, each.incident and each.incident.id) for each in report.downtimes]
    assert told == [(WEBSITE, "inc000000001"), (API, None)]
    assert [each.part.id for each in report.unknown] == [API], "nobody knows what it was: no downtime"


async def test_the_public_reads_nothing_of_a_private_cluster(past: Past) -> None:
    past.incidents.incidents_told = [incident(2, "The vault of Nordwind burns", WEBSITE, VAULT)]
    past.planned.append(
        replace(past.planned[1], id=3, component_ids=frozenset({API, VAULT}), title="Vault key change")
    )
    desk = past.desk()

    assert await desk.component("vip", "vault", OCTOBER) is None
    assert await desk.cluster("vip", OCTOBER) is None
    report = await desk.cluster("eu", OCTOBER)

    assert report is not None
    text = as_json(report).decode()
    assert "ault" not in text
    assert "vip" not in text
    assert [each.incident for each in report.downtimes] == [None, None]
    assert [each.maintenance.title for each in report.review.planned] == ["Database upgrade", ""]


async def test_what_spoke_of_a_private_cluster_once_stays_private(past: Past) -> None:
    """Its title may still name it, though a later update no longer does."""
    told = incident(2, "The vault of Nordwind burns", WEBSITE)
    first = Update("u00000000001", DOWN_AT, Phase.IDENTIFIED, "Fire.", "ada", {VAULT: MAJOR, WEBSITE: MAJOR})
    past.incidents.incidents_told = [replace(told, updates=(first,))]

    public = await past.desk().cluster("eu", OCTOBER)
    theirs = await past.desk().agreement("premium", OCTOBER)

    assert public is not None
    assert [each.incident for each in public.downtimes] == [None, None]
    assert theirs is not None
    known = {(each.incident.title, each.is_public) for each in theirs.downtimes if each.incident}
    assert known == {("The vault of Nordwind burns", False)}


async def test_a_customer_reads_what_its_agreement_covers(past: Past) -> None:
    past.incidents.incidents_told = [incident(2, "The vault burns", VAULT, began_at=DOWN_AT - HOUR)]
    report = await past.desk().agreement("premium", OCTOBER)

    assert report is not None
    vault = next(each for each in report.downtimes if each.trouble.part.id == VAULT)
    website = next(each for each in report.downtimes if each.trouble.part.id == WEBSITE)
    assert vault.incident is not None
    assert vault.incident.title == "The vault burns"
    assert not vault.is_public
    assert website.trouble.event.because_of == (Cause("vip", "vault", "Vault", "Secret"),)


async def test_another_customer_reads_nothing_of_it(past: Past) -> None:
    past.incidents.incidents_told = [incident(2, "The vault burns", VAULT, API, began_at=DOWN_AT + 48 * HOUR)]
    report = await past.desk().agreement("rolling", Window(OCTOBER.start, OCTOBER.end))

    assert report is not None
    assert [each.incident for each in report.downtimes] == [None]


async def test_an_operator_sees_everything(past: Past) -> None:
    report = await past.desk(insider=True).component("vip", "vault", OCTOBER)

    assert report is not None
    assert report.review.name == "Secret Vault"


async def test_drafts_and_merged_incidents_are_not_declared(past: Past) -> None:
    draft = replace(incident(1, "Not yet", WEBSITE), draft=True, published_at=None)
    merged = replace(incident(2, "Gone", WEBSITE), merged_into="inc000000009")
    past.incidents.incidents_told = [draft, merged]
    report = await past.desk().component("eu", "website", OCTOBER)

    assert report is not None
    assert [each.incident for each in report.downtimes] == [None]


async def test_files_are_named_after_their_subject_and_days(past: Past) -> None:
    desk = past.desk()
    month = await desk.agreement("premium", OCTOBER)
    days = await desk.component("eu", "website", Window(OCTOBER.start, DOWN_AT))

    assert month is not None
    assert days is not None
    assert month.name == "agreement-premium-2026-10"
    assert days.name == "component-eu-website-2026-10-01-2026-10-14"


async def test_the_json_schema_is_the_one_that_is_documented(past: Past) -> None:
    """Every field that there is; one more needs a line in docs/reports.md, one less a new format."""
    report = await past.desk().agreement("premium", OCTOBER)

    assert report is not None
    told = plain(report)
    assert told["format"] == "holdfast-report-1"
    assert {
        name: sorted(told[name][0])
        for name in ("components", "months", "downtimes", "unknown", "maintenance", "frozen")
    } == {
        "components": ["figure", "key", "name"],
        "months": [
            "budget",
            "complete",
            "credit_percent",
            "figure",
            "from",
            "intervals_sha256",
            "met",
            "month",
            "to",
        ],
        "downtimes": [
            "because_of",
            "component",
            "duration_s",
            "excluded_maintenance_s",
            "from",
            "incident",
            "reason",
            "sample",
            "state",
            "to",
        ],
        "unknown": [
            "because_of",
            "component",
            "duration_s",
            "excluded_maintenance_s",
            "from",
            "reason",
            "sample",
            "state",
            "to",
        ],
        "maintenance": ["announced_at", "cancelled_at", "components", "counting", "from", "title", "to"],
        "frozen": [
            "availability_percent",
            "corrects",
            "credit_percent",
            "formula",
            "frozen_at",
            "id",
            "intervals_sha256",
            "met",
            "month",
            "sample",
            "unknown_s",
            "weighted_downtime_s",
        ],
    }
    assert sorted(told) == [
        "budget",
        "components",
        "counted_to",
        "credit_percent",
        "downtimes",
        "figure",
        "format",
        "formula",
        "from",
        "frozen",
        "latency",
        "made_at",
        "maintenance",
        "met",
        "months",
        "objective_percent",
        "sample",
        "subject",
        "terms",
        "time_zone",
        "to",
        "unknown",
    ]
    incident_told = next(each["incident"] for each in told["downtimes"] if each["incident"])
    assert sorted(incident_told) == ["began_at", "id", "impact", "phase", "resolved_at", "title"]
