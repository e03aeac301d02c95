"""The calendar of planned work, read as calendars read it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import icalendar
import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from holdfast.communication.model import Change, Maintenance, Place, Stage, Update
from holdfast.interfaces.site.calendar import MOST_EVENTS, calendar_of
from holdfast.interfaces.site.i18n import Translator
from holdfast.kernel.windows import Window

NOW = datetime(2026, 11, 22, 12, 0, 30, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
WINDOW = Window(NOW + HOUR, NOW + 3 * HOUR)
PLACES = {1: Place("eu", "EU", "api", "API"), 2: Place("eu", "EU", "web", "Website")}
PLANNED = Maintenance(
    "abcdefghijkl",
    "Switches; routers, and more",
    "We **replace** them.\n\n- one\n- two",
    WINDOW,
    Stage.SCHEDULED,
    frozenset({1, 2}),
    announced_at=NOW,
    version=1,
)
BERLIN = ZoneInfo("Europe/Berlin")


def feed(*maintenance: Maintenance, language: str = "en", name: str = "Status") -> bytes:
    return calendar_of(
        maintenance or (PLANNED,),
        PLACES,
        Translator(language, BERLIN),
        name=name,
        url_of=lambda each: f"https://status.example/maintenance/{each}",
    )


def events(content: bytes) -> list[icalendar.Event]:
    return list(icalendar.Calendar.from_ical(content).walk("VEVENT"))


def event(maintenance: Maintenance, language: str = "en") -> icalendar.Event:
    (found,) = events(feed(maintenance, language=language))
    return found


def test_an_event_says_what_when_and_where_to_read_more() -> None:
    found = event(PLANNED)
    assert found["SUMMARY"] == "Switches; routers, and more"
    assert found.decoded("DTSTART") == WINDOW.start.replace(microsecond=0)
    assert found.decoded("DTEND") == WINDOW.end.replace(microsecond=0)
    assert found["UID"] == "abcdefghijkl@holdfast"
    assert found["STATUS"] == "CONFIRMED"
    assert found["TRANSP"] == "TRANSPARENT"
    assert found["URL"] == "https://status.example/maintenance/abcdefghijkl"
    assert "EU API, EU Website" in found["DESCRIPTION"]
    assert "We replace them." in found["DESCRIPTION"]
    assert "**" not in found["DESCRIPTION"]


def test_a_changed_one_is_the_same_event_in_a_newer_version() -> None:
    moved = replace(
        PLANNED,
        window=Window(WINDOW.start + HOUR, WINDOW.end + HOUR),
        version=2,
        changes=(Change(NOW + 5 * HOUR, "ann", "starts_at", "", ""),),
    )
    before, after = event(PLANNED), event(moved)
    assert before["UID"] == after["UID"]
    assert (before["SEQUENCE"], after["SEQUENCE"]) == (1, 2)
    assert before.decoded("LAST-MODIFIED") == before.decoded("DTSTAMP") == NOW.replace(microsecond=0)
    assert after.decoded("LAST-MODIFIED") == (NOW + 5 * HOUR).replace(microsecond=0)
    assert after.decoded("CREATED") == NOW.replace(microsecond=0)


@pytest.mark.parametrize(("language", "word"), [("en", "Cancelled"), ("de", "Abgesagt")])
def test_a_cancelled_one_stays_as_cancelled(language: str, word: str) -> None:
    gone = replace(PLANNED, stage=Stage.CANCELLED, version=2)
    found = event(gone, language)
    assert found["STATUS"] == "CANCELLED"
    assert found["SUMMARY"] == f"{word}: {PLANNED.title}"


def test_german_is_german() -> None:
    found = event(PLANNED, "de")
    assert "Komponenten: EU API" in found["DESCRIPTION"]
    assert found["SUMMARY"].params["LANGUAGE"] == "de"
    assert found["CATEGORIES"].cats == ["Wartung"]


def test_what_happened_is_shown_as_it_happened() -> None:
    done = replace(
        PLANNED,
        stage=Stage.COMPLETED,
        began_at=WINDOW.start + HOUR / 2,
        ended_at=WINDOW.start + HOUR,
        updates=(Update("u", NOW + HOUR, "completed", "All *well*.", "ann", {}, NOW + 2 * HOUR),),
    )
    found = event(done)
    assert found.decoded("DTSTART") == (WINDOW.start + HOUR / 2).replace(microsecond=0)
    assert found.decoded("DTEND") == (WINDOW.start + HOUR).replace(microsecond=0)
    assert "All well." in found["DESCRIPTION"]
    at_once = replace(done, ended_at=done.began_at)
    assert event(at_once).decoded("DTEND") > event(at_once).decoded("DTSTART"), "an event has a length"


def test_readers_are_told_when_to_look_again() -> None:
    calendar = icalendar.Calendar.from_ical(feed(name="Status, EU; all"))
    assert calendar["VERSION"] == "2.0"
    assert calendar["METHOD"] == "PUBLISH"
    assert calendar["NAME"] == calendar["X-WR-CALNAME"] == "Status, EU; all"
    assert b"REFRESH-INTERVAL;VALUE=DURATION:PT15M\r\n" in feed()
    assert b"X-PUBLISHED-TTL:PT15M\r\n" in feed()


def test_the_same_makes_the_same_bytes() -> None:
    other = replace(PLANNED, id="zbcdefghijkl", announced_at=None)
    assert feed(PLANNED, other) == feed(other, PLANNED)


def test_of_many_the_newest_are_in_it() -> None:
    many = [
        replace(
            PLANNED,
            id=f"{number:012d}",
            window=Window(WINDOW.start + number * HOUR, WINDOW.end + number * HOUR),
        )
        for number in range(MOST_EVENTS + 2)
    ]
    found = events(feed(*many))
    assert len(found) == MOST_EVENTS
    assert found[0]["UID"] == "000000000002@holdfast"


def test_times_are_those_that_dateutil_reads() -> None:
    """A second reader: the raw lines, put into dateutil."""
    lines = feed().decode().replace("\r\n ", "").split("\r\n")
    start = next(line for line in lines if line.startswith("DTSTART"))
    (first,) = rrulestr(f"{start}\nRRULE:FREQ=DAILY;COUNT=1")
    assert first == WINDOW.start.replace(microsecond=0)


texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n;,:\\\"'"), max_size=300)


@given(texts.map(str.strip).filter(bool), texts)
def test_no_text_breaks_out_of_its_line(title: str, body: str) -> None:
    """Folded at 75 bytes, and read back as it was: nothing that people write makes a line of its own."""
    content = feed(replace(PLANNED, title=title.replace("\n", " "), body=body))
    assert content.endswith(b"\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert all(len(line) <= 75 for line in content.split(b"\r\n"))
    (found,) = events(content)
    assert found["SUMMARY"] == title.replace("\n", " ")
    names = {"BEGIN", "SUMMARY", "DTSTART", "DTEND", "DTSTAMP", "UID", "SEQUENCE", "CATEGORIES", "CREATED"}
    names |= {"DESCRIPTION", "LAST-MODIFIED", "STATUS", "TRANSP", "URL", "END"}
    unfolded = content.decode().replace("\r\n ", "").split("\r\n")
    inside = unfolded[unfolded.index("BEGIN:VEVENT") : unfolded.index("END:VEVENT") + 1]
    assert {line.partition(":")[0].partition(";")[0] for line in inside} == names
    assert len(inside) == len(names)
