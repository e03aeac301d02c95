"""What a report is made of, against values worked out by hand and against the site's own reader."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from reported import (
    API,
    BERLIN,
    DOWN_AT,
    ESTATE,
    HOUR,
    NOVEMBER,
    NOW,
    OCTOBER,
    SINCE,
    VAULT,
    WEBSITE,
    Past,
)

from holdfast.availability.errors import TooMuch
from holdfast.availability.freezing import account
from holdfast.availability.model import State, Transition
from holdfast.availability.months import promised
from holdfast.availability.ports import Batch
from holdfast.availability.review import Counting, is_whole_month, months_within, statement_of
from holdfast.availability.reviewing import Reviewer
from holdfast.availability.sla import Terms, statement
from holdfast.estate.model import Estate
from holdfast.kernel.windows import Window, month_window


async def test_a_component_has_the_site_s_own_figure(past: Past) -> None:
    review = await past.reviewer.component("eu", "website", OCTOBER)
    month = await past.reader.month(2026, 10)

    assert review is not None
    assert review.figure == month.figures[WEBSITE]
    assert review.figure.downtime == 2 * HOUR
    assert review.figure.tally.excluded == 2 * HOUR
    assert [each.event.window for each in review.troubles] == [Window(DOWN_AT, DOWN_AT + 2 * HOUR)]
    assert len(review.parts[0].days) == 31


async def test_a_cluster_adds_its_components_up(past: Past) -> None:
    review = await past.reviewer.cluster("eu", OCTOBER)
    month = await past.reader.month(2026, 10, "eu")

    assert review is not None
    assert {part.id: part.figure for part in review.parts} == month.figures
    assert review.figure.tally == month.figures[WEBSITE].tally + month.figures[API].tally


async def test_an_agreement_s_month_is_the_reader_s_statement(past: Past) -> None:
    review = await past.reviewer.agreement("premium", NOVEMBER)
    known = await past.reader.agreement("premium", NOW)

    assert review is not None
    assert known is not None
    assert review.statement == known.statement
    assert review.statement is not None
    assert not review.has_credit, "the month is not over"
    assert review.elapsed.end == NOW


async def test_a_frozen_month_stands_as_it_was_frozen(past: Past) -> None:
    """Neither other terms nor late results move what was written down."""
    before = await past.reviewer.agreement("premium", OCTOBER)
    agreement = ESTATE.agreements["premium"].model_copy(
        update={"objective": Decimal(50), "components": ("eu/api",), "credits": ()}
    )
    estate = ESTATE.model_copy(update={"agreements": {**ESTATE.agreements, "premium": agreement}})
    past.inventory = replace(past.inventory, estate=estate)

    after = await past.reviewer.agreement("premium", OCTOBER)

    assert before is not None
    assert after is not None
    assert before.statement is not None
    assert after.statement == before.statement
    assert after.figure == before.figure
    assert after.has_credit
    assert after.statement is not None
    assert after.statement.credit == 10
    assert {part.id for part in after.parts} == {WEBSITE, API, VAULT}
    assert [line.frozen is not None for line in after.months] == [True]
    assert [row.month for row in after.frozen] == ["2026-10"]


async def test_a_component_that_was_removed_goes_by_its_keys_in_a_frozen_month(past: Past) -> None:
    clusters = {
        "eu": ESTATE.clusters["eu"].model_copy(
            update={"components": {"api": ESTATE.clusters["eu"].components["api"]}}
        )
    }
    agreement = ESTATE.agreements["premium"].model_copy(update={"components": ("eu/*",)})
    estate = ESTATE.model_copy(update={"clusters": clusters, "agreements": {"premium": agreement}})
    registered = replace(
        past.inventory.registered, components={("eu", "api"): API}, checks={("eu", "api", "http"): 20}
    )
    past.inventory = replace(past.inventory, estate=estate, registered=registered)

    review = await past.reviewer.agreement("premium", OCTOBER)

    assert review is not None
    assert {part.name for part in review.parts} == {"EU =API(1)", "eu/website", "vip/vault"}
    assert [each.part.name for each in review.troubles if each.event.state is State.MAJOR_OUTAGE] == [
        "vip/vault",
        "eu/website",
    ]


async def test_months_of_an_agreement_owe_credits_one_by_one(past: Past) -> None:
    window = Window(SINCE, NOW)
    review = await past.reviewer.agreement("premium", window)

    assert review is not None
    assert [(f"{each.first:%Y-%m}", each.whole, each.credit) for each in review.months] == [
        ("2026-08", False, None),
        ("2026-09", True, Decimal(0)),
        ("2026-10", True, Decimal(10)),
        ("2026-11", False, None),
    ]
    assert not review.has_credit, "credits are owed by month"
    assert sum((each.figure.downtime for each in review.months), timedelta()) == review.figure.downtime


async def test_a_rolling_agreement_has_its_credit_over_the_range(past: Past) -> None:
    review = await past.reviewer.agreement("rolling", Window(NOW - timedelta(days=30), NOW))

    assert review is not None
    assert review.has_credit
    assert all(each.credit is None for each in review.months)
    assert not review.frozen


async def test_maintenance_says_whether_it_left_counted_time(past: Past) -> None:
    agreed = await past.reviewer.agreement("premium", OCTOBER)
    shown = await past.reviewer.cluster("vip", OCTOBER)

    assert agreed is not None
    assert shown is not None
    assert [each.counting for each in agreed.planned] == [Counting.TOO_LATE, Counting.EXCLUDED]
    assert [each.counting for each in shown.planned] == [Counting.EXCLUDED], "the site asks for no notice"


async def test_cancelled_maintenance_is_told_as_such(past: Past) -> None:
    past.planned[0] = replace(past.planned[0], cancelled_at=NOW)

    review = await past.reviewer.agreement("premium", OCTOBER)

    assert review is not None
    assert [each.counting for each in review.planned] == [Counting.CANCELLED, Counting.EXCLUDED]


async def test_trouble_knows_how_much_of_it_was_excluded(past: Past) -> None:
    start = datetime(2026, 10, 24, 21, tzinfo=UTC)
    await past.store.record(
        Batch(
            transitions=[
                Transition(20, start, State.MAJOR_OUTAGE, "down"),
                Transition(20, start + 3 * HOUR, State.OPERATIONAL),
            ]
        )
    )
    review = await past.reviewer.component("eu", "api", OCTOBER)

    assert review is not None
    assert review.troubles[-1].event.duration == 3 * HOUR
    assert review.troubles[-1].excluded == HOUR, "from 21:00 to the end of the maintenance"


async def test_latency_is_told_by_utc_day(past: Past) -> None:
    review = await past.reviewer.component("eu", "website", OCTOBER)

    assert review is not None
    assert review.step == timedelta(days=1)
    points = review.parts[0].latency
    assert [each.at.date().day for each in points] == list(range(1, 32))
    assert all(each.good == 4 for each in points)
    # The histogram's buckets are some eight percent wide.
    first = [20_000 + 100 * turn for turn in range(4 * 42, 4 * 43)]
    assert points[0].p50_us == pytest.approx(first[1], rel=0.08)


async def test_a_window_in_the_future_has_nothing_to_say(past: Past) -> None:
    window = month_window(2027, 3, BERLIN)
    review = await past.reviewer.component("eu", "website", window)

    assert review is not None
    assert review.figure.availability is None
    assert review.months == []
    assert review.troubles == []


async def test_what_there_is_not_is_none(past: Past) -> None:
    reviewer = past.reviewer
    assert await reviewer.component("eu", "nope", OCTOBER) is None
    assert await reviewer.component("nope", "api", OCTOBER) is None
    assert await reviewer.cluster("nope", OCTOBER) is None
    assert await reviewer.agreement("nope", OCTOBER) is None


async def test_a_review_is_bounded(past: Past) -> None:
    with pytest.raises(TooMuch, match="five years"):
        await past.reviewer.component("eu", "website", Window(NOW - timedelta(days=365 * 6), NOW))
    narrow = Reviewer(past.store, past.months, past.clock, lambda: past.inventory, most_component_days=50)
    assert await narrow.component("eu", "website", OCTOBER) is not None
    with pytest.raises(TooMuch, match="2 components"):
        await narrow.cluster("eu", OCTOBER)


async def test_a_frozen_row_gives_back_exactly_what_it_was_made_of(past: Past) -> None:
    estate: Estate = past.inventory.estate
    promise = promised(past.inventory, "premium")
    ids = list(promise.components.values())
    lines = await past.store.intervals(ids, OCTOBER, NOW)
    planned = await past.store.maintenance(OCTOBER, ids)
    row = account(promise, OCTOBER, lines, planned).month

    made = statement(
        {each: lines.get(each, ()) for each in ids},
        planned,
        Terms.of(estate.agreements["premium"]),
        OCTOBER,
        OCTOBER.end,
    )

    assert statement_of(row) == made
    assert made.figure.availability is not None
    assert made.figure.availability < Fraction(999, 1000)


def test_months_are_local_ones() -> None:
    days = Window(datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC))
    assert [f"{first:%Y-%m}" for first, _ in months_within(days, BERLIN)] == ["2026-10"]
    assert is_whole_month(days, BERLIN)
    assert not is_whole_month(Window(days.start, days.end - HOUR), BERLIN)
