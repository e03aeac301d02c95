"""Reports by mail: due on their day once the month is frozen, and posted once whatever happens."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from reported import BERLIN, ESTATE, NOW, Past

from holdfast.adapters.memory.deliveries import MemoryLetterbox
from holdfast.adapters.memory.subscriptions import Kept
from holdfast.adapters.vault.aes import AesVault
from holdfast.bootstrap.reports import Mailing
from holdfast.communication.model import Letter
from holdfast.communication.reporting import due_reports
from holdfast.communication.sealing import opened_parcel
from holdfast.estate.communication import Communication, ScheduledReport
from holdfast.estate.model import Estate

VAULT = AesVault(b"k" * 32)


def scheduled(**fields: object) -> ScheduledReport:
    standard = {"agreement": "premium", "to": ("it@nordwind.example",), "day": 5}
    return ScheduledReport.model_validate(standard | fields)


def estate_with(**reports: ScheduledReport) -> Estate:
    return ESTATE.model_copy(update={"communication": Communication(reports=reports)})


class Post:
    """A mailing over memory; `letters` is what it posted, with the keys."""

    def __init__(self, past: Past, **reports: ScheduledReport) -> None:
        past.inventory = replace(past.inventory, estate=estate_with(**reports))
        self.past = past
        self.kept = Kept(past.clock)
        self.noted: list[str] = []
        self.mailing = self.another()

    def another(self) -> Mailing:
        """As another replica has, or this one after it died."""
        past = self.past
        return Mailing(
            past.desk(),
            past.months,
            MemoryLetterbox(self.kept, VAULT),
            past.clock,
            lambda: past.inventory,
            lambda event, _: self.noted.append(event),
        )

    @property
    def letters(self) -> list[Letter]:
        opened = [opened_parcel(VAULT, each.sealed) for each in self.kept.queue if each.sealed]
        return [each for each in opened if isinstance(each, Letter)]


@pytest.mark.parametrize(
    ("now", "month"),
    [
        (datetime(2026, 11, 4, 22, 59, tzinfo=UTC), "2026-09"),
        (datetime(2026, 11, 4, 23, 0, tzinfo=UTC), "2026-10"),
        (datetime(2026, 11, 30, 12, tzinfo=UTC), "2026-10"),
        (datetime(2026, 12, 1, 12, tzinfo=UTC), "2026-10"),
        (datetime(2026, 12, 5, 12, tzinfo=UTC), "2026-11"),
        (datetime(2027, 1, 3, 12, tzinfo=UTC), "2026-11"),
        (datetime(2027, 1, 5, 12, tzinfo=UTC), "2026-12"),
    ],
)
def test_a_report_is_due_from_its_day_on_in_the_agreement_s_zone(now: datetime, month: str) -> None:
    """In Berlin, the fifth begins at 23:00 UTC of the fourth."""
    (due,) = due_reports(estate_with(monthly=scheduled()), now)

    assert due.month == month
    assert f"{due.window.start.astimezone(BERLIN):%Y-%m-%d %H:%M}" == f"{month}-01 00:00"


def test_nothing_is_due_of_a_rolling_agreement_or_of_none() -> None:
    estate = estate_with(a=scheduled(agreement="rolling"), b=scheduled(agreement="gone"))
    assert due_reports(estate, NOW) == []


def test_keys_tell_reports_months_and_recipients_apart_and_nothing_else() -> None:
    (one,) = due_reports(estate_with(a=scheduled()), NOW)
    (other,) = due_reports(estate_with(b=scheduled()), NOW)
    (later,) = due_reports(estate_with(a=scheduled()), NOW + timedelta(days=31))
    (same,) = due_reports(estate_with(a=scheduled(language="de", formats=("csv",), day=7)), NOW)

    keys = [each.letter_key("it@nordwind.example") for each in (one, other, later)]
    assert len({*keys, one.letter_key("cfo@nordwind.example")}) == 4
    assert same.letter_key("IT@nordwind.example") == keys[0]


async def test_a_frozen_month_is_posted_to_each_recipient(past: Past) -> None:
    post = Post(
        past,
        monthly=scheduled(to=("a@nordwind.example", "b@nordwind.example"), formats=("pdf", "csv", "json")),
    )

    assert await post.mailing.post_due() == 2
    assert [each.to for each in post.letters] == ["a@nordwind.example", "b@nordwind.example"]
    letter = post.letters[0]
    assert letter.subject == "Printcloud: service level report, October 2026"
    assert "99.842%" in letter.text
    assert "Credit owed: 10%" in letter.text
    assert "Nordwind Drück <AG>" in letter.text
    assert "Nordwind Drück &lt;AG&gt;" in letter.html
    assert "3 downtimes" in letter.text
    assert [(each.name, each.media_type.partition(";")[0]) for each in letter.attachments] == [
        ("agreement-premium-2026-10.pdf", "application/pdf"),
        ("agreement-premium-2026-10.csv", "text/csv"),
        ("agreement-premium-2026-10.json", "application/json"),
    ]
    assert letter.attachments[0].content.startswith(b"%PDF-")
    assert post.noted == ["report_posted"]


async def test_a_german_reader_gets_a_german_letter(past: Past) -> None:
    post = Post(past, monthly=scheduled(language="de"))
    await post.mailing.post_due()

    (letter,) = post.letters
    assert letter.subject == "Printcloud: Bericht zur Dienstgüte, Oktober 2026"
    assert "Fällige Gutschrift: 10\xa0%" in letter.text
    assert "festgeschriebenen Zahlen" in letter.text
    assert 'lang="de"' in letter.html


async def test_a_title_cannot_break_out_of_the_subject(past: Past) -> None:
    post = Post(past, monthly=scheduled())
    site = past.inventory.estate.site.model_copy(update={"title": "A\r\nBcc: x@y.example"})
    past.inventory = replace(past.inventory, estate=past.inventory.estate.model_copy(update={"site": site}))
    await post.mailing.post_due()

    assert "\n" not in post.letters[0].subject
    assert "\r" not in post.letters[0].subject


async def test_a_month_that_is_not_frozen_waits_for_it() -> None:
    past = Past()
    await past.fill()
    post = Post(past, monthly=scheduled())
    assert await post.mailing.post_due() == 0

    await past.freeze()
    assert await post.mailing.post_due() == 1


async def test_two_replicas_and_a_restart_post_one(past: Past) -> None:
    post = Post(past, monthly=scheduled())
    others = [post.another() for _ in range(3)]
    done = await asyncio.gather(post.mailing.post_due(), *(each.post_due() for each in others))

    assert sum(done) == 1
    assert await post.another().post_due() == 0
    assert len(post.letters) == 1
    assert post.noted == ["report_posted"]


async def test_one_that_died_between_two_recipients_posts_the_rest(past: Past) -> None:
    post = Post(past, monthly=scheduled(to=("a@x.example", "b@x.example")))
    await post.mailing.post_due()
    post.kept.queue.pop()

    assert await post.another().post_due() == 1
    assert [each.to for each in post.letters] == ["a@x.example", "b@x.example"]


async def test_one_report_that_fails_holds_up_no_other(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post(past, first=scheduled(formats=("pdf",)), second=scheduled(formats=("csv",)))
    monkeypatch.setattr("holdfast.interfaces.reports.as_pdf._PROGRAM", ("/bin/false",))

    assert await post.mailing.post_due() == 1
    monkeypatch.undo()
    assert await post.mailing.post_due() == 1
    assert [each.attachments[0].media_type.partition(";")[0] for each in post.letters] == [
        "text/csv",
        "application/pdf",
    ]


async def test_the_figures_are_the_frozen_ones(past: Past) -> None:
    """Whatever the agreement says today."""
    post = Post(past, monthly=scheduled(formats=("json",)))
    agreements = past.inventory.estate.agreements
    lax = agreements["premium"].model_copy(update={"components": ("eu/api",), "credits": ()})
    estate = past.inventory.estate.model_copy(update={"agreements": {**agreements, "premium": lax}})
    past.inventory = replace(past.inventory, estate=estate)
    await post.mailing.post_due()

    assert b'"availability_percent": "99.84223"' in post.letters[0].attachments[0].content
    assert b'"credit_percent": "10"' in post.letters[0].attachments[0].content


async def test_a_clock_that_jumps_ahead_posts_nothing_that_is_not_frozen(past: Past) -> None:
    post = Post(past, monthly=scheduled())
    past.clock.jump_to(NOW + timedelta(days=400))

    assert await post.mailing.post_due() == 0
