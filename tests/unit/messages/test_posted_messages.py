"""What web hooks, Slack and Teams are sent: the fields that readers expect, and no markup of strangers."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.communication.delivering import Announcement, Recipient, Request, RequestKind
from holdfast.communication.model import (
    Channel,
    ComponentChange,
    ComponentState,
    Event,
    Impact,
    Incident,
    Letter,
    Maintenance,
    Notice,
    Phase,
    Place,
    Revision,
    Stage,
    Update,
)
from holdfast.communication.statuspage import cluster_id_of, component_id_of, page_id_of
from holdfast.interfaces.messages.chats import Chats
from holdfast.interfaces.messages.links import Links
from holdfast.interfaces.messages.mails import Stationery
from holdfast.interfaces.messages.payloads import MOST_UPDATES, Payloads
from holdfast.kernel.windows import Window

AT = datetime(2026, 11, 22, 13, 0, 0, 123_456, tzinfo=UTC)
STATIONERY = Stationery("Printcloud", ZoneInfo("Europe/Berlin"), Links("https://status.example.com"))
PLACES = {1: Place("eu", "EU", "api", "API"), 2: Place("eu", "EU", "website", "Website")}
UPDATES = (
    Update(
        "u1",
        AT - timedelta(hours=1),
        "investigating",
        "We *look* into it.",
        "ann",
        {1: ComponentState.MAJOR_OUTAGE},
    ),
    Update(
        "u2",
        AT,
        "resolved",
        "It works again.",
        "ann",
        {1: ComponentState.OPERATIONAL},
        AT,
        (Revision("It works.", AT, AT + timedelta(minutes=1), "ann"),),
    ),
)
INCIDENT = Incident(
    id="abcdefghijkl",
    title="Printing fails",
    impact=Impact.MAJOR,
    phase=Phase.RESOLVED,
    began_at=AT - timedelta(hours=1),
    affected={1: ComponentState.OPERATIONAL},
    updates=UPDATES,
    published_at=AT - timedelta(minutes=59),
    resolved_at=AT,
)
MAINTENANCE = Maintenance(
    id="mnopqrstuvwx",
    title="Database upgrade",
    body="Short interruptions.",
    window=Window(AT + timedelta(days=2), AT + timedelta(days=2, hours=1)),
    stage=Stage.SCHEDULED,
    component_ids=frozenset({1, 2}),
    announced_at=AT,
    remind=(timedelta(hours=1),),
)
RESOLVED = Notice(Event.INCIDENT_RESOLVED, AT, PLACES, incident=INCIDENT)
PLANNED = Notice(Event.MAINTENANCE_PLANNED, AT, PLACES, maintenance=MAINTENANCE)
DEGRADED = Notice(
    Event.DEGRADATION_BEGAN,
    AT,
    {1: PLACES[1]},
    component=ComponentChange(1, ComponentState.OPERATIONAL, ComponentState.PARTIAL_OUTAGE, "status was 503"),
)
NOTICES = {"incident": RESOLVED, "maintenance": PLANNED, "degradation": DEGRADED}

# As Statuspage posts them, in their order.
INCIDENT_FIELDS = (
    *("name", "status", "created_at", "updated_at", "monitoring_at", "resolved_at", "impact", "shortlink"),
    *("postmortem_ignored", "postmortem_body", "postmortem_body_last_updated_at", "postmortem_published_at"),
    *("postmortem_notified_subscribers", "postmortem_notified_twitter", "backfilled", "scheduled_for"),
    *("scheduled_until", "scheduled_remind_prior", "scheduled_reminded_at", "impact_override"),
    *(
        "scheduled_auto_in_progress",
        "scheduled_auto_completed",
        "id",
        "page_id",
        "incident_updates",
        "components",
    ),
)
UPDATE_FIELDS = (
    *(
        "status",
        "body",
        "created_at",
        "wants_twitter_update",
        "twitter_updated_at",
        "updated_at",
        "display_at",
    ),
    *("affected_components", "custom_tweet", "deliver_notifications", "id", "incident_id"),
)
COMPONENT_FIELDS = (
    *("status", "name", "created_at", "updated_at", "position", "description", "showcase", "id", "page_id"),
    "group_id",
)
COMPONENT_UPDATE_FIELDS = ("old_status", "new_status", "created_at", "component_type", "id", "component_id")


def to(channel: Channel = Channel.WEBHOOK, language: str = "en") -> Recipient:
    return Recipient(channel, language, "s1", "manage-token", "confirm-token")


def posted(notice: Notice, language: str = "en") -> dict[str, Any]:
    content = Payloads(STATIONERY).announced(Announcement("a", notice), to(language=language)).content
    found: dict[str, Any] = json.loads(content)
    return found


# Web hooks


def test_an_incident_has_the_fields_that_statuspage_has() -> None:
    told = posted(RESOLVED)
    assert list(told) == ["meta", "page", "incident", "holdfast"]
    assert list(told["meta"]) == ["unsubscribe", "documentation", "generated_at"]
    assert list(told["page"]) == ["id", "status_indicator", "status_description"]
    incident = told["incident"]
    assert tuple(incident) == INCIDENT_FIELDS
    assert all(tuple(each) == UPDATE_FIELDS for each in incident["incident_updates"])
    assert all(tuple(each) == COMPONENT_FIELDS for each in incident["components"])
    assert (
        told["meta"]["unsubscribe"] == "https://status.example.com/en/subscriptions/unsubscribe/manage-token"
    )
    assert told["page"] == {
        "id": page_id_of("https://status.example.com"),
        "status_indicator": "none",
        "status_description": "All Systems Operational",
    }
    assert (incident["status"], incident["impact"], incident["id"]) == ("resolved", "major", "abcdefghijkl")
    assert incident["resolved_at"] == incident["updated_at"] == "2026-11-22T13:00:00.123Z"
    assert incident["shortlink"] == "https://status.example.com/en/incidents/abcdefghijkl"
    newest, first = incident["incident_updates"]
    assert (newest["id"], first["id"]) == ("u2", "u1")
    assert newest["updated_at"] == "2026-11-22T13:01:00.123Z", "it was edited"
    assert newest["affected_components"] == [
        {
            "code": component_id_of("eu", "api"),
            "name": "EU API",
            "old_status": "major_outage",
            "new_status": "operational",
        }
    ]
    assert incident["components"][0]["group_id"] == cluster_id_of("eu")


def test_a_maintenance_is_an_incident_that_is_scheduled() -> None:
    told = posted(PLANNED)["incident"]
    assert tuple(told) == INCIDENT_FIELDS
    assert (told["status"], told["impact"]) == ("scheduled", "maintenance")
    assert told["scheduled_for"] == "2026-11-24T13:00:00.123Z"
    assert told["scheduled_until"] == "2026-11-24T14:00:00.123Z"
    assert [each["body"] for each in told["incident_updates"]] == ["Short interruptions."]
    assert {each["status"] for each in told["components"]} == {"operational"}
    under_way = replace(PLANNED, maintenance=replace(MAINTENANCE, stage=Stage.IN_PROGRESS))
    assert {each["status"] for each in posted(under_way)["incident"]["components"]} == {"under_maintenance"}
    assert posted(under_way)["page"]["status_indicator"] == "maintenance"
    cancelled = replace(PLANNED, maintenance=replace(MAINTENANCE, stage=Stage.CANCELLED))
    assert posted(cancelled)["incident"]["status"] == "completed"


def test_a_degradation_is_a_component_update() -> None:
    told = posted(DEGRADED)
    assert list(told) == ["meta", "page", "component_update", "component", "holdfast"]
    assert tuple(told["component_update"]) == COMPONENT_UPDATE_FIELDS
    assert tuple(told["component"]) == COMPONENT_FIELDS
    update = told["component_update"]
    assert (update["old_status"], update["new_status"]) == ("operational", "partial_outage")
    assert update["component_id"] == told["component"]["id"] == component_id_of("eu", "api")
    assert told["holdfast"]["reason"] == "status was 503"
    assert told["page"]["status_indicator"] == "major"


def test_our_own_fields_stand_beside_theirs_in_the_readers_language() -> None:
    english, german = (posted(RESOLVED, language)["holdfast"] for language in ("en", "de"))
    assert english == {
        "version": 1,
        "event": "incident.resolved",
        "announced_at": "2026-11-22T13:00:00.123Z",
        "language": "en",
        "headline": "Resolved: Printing fails",
        "components": [
            {"cluster": "eu", "component": "api", "name": "EU API", "state": "operational"},
            {"cluster": "eu", "component": "website", "name": "EU Website", "state": None},
        ],
        "reason": None,
        "manage_url": "https://status.example.com/en/subscriptions/manage/manage-token",
    }
    assert german["headline"] == "Behoben: Printing fails"
    assert german["manage_url"].startswith("https://status.example.com/de/")
    assert posted(RESOLVED, "fr")["holdfast"]["language"] == "en"


@pytest.mark.parametrize("what", NOTICES)
def test_the_same_message_is_the_same_text_at_every_attempt(what: str) -> None:
    payloads, chats = Payloads(STATIONERY), Chats(STATIONERY)
    announcement = Announcement("a", NOTICES[what])
    assert payloads.announced(announcement, to()) == payloads.announced(announcement, to())
    slack = to(Channel.SLACK)
    assert chats.announced(announcement, slack) == chats.announced(announcement, slack)


@pytest.mark.parametrize("event", list(Event))
def test_every_event_can_be_told_on_every_channel(event: Event) -> None:
    notice = replace(NOTICES[event.topic.value], event=event)
    for language in ("en", "de"):
        for channel, composer in (
            (Channel.WEBHOOK, Payloads(STATIONERY)),
            (Channel.SLACK, Chats(STATIONERY)),
            (Channel.TEAMS, Chats(STATIONERY)),
        ):
            message = composer.announced(Announcement("a", notice), to(channel, language))
            assert json.loads(message.content)
            assert message.challenge == ""
            assert message.manage_url.endswith("/subscriptions/manage/manage-token")


def test_what_was_told_only_afterwards_is_back_filled() -> None:
    assert posted(RESOLVED)["incident"]["backfilled"] is False
    late = replace(RESOLVED, incident=replace(INCIDENT, published_at=AT + timedelta(hours=1)))
    assert posted(late)["incident"]["backfilled"] is True


def test_a_postmortem_has_fields_of_its_own() -> None:
    said = Update("u3", AT + timedelta(days=1), "postmortem", "What happened.", "ann")
    incident = replace(INCIDENT, phase=Phase.POSTMORTEM, updates=(*UPDATES, said))
    told = posted(Notice(Event.INCIDENT_POSTMORTEM, AT, PLACES, incident=incident))["incident"]
    assert (told["status"], told["postmortem_body"]) == ("postmortem", "What happened.")
    assert told["postmortem_notified_subscribers"] is True


def test_a_long_incident_is_told_by_its_newest_updates() -> None:
    many = tuple(replace(UPDATES[0], id=f"u{number}") for number in range(MOST_UPDATES + 10))
    told = posted(replace(RESOLVED, incident=replace(INCIDENT, updates=many)))["incident"]["incident_updates"]
    assert len(told) == MOST_UPDATES
    assert told[0]["id"] == f"u{MOST_UPDATES + 9}"


def test_an_incident_without_components_says_how_bad_it_is_by_its_impact() -> None:
    bare = replace(INCIDENT, affected={}, updates=(), phase=Phase.INVESTIGATING, impact=Impact.CRITICAL)
    told = posted(Notice(Event.INCIDENT_DECLARED, AT, {}, incident=bare))
    assert (told["page"]["status_indicator"], told["incident"]["components"]) == ("critical", [])


# About the subscription itself


def test_a_request_to_confirm_carries_its_challenge_and_no_way_to_what_is_not_confirmed() -> None:
    message = Payloads(STATIONERY).requested(Request(RequestKind.CONFIRM), to())
    told = json.loads(message.content)
    assert told["holdfast"]["event"] == "subscription.confirm"
    assert told["holdfast"]["challenge"] == message.challenge == "confirm-token"
    assert told["holdfast"]["confirm_url"].endswith("/en/subscriptions/confirm/confirm-token")
    assert "manage-token" not in message.content.decode()


def test_who_is_subscribed_already_is_not_asked_again() -> None:
    for channel, composer in ((Channel.WEBHOOK, Payloads(STATIONERY)), (Channel.SLACK, Chats(STATIONERY))):
        message = composer.requested(Request(RequestKind.KNOWN), to(channel))
        assert message.challenge == ""
        assert "confirm-token" not in message.content.decode()
        assert "manage-token" in message.content.decode()


@pytest.mark.parametrize("channel", [Channel.SLACK, Channel.TEAMS])
def test_a_channel_is_asked_by_a_link(channel: Channel) -> None:
    for language, action in (("en", "Confirm the subscription"), ("de", "Abonnement bestätigen")):
        message = Chats(STATIONERY).requested(Request(RequestKind.CONFIRM), to(channel, language))
        text = message.content.decode()
        assert f"https://status.example.com/{language}/subscriptions/confirm/confirm-token" in text
        assert action in text
        assert message.challenge == "", "only a web hook can answer"
    paused = Chats(STATIONERY).requested(Request(RequestKind.PAUSED, "it answered 500"), to(channel))
    assert "confirm-token" in paused.content.decode()


def test_letters_can_be_posted_too() -> None:
    letter = Letter("x", "A report", "It is here.")
    for channel, composer in ((Channel.WEBHOOK, Payloads(STATIONERY)), (Channel.TEAMS, Chats(STATIONERY))):
        assert "A report" in composer.letter(letter, to(channel)).content.decode()


# Markup of strangers

HOSTILE = (
    "<!channel> <!here> <!everyone> <@U012AB3CD> <#C1|x> <https://evil.example|Log in> @channel & *bold* _x_"
    " ~y~ `z` [click](https://evil.example) ![i](https://evil.example/i.png) <at>all</at> :smile: # h | x"
)


def hostile() -> Notice:
    update = Update("u", AT, "investigating", HOSTILE, "ann", {1: ComponentState.DEGRADED})
    places = {1: Place("eu", HOSTILE, "api", HOSTILE)}
    incident = replace(
        INCIDENT, title=HOSTILE, updates=(update,), phase=Phase.INVESTIGATING, affected=update.affected
    )
    return Notice(Event.INCIDENT_DECLARED, AT, places, incident=incident)


def _slack_markup(document: Any) -> list[str]:
    """Every text that Slack reads as markup."""
    if isinstance(document, list):
        return [found for each in document for found in _slack_markup(each)]
    if isinstance(document, dict):
        here = [document["text"]] if document.get("type") == "mrkdwn" else []
        return here + [found for each in document.values() for found in _slack_markup(each)]
    return []


def _types(document: Any) -> set[str]:
    if isinstance(document, list):
        return {found for each in document for found in _types(each)}
    if isinstance(document, dict):
        here = {document["type"]} if isinstance(document.get("type"), str) else set()
        return here | {found for each in document.values() for found in _types(each)}
    return set()


def test_no_words_of_strangers_are_markup_in_slack() -> None:
    told = json.loads(Chats(STATIONERY).announced(Announcement("a", hostile()), to(Channel.SLACK)).content)
    # What every reader is notified with: Slack reads it as markup if anything goes wrong with the rest.
    assert not {"<", ">"} & set(told["text"])
    assert "&lt;!channel&gt;" in told["text"]
    assert (told["parse"], told["link_names"], told["mrkdwn"], told["unfurl_links"]) == (
        "none",
        False,
        False,
        False,
    )
    (links,) = _slack_markup(told["blocks"])
    assert links.split(" · ") == [
        "<https://status.example.com/en/incidents/abcdefghijkl|Details>",
        "<https://status.example.com/en/subscriptions/manage/manage-token|Change or end the subscription>",
    ]
    assert any("<!channel>" in each["text"]["text"] for each in told["blocks"] if each["type"] == "section")


def test_no_words_of_strangers_are_markup_in_teams() -> None:
    told = json.loads(Chats(STATIONERY).announced(Announcement("a", hostile()), to(Channel.TEAMS)).content)
    card = told["attachments"][0]["content"]
    assert told["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert _types(card["body"]) == {"RichTextBlock", "TextRun"}, "neither reads Markdown"
    assert "entities" not in json.dumps(card["msteams"]), "nobody is mentioned without them"
    assert {each["url"].partition("/en/")[0] for each in card["actions"]} == {"https://status.example.com"}


def _texts(document: Any) -> list[str]:
    if isinstance(document, list):
        return [found for each in document for found in _texts(each)]
    if isinstance(document, dict):
        here = [document["text"]] if isinstance(document.get("text"), str) else []
        return here + [found for each in document.values() for found in _texts(each)]
    return []


@settings(deadline=None)
@example(title="x", body="a\n\n" * 5000, names=200)
@example(title="字" * 300, body="字" * 20_000, names=200)
@given(title=st.text(min_size=1, max_size=300), body=st.text(max_size=12_000), names=st.integers(0, 200))
def test_no_message_is_larger_than_its_receiver_takes(title: str, body: str, names: int) -> None:
    places = {number: Place("eu", "EU" * 20, f"k{number}", title[:50]) for number in range(names)}
    update = Update("u", AT, "investigating", body, "ann")
    affected = dict.fromkeys(places, ComponentState.DEGRADED)
    incident = replace(INCIDENT, title=title, updates=(update,), phase=Phase.INVESTIGATING, affected=affected)
    notice = Notice(Event.INCIDENT_DECLARED, AT, places, incident=incident)
    slack = json.loads(Chats(STATIONERY).announced(Announcement("a", notice), to(Channel.SLACK)).content)
    header, *others = slack["blocks"]
    assert 1 <= len(header["text"]["text"]) <= 150
    assert all(1 <= len(text) <= 3000 for text in _texts(others))
    assert len(slack["blocks"]) <= 50
    teams = Chats(STATIONERY).announced(Announcement("a", notice), to(Channel.TEAMS)).content
    assert len(teams) <= 28_000
