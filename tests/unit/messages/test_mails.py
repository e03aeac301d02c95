"""Mails: what they say, in both languages, and what differs from one recipient to the next."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

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
    Stage,
    Update,
)
from holdfast.interfaces import messages
from holdfast.interfaces.messages.links import Links
from holdfast.interfaces.messages.mails import Mails, Stationery
from holdfast.interfaces.messages.wording import Wording
from holdfast.kernel.windows import Window

AT = datetime(2026, 11, 3, 13, 3, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
PLACES = {1: Place("eu", "Europe", "api", "API"), 2: Place("eu", "Europe", "web", "Website")}
PLACEHOLDER = re.compile(r"%\(\w+\)s")
ANN = Recipient(Channel.MAIL, "en", "s1", "manage-ann", "confirm-ann")
BOB = Recipient(Channel.MAIL, "de", "s2", "manage-bob", "confirm-bob")


@pytest.fixture
def mails() -> Mails:
    return Mails(Stationery("Print & Co", BERLIN, Links("https://status.example.org")))


def incident(phase: Phase = Phase.INVESTIGATING, title: str = "API fails") -> Incident:
    affected = {1: ComponentState.MAJOR_OUTAGE, 2: ComponentState.OPERATIONAL}
    said = Update(
        "u00000000001", AT, phase.value, "We **look** into [it](https://example.org/x).", "ann", affected
    )
    resolved = AT + timedelta(hours=1) if phase.is_over else None
    return Incident("i00000000001", title, Impact.MAJOR, phase, AT, affected, (said,), resolved_at=resolved)


def maintenance(stage: Stage = Stage.SCHEDULED) -> Maintenance:
    window = Window(AT, AT + timedelta(hours=2))
    said = (Update("u00000000002", AT, stage.value, "Half done.", "ann"),)
    return Maintenance("m00000000001", "New disks", "We *change* disks.", window, stage, frozenset({2}), said)


def notice(event: Event) -> Notice:
    if event.topic == "incident":
        phase = Phase(event.value.partition(".")[2]) if event in {
            Event.INCIDENT_RESOLVED, Event.INCIDENT_POSTMORTEM
        } else Phase.INVESTIGATING  # fmt: skip
        if event is Event.INCIDENT_POSTMORTEM:
            phase = Phase.POSTMORTEM
        return Notice(event, AT, PLACES, incident(phase))
    if event.topic == "maintenance":
        return Notice(event, AT, {2: PLACES[2]}, maintenance=maintenance())
    change = ComponentChange(1, ComponentState.OPERATIONAL, ComponentState.DEGRADED, "slow")
    return Notice(event, AT, {1: PLACES[1]}, component=change)


def test_an_incident_is_told_completely(mails: Mails) -> None:
    mail = mails.announced(Announcement("a1", notice(Event.INCIDENT_DECLARED)), ANN)
    assert mail.subject == "[Print & Co] Incident: API fails"
    assert mail.text == (
        "Incident: API fails\n\n"
        "Status: Investigating\n"
        "Impact: Major impact\n"
        "Began: 3 November 2026, 14:03 CET\n\n"
        "We look into it (https://example.org/x).\n\n"
        "Concerned:\n"
        "- Europe API: Major outage\n"
        "- Europe Website: Operational\n\n"
        "Details and everything said so far:\n"
        "https://status.example.org/en/incidents/i00000000001\n\n"
        "-- \n"
        "Print & Co\n"
        "You get this mail because you subscribed to it.\n"
        "Change the subscription: https://status.example.org/en/subscriptions/manage/manage-ann\n"
        "Unsubscribe: https://status.example.org/en/subscriptions/unsubscribe/manage-ann\n"
    )
    assert "<strong>look</strong>" in mail.html
    assert "Print &amp; Co" in mail.html
    assert mail.unsubscribe_url == "https://status.example.org/en/subscriptions/unsubscribe/manage-ann"
    assert mail.headers["Auto-Submitted"] == "auto-generated"
    assert mail.headers["Precedence"] == "bulk"
    # All mails about one incident are shown together.
    later = mails.announced(Announcement("a2", notice(Event.INCIDENT_RESOLVED)), BOB)
    assert later.headers["References"] == mail.headers["References"]


def test_a_german_reader_gets_german(mails: Mails) -> None:
    mail = mails.announced(Announcement("a1", notice(Event.INCIDENT_RESOLVED)), BOB)
    assert mail.subject == "[Print & Co] Behoben: API fails"
    assert "Beginn: 3. November 2026, 14:03 CET" in mail.text
    assert "Betroffen:" in mail.text
    assert "https://status.example.org/de/subscriptions/manage/manage-bob" in mail.text
    assert '<html lang="de">' in mail.html
    assert "Abbestellen" in mail.html


def test_each_gets_his_own_links_and_the_rest_is_written_once(mails: Mails) -> None:
    announcement = Announcement("a1", notice(Event.INCIDENT_DECLARED))
    ann = mails.announced(announcement, ANN)
    other = mails.announced(announcement, replace(ANN, manage_token="manage-eve"))
    assert ann.text.replace("manage-ann", "manage-eve") == other.text
    assert ann.html.replace("manage-ann", "manage-eve") == other.html
    assert "manage-ann" not in other.text + other.html
    # No reader has a mark of another's left in it.
    assert not re.search(r"(manage|unsubscribe)-[0-9a-f]{32}", ann.text + ann.html)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("to", [ANN, BOB])
def test_every_event_can_be_told_in_every_language(mails: Mails, event: Event, to: Recipient) -> None:
    mail = mails.announced(Announcement("a1", notice(event)), to)
    assert mail.text
    assert mail.html.rstrip().endswith("</html>")
    assert "\n" not in mail.subject
    assert "%(" not in mail.subject + mail.text
    # A mail that loads anything tells somebody that it was read.
    assert not re.search(r"<(img|script|link|iframe)|url\(|@import", mail.html)


def test_a_maintenance_says_when(mails: Mails) -> None:
    mail = mails.announced(Announcement("a1", notice(Event.MAINTENANCE_PLANNED)), ANN)
    assert mail.subject == "[Print & Co] Planned maintenance: New disks"
    assert "Begins: 3 November 2026, 14:03 CET\nEnds: 3 November 2026, 16:03 CET\n" in mail.text
    assert "We change disks." in mail.text
    assert "- Europe Website\n" in mail.text
    update = mails.announced(Announcement("a2", notice(Event.MAINTENANCE_UPDATED)), ANN)
    assert "Half done." in update.text


def test_a_degradation_says_of_what_and_why(mails: Mails) -> None:
    mail = mails.announced(Announcement("a1", notice(Event.DEGRADATION_BEGAN)), ANN)
    assert mail.subject == "[Print & Co] Europe API: Degraded"
    assert "Reason: slow" in mail.text
    assert "https://status.example.org/en/\n" in mail.text


def test_what_people_write_is_text_in_html(mails: Mails) -> None:
    evil = replace(notice(Event.INCIDENT_DECLARED), incident=incident(title="<script>alert(1)</script>"))
    mail = mails.announced(Announcement("a1", evil), ANN)
    assert "<script" not in mail.html
    assert "&lt;script&gt;" in mail.html
    assert "<script>alert(1)</script>" in mail.text


@pytest.mark.parametrize(
    ("kind", "link", "words"),
    [
        (RequestKind.CONFIRM, "confirm/confirm-bob", "Bitte bestätigen Sie Ihr Abonnement: Print & Co"),
        (RequestKind.KNOWN, "manage/manage-bob", "Sie haben Print & Co bereits abonniert"),
        (RequestKind.PAUSED, "confirm/confirm-bob", "Ihr Abonnement pausiert: Print & Co"),
    ],
)
def test_requests_lead_where_they_say(mails: Mails, kind: RequestKind, link: str, words: str) -> None:
    mail = mails.requested(Request(kind, "<no answer>"), BOB)
    assert mail.subject == words
    assert f"https://status.example.org/de/subscriptions/{link}\n" in mail.text
    assert f'href="https://status.example.org/de/subscriptions/{link}"' in mail.html
    assert "&lt;no answer&gt;" in mail.html
    assert mail.headers["Auto-Submitted"] == "auto-generated"


def test_who_did_not_ask_learns_nothing_that_ends_a_subscription_of_others(mails: Mails) -> None:
    mail = mails.requested(Request(RequestKind.CONFIRM), ANN)
    assert "manage-ann" not in mail.text + mail.html


def test_a_letter_goes_as_it_is(mails: Mails) -> None:
    letter = Letter("x@example.org", "Report", "See it.", "<p>See it.</p>")
    mail = mails.letter(letter, Recipient(Channel.MAIL, "en"))
    assert (mail.subject, mail.text, mail.html) == ("Report", "See it.", "<p>See it.</p>")
    assert mail.unsubscribe_url == ""


def test_a_language_that_nobody_speaks_is_answered_in_one_that_is_spoken() -> None:
    german = Mails(Stationery("Print", BERLIN, Links("https://x"), ("de",)))
    mail = german.announced(Announcement("a1", notice(Event.INCIDENT_DECLARED)), replace(ANN, language="fr"))
    assert mail.subject == "[Print] Vorfall: API fails"
    assert Wording("fr", BERLIN).headline(notice(Event.INCIDENT_DECLARED)) == "Incident: API fails"


def test_every_text_of_messages_is_in_the_german_catalogue() -> None:
    with (files(messages) / "locale/de/LC_MESSAGES/messages.po").open("rb") as source:
        catalogue = read_po(source, locale="de")
    found = extract_from_dir(
        str(files(messages)),
        method_map=[("templates/**", "jinja2"), ("**.py", "python")],
        options_map={"templates/**": {"newstyle_gettext": "true"}},
    )
    ids = {each[2] for each in found}
    assert len(ids) > 30, "the extraction found next to nothing: it would prove nothing"
    known = {each.id for each in catalogue if each.id}
    assert ids - known == set(), "not translated"
    assert known - ids == set(), "translated, but nowhere used"
    for each in catalogue:
        if each.id:
            assert not each.fuzzy, each.id
            assert str(each.string).strip(), each.id
            assert sorted(PLACEHOLDER.findall(str(each.string))) == sorted(PLACEHOLDER.findall(str(each.id)))
