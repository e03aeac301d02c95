import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from desks import API, NOW, Desks, desks

from holdfast.communication.maintenance_desk import NewMaintenance, SeriesChanges
from holdfast.communication.model import Maintenance, Stage
from holdfast.identity.model import Role
from holdfast.kernel.windows import Window

HOUR = timedelta(hours=1)


@pytest.fixture
async def desk() -> AsyncIterator[Desks]:
    async with desks() as made:
        yield made


def _fields(**other: object) -> dict[str, object]:
    return {
        "key": "abcdefghijk1",
        "title": "New disks",
        "body": "Printing **pauses**.",
        "component": [str(API)],
        "start": "2026-11-26T02:00",
        "end": "2026-11-26T04:00",
        "starts_by_clock": "on",
        "ends_by_clock": "on",
        "remind": ["24h"],
        "rhythm": "",
        "do": "plan",
        **other,
    }


async def _planned(desk: Desks, starts_in: timedelta = 96 * HOUR) -> Maintenance:
    window = Window(NOW + starts_in, NOW + starts_in + 2 * HOUR)
    return await desk.maintenance.plan(NewMaintenance("New disks", "", frozenset({API}), window), "bert")


async def test_a_preview_says_for_whom_the_notice_suffices(desk: Desks) -> None:
    early = await desk.post("/maintenance/new", **_fields(do="preview"))
    late = await desk.post(
        "/maintenance/new", **_fields(do="preview", start="2026-11-23T02:00", end="2026-11-23T03:00")
    )

    assert "3 subscribers will be told" in early.text
    assert "Acme gold" in early.text
    assert "no: it counts as downtime when it goes down" not in early.text
    assert "no: it counts as downtime when it goes down" in late.text
    assert await desk.maintenance.maintenances(Window(NOW, NOW + 1000 * HOUR)) == []


async def test_it_is_announced_in_the_sites_zone_and_once(desk: Desks) -> None:
    for _ in range(2):
        answer = await desk.post("/maintenance/new", **_fields())
        assert answer.headers["location"] == "/maintenance/abcdefghijk1"

    planned = await desk.maintenance.maintenance("abcdefghijk1")
    assert planned.window.start == datetime(2026, 11, 26, 1, tzinfo=UTC)
    assert planned.remind == (24 * HOUR,)
    assert len(desk.announcements.announced) == 1
    page = (await desk.browser.get("/maintenance/abcdefghijk1")).text
    assert "Printing <strong>pauses</strong>." in page
    assert "New disks" in (await desk.browser.get("/maintenance")).text


async def test_again_and_again_and_no_more(desk: Desks) -> None:
    await desk.post("/maintenance/new", **_fields(rhythm="FREQ=WEEKLY"))

    planned = await desk.maintenance.maintenances(Window(NOW, NOW + 1000 * HOUR))
    assert len(planned) > 2
    listed = (await desk.browser.get("/maintenance")).text
    assert "every week" in listed
    (series,) = await desk.maintenance.series()
    await desk.post(f"/maintenance/series/{series.id}/end")
    assert (await desk.maintenance.one_series(series.id)).is_over


async def test_a_recurring_plan_is_made_once_and_changed(desk: Desks) -> None:
    for _ in range(2):
        answer = await desk.post("/maintenance/new", **_fields(rhythm="FREQ=WEEKLY"))
        assert answer.headers["location"] == "/maintenance/series/abcdefghijk1"
    (series,) = await desk.maintenance.series()
    assert len(desk.announcements.announced) == 1
    one = f"/maintenance/series/{series.id}"
    page = (await desk.browser.get(one)).text
    assert "every week" in page
    assert "2026" in page
    begun = (await desk.browser.get(f"{one}/change")).text
    assert re.search(r'value="FREQ=WEEKLY" selected', begun)

    sent = _fields(title="Newer disks", rhythm="FREQ=WEEKLY", remind=["1h"], seen=str(series.version))
    looked_at = await desk.post(f"{one}/change", **{**sent, "do": "preview"})
    assert "3 subscribers will be told" in looked_at.text
    assert (await desk.maintenance.one_series(series.id)).plan.title == "New disks"
    answer = await desk.post(f"{one}/change", **sent)

    assert answer.headers["location"] == one
    changed = (await desk.maintenance.one_series(series.id)).plan
    assert (changed.title, changed.remind) == ("Newer disks", (HOUR,))
    # The time of day was not touched, and does not move.
    assert (changed.first_at, changed.lasts) == (series.plan.first_at, series.plan.lasts)
    planned = await desk.maintenance.maintenances(Window(NOW, NOW + 1000 * HOUR))
    assert {each.title for each in planned} == {"Newer disks"}
    assert len(desk.announcements.announced) == 2


async def test_a_rule_of_its_own_goes_before_the_choice(desk: Desks) -> None:
    await desk.post("/maintenance/new", **_fields(rhythm="FREQ=DAILY", rule="FREQ=MONTHLY;BYDAY=1SU"))
    (series,) = await desk.maintenance.series()
    assert series.plan.rule == "FREQ=MONTHLY;BYDAY=1SU"
    assert (
        'value="FREQ=MONTHLY;BYDAY=1SU"'
        in (await desk.browser.get(f"/maintenance/series/{series.id}/change")).text
    )


async def test_nobody_changes_a_plan_that_they_have_not_read(desk: Desks) -> None:
    await desk.post("/maintenance/new", **_fields(rhythm="FREQ=WEEKLY"))
    (series,) = await desk.maintenance.series()
    await desk.maintenance.change_series(series.id, SeriesChanges(title="Bert's disks"), "bert")
    answer = await desk.post(
        f"/maintenance/series/{series.id}/change",
        **_fields(title="My disks", rhythm="FREQ=WEEKLY", seen=str(series.version)),
    )
    assert answer.status_code == 422
    assert "somebody changed this plan" in answer.text.lower()
    assert "My disks" in answer.text
    assert (await desk.maintenance.one_series(series.id)).plan.title == "Bert's disks"


@pytest.mark.parametrize(
    "other",
    [
        {"start": ""},
        {"start": "tomorrow"},
        {"end": "2026-11-26T01:00"},
        {"component": []},
        {"title": ""},
        {"rhythm": "FREQ=SECONDLY"},
        {"rule": "FREQ=SOMETIMES"},
        {"start": "2027-03-28T02:30", "end": "2027-03-28T05:00"},
    ],
)
async def test_what_cannot_be_planned_comes_back_as_it_was_written(
    desk: Desks, other: dict[str, object]
) -> None:
    answer = await desk.post("/maintenance/new", **_fields(**other))

    assert answer.status_code == 422
    assert "Nothing was told." in answer.text
    assert "Printing **pauses**." in answer.text
    assert await desk.maintenance.maintenances(Window(NOW, NOW + 5000 * HOUR)) == []


async def test_a_change_of_the_title_does_not_move_it(desk: Desks) -> None:
    desk.clock.advance(17)
    planned = await _planned(desk)
    form = await desk.browser.get(f"/maintenance/{planned.id}/change")
    assert "New disks" in form.text
    local = {"start": "2026-11-26T04:10", "end": "2026-11-26T06:10"}
    await desk.post(f"/maintenance/{planned.id}/change", **_fields(title="Newer disks", **local))

    changed = await desk.maintenance.maintenance(planned.id)
    assert (changed.title, changed.window) == ("Newer disks", planned.window)


async def test_it_begins_lasts_longer_and_ends_at_a_button(desk: Desks) -> None:
    planned = await _planned(desk, HOUR / 6)
    one = f"/maintenance/{planned.id}/step"
    desk.clock.advance(700)
    await desk.post(one, do="start", body="")
    assert (await desk.maintenance.maintenance(planned.id)).stage is Stage.IN_PROGRESS
    await desk.post(one, do="extend", by="30m")
    extended = await desk.maintenance.maintenance(planned.id)
    assert extended.window.end == planned.window.end + HOUR / 2
    await desk.post(one, do="verify", body="Looking at it.")
    await desk.post(one, do="finish", body="Done.")

    over = await desk.maintenance.maintenance(planned.id)
    assert over.stage is Stage.COMPLETED
    assert [each.body for each in over.updates][-2:] == ["Looking at it.", "Done."]


async def test_before_any_button_it_is_said_whom_it_tells(desk: Desks) -> None:
    planned = await _planned(desk)
    announced = len(desk.announcements.announced)
    assert "3 subscribers will be told" in (await desk.browser.get(f"/maintenance/{planned.id}")).text
    assert (await desk.maintenance.maintenance(planned.id)).stage is Stage.SCHEDULED
    assert len(desk.announcements.announced) == announced
    await desk.post(f"/maintenance/{planned.id}/step", do="cancel")
    assert "will be told" not in (await desk.browser.get(f"/maintenance/{planned.id}")).text


async def test_it_is_cancelled_with_a_reason(desk: Desks) -> None:
    planned = await _planned(desk)
    answer = await desk.post(f"/maintenance/{planned.id}/step", do="cancel", body="The disks are late.")

    assert answer.status_code == 303
    assert (await desk.maintenance.maintenance(planned.id)).stage is Stage.CANCELLED
    page = (await desk.browser.get(f"/maintenance/{planned.id}")).text
    assert "The disks are late." in page
    assert "Start it now" not in page


async def test_a_button_that_makes_no_sense_says_so(desk: Desks) -> None:
    planned = await _planned(desk)
    for fields in ({"do": "finish"}, {"do": ""}, {"do": "extend", "until": ""}, {"do": "explode"}):
        answer = await desk.post(f"/maintenance/{planned.id}/step", body="kept", **fields)
        assert answer.status_code == 422
        assert "kept" in answer.text
    assert (await desk.maintenance.maintenance(planned.id)).stage is Stage.SCHEDULED


async def test_a_viewer_reads_only() -> None:
    async with desks(Role.VIEWER) as viewer:
        planned = await _planned(viewer)
        assert (await viewer.browser.get(f"/maintenance/{planned.id}")).status_code == 200
        for path in (
            "/maintenance/new",
            f"/maintenance/{planned.id}/change",
            f"/maintenance/{planned.id}/step",
        ):
            assert (await viewer.post(path, **_fields(do="cancel"))).status_code == 403
        assert await viewer.maintenance.maintenance(planned.id) == planned


@pytest.mark.parametrize("start", ["0001-01-01T00:00", "9999-12-31T23:59"])
async def test_the_ends_of_the_calendar_are_no_time_for_work(desk: Desks, start: str) -> None:
    answer = await desk.post("/maintenance/new", **_fields(start=start, end="9999-12-31T23:59"))

    assert answer.status_code == 422
    assert await desk.maintenance.maintenances(Window(NOW - HOUR, NOW + 1000 * HOUR)) == []
