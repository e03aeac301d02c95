import re
from collections.abc import AsyncIterator

import pytest
from desks import API, WEB, Desks, desks

from holdfast.communication.incident_desk import NewIncident, NewUpdate
from holdfast.communication.model import ComponentState, Impact, Incident, Phase
from holdfast.identity.model import Role


@pytest.fixture
async def desk() -> AsyncIterator[Desks]:
    async with desks() as made:
        yield made


def _fields(**other: object) -> dict[str, object]:
    return {
        "key": "abcdefghijk1",
        "title": "Printing is slow",
        "body": "Jobs **wait** for minutes.",
        "component": [str(API)],
        "state": "degraded",
        "impact": "minor",
        "phase": "investigating",
        "began": "",
        "do": "declare",
        **other,
    }


async def _declared(desk: Desks, **other: object) -> Incident:
    new = NewIncident(
        "Printing is slow", Impact.MINOR, Phase.INVESTIGATING, "Jobs wait.", {API: ComponentState.DEGRADED}
    )
    return await desk.incidents.declare(new, "bert", **other)


async def test_a_preview_says_who_would_be_told_and_tells_nobody(desk: Desks) -> None:
    seen = await desk.post("/incidents/new", **_fields(do="preview"))

    assert seen.status_code == 200
    assert "3 subscribers will be told" in seen.text
    assert "Jobs <strong>wait</strong> for minutes." in seen.text
    assert await desk.incidents.incidents() == []
    assert desk.announcements.announced == []


async def test_one_button_declares_and_tells(desk: Desks) -> None:
    answer = await desk.post("/incidents/new", **_fields())

    assert (answer.status_code, answer.headers["location"]) == (303, "/incidents/abcdefghijk1")
    (incident,) = await desk.incidents.incidents(public_only=True)
    assert incident.affected == {API: ComponentState.DEGRADED}
    assert incident.declared_by == "anna"
    (announced,) = desk.announcements.announced
    assert len(announced.recipients) == 3
    page = (await desk.browser.get("/incidents/abcdefghijk1")).text
    assert "Jobs <strong>wait</strong> for minutes." in page
    assert "It is public." in page
    assert "https://status.example.com/en/incidents/abcdefghijk1" in page


async def test_a_button_that_is_pressed_twice_declares_once(desk: Desks) -> None:
    await desk.post("/incidents/new", **_fields())
    again = await desk.post("/incidents/new", **_fields())

    assert again.headers["location"] == "/incidents/abcdefghijk1"
    assert len(await desk.incidents.incidents()) == 1
    assert len(desk.announcements.announced) == 1


async def test_a_draft_is_looked_at_and_made_public(desk: Desks) -> None:
    await desk.post("/incidents/new", **_fields(do="draft"))
    assert desk.announcements.announced == []
    assert "draft: nobody outside sees it" in (await desk.browser.get("/incidents/abcdefghijk1")).text

    asked = await desk.browser.get("/incidents/abcdefghijk1/publish")
    assert "3 subscribers will be told" in asked.text
    assert desk.announcements.announced == []
    await desk.post("/incidents/abcdefghijk1/publish")

    assert (await desk.incidents.incident("abcdefghijk1")).is_public
    assert len(desk.announcements.announced) == 1


async def test_what_was_written_survives_a_refusal(desk: Desks) -> None:
    answer = await desk.post("/incidents/new", **_fields(began="2026-11-22T23:59", title='<b>"Slow"</b>'))

    assert answer.status_code == 422
    assert "Jobs **wait** for minutes." in answer.text
    assert "&lt;b&gt;&#34;Slow&#34;&lt;/b&gt;" in answer.text
    assert "Nothing was told." in answer.text
    assert await desk.incidents.incidents() == []


async def test_times_are_of_the_sites_zone(desk: Desks) -> None:
    await desk.post("/incidents/new", **_fields(began="2026-11-22T03:30"))

    (incident,) = await desk.incidents.incidents()
    assert incident.began_at.isoformat() == "2026-11-22T02:30:00+00:00"


async def test_a_template_is_filled_in_with_what_is_chosen(desk: Desks) -> None:
    begun = (await desk.browser.get("/incidents/new?template=outage")).text
    assert "{{ component }} is down" in begun
    assert re.search(r'value="major" required checked', begun)

    nothing_chosen = _fields(title="{{ component }} is down", component=[])
    assert "still asks for {{ component }}" in (await desk.post("/incidents/new", **nothing_chosen)).text
    await desk.post(
        "/incidents/new",
        **_fields(
            title="{{ components }} in {{ cluster }}: {{ state }}",
            body="{{ component }} since {{ since }}.",
            component=["1", "2"],
            began="2026-11-22T03:30",
        ),
    )

    (incident,) = await desk.incidents.incidents()
    # The same variables with the same values as on the command line and in a rule.
    assert incident.title == "API and Website in Europe: degraded"
    assert incident.updates[0].body == "API since 2026-11-22 02:30 UTC."


async def test_a_template_of_an_update_knows_what_was_said_so_far(desk: Desks) -> None:
    incident = await _declared(desk)
    fields = {"phase": "identified", "body": "{{ components }} in {{ cluster }}: {{ state }}"}
    states = {f"state.{API}": "degraded", f"state.{WEB}": "major_outage"}
    sent = {**fields, **states, "seen": str(incident.version), "do": "post"}
    await desk.post(f"/incidents/{incident.id}/updates", **sent)

    said = (await desk.incidents.incident(incident.id)).updates[-1]
    assert said.body == "API and Website in Europe: major outage"


async def test_saying_more_resolving_and_looking_first(desk: Desks) -> None:
    incident = await _declared(desk)
    one = f"/incidents/{incident.id}"
    fields = {
        "phase": "resolved",
        "body": "All is well.",
        "seen": str(incident.version),
        f"state.{API}": "degraded",
    }
    seen = await desk.post(f"{one}/updates", **fields, do="preview")
    assert "3 subscribers will be told" in seen.text
    assert (await desk.incidents.incident(incident.id)).is_open

    answer = await desk.post(f"{one}/updates", **fields, do="post")

    assert answer.headers["location"] == one
    resolved = await desk.incidents.incident(incident.id)
    assert resolved.phase is Phase.RESOLVED
    # The states were left as they stood in the form: they end with the incident.
    assert resolved.affected == {API: ComponentState.OPERATIONAL}


async def test_components_may_join_and_leave_with_an_update(desk: Desks) -> None:
    incident = await _declared(desk)
    fields = {"phase": "identified", "body": "It spreads.", "seen": str(incident.version)}
    states = {f"state.{API}": "", f"state.{WEB}": "major_outage"}
    await desk.post(f"/incidents/{incident.id}/updates", **fields, **states, do="post")

    assert (await desk.incidents.incident(incident.id)).affected == {WEB: ComponentState.MAJOR_OUTAGE}


async def test_nobody_speaks_over_somebody_they_have_not_read(desk: Desks) -> None:
    incident = await _declared(desk)
    await desk.incidents.post(incident.id, NewUpdate(Phase.IDENTIFIED, "A disk is full."), "bert")
    fields = {"phase": "resolved", "body": "All is well, I think.", "seen": str(incident.version)}
    answer = await desk.post(f"/incidents/{incident.id}/updates", **fields, do="post")

    assert answer.status_code == 422
    assert "somebody changed this incident while you were writing".capitalize() in answer.text
    assert "A disk is full." in answer.text
    assert "All is well, I think." in answer.text
    assert (await desk.incidents.incident(incident.id)).phase is Phase.IDENTIFIED


async def test_edits_and_corrections_leave_their_trail(desk: Desks) -> None:
    incident = await _declared(desk)
    one = f"/incidents/{incident.id}"
    update = incident.updates[0].id
    desk.clock.advance(60)
    await desk.post(f"{one}/updates/{update}", body="Jobs wait for hours.", at="2026-11-22T04:10")
    await desk.post(f"{one}/details", title="Printing stands", impact="critical", began="2026-11-22T04:00")

    page = (await desk.browser.get(one)).text
    assert "Jobs wait for hours." in page
    assert "Jobs wait." in page
    assert "<del>Printing is slow</del>" in page
    changed = await desk.incidents.incident(incident.id)
    assert (changed.title, changed.impact) == ("Printing stands", Impact.CRITICAL)
    assert len(desk.announcements.announced) == 1


async def test_two_become_one(desk: Desks) -> None:
    gone, kept = await _declared(desk), await _declared(desk)
    desk.clock.advance(60)
    assert kept.id in (await desk.browser.get(f"/incidents/{gone.id}/merge")).text
    asked = (await desk.browser.get(f"/incidents/{gone.id}/merge?into={kept.id}")).text
    assert "3 subscribers will be told" in asked

    answer = await desk.post(f"/incidents/{gone.id}/merge", into=kept.id)

    assert answer.headers["location"] == f"/incidents/{kept.id}"
    assert (await desk.incidents.incident(gone.id)).merged_into == kept.id


@pytest.mark.parametrize("path", ["/incidents/abcdefghijk9", "/incidents/..%2f", "/incidents/' OR 1=1"])
async def test_what_is_not_there_is_not_there(desk: Desks, path: str) -> None:
    assert (await desk.browser.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/incidents/new", _fields()),
        ("/incidents/{id}/updates", {"phase": "resolved", "body": "x", "seen": "1", "do": "post"}),
        ("/incidents/{id}/details", {"title": "x", "impact": "none", "began": "2026-11-22T04:00"}),
        ("/incidents/{id}/publish", {}),
        ("/incidents/{id}/merge", {"into": "abcdefghijk1"}),
    ],
)
async def test_a_viewer_reads_and_a_foreign_form_does_nothing(path: str, fields: dict[str, object]) -> None:
    async with desks(Role.VIEWER) as viewer:
        incident = await _declared(viewer)
        before = await viewer.incidents.incident(incident.id)
        assert (await viewer.browser.get(f"/incidents/{incident.id}")).status_code == 200
        assert (await viewer.browser.get("/incidents/new")).status_code == 403
        refused = await viewer.post(path.format(id=incident.id), **fields)
        assert refused.status_code == 403
        assert await viewer.incidents.incident(incident.id) == before
    async with desks() as writer:
        incident = await _declared(writer)
        forged = await writer.post(path.format(id=incident.id), **{**fields, "csrf": "guessed"})
        elsewhere = await writer.browser.post(
            path.format(id=incident.id),
            data={**fields, "csrf": writer.csrf},
            headers={"origin": "https://evil.example"},
        )
        assert (forged.status_code, elsewhere.status_code) == (403, 403)
        assert await writer.incidents.incidents() == [incident]


async def test_lists_say_what_is_open_and_since_when(desk: Desks) -> None:
    await _declared(desk)
    page = (await desk.browser.get("/incidents")).text

    assert "Printing is slow" in page
    assert "Europe API" in page
    # It was declared at 03:10 UTC.
    assert "4:10" in page


@pytest.mark.parametrize("sent", [{}, {"title": "Other"}, {"impact": "minor"}, {"began": "x"}])
async def test_a_correction_with_fields_left_out_is_refused_and_comes_back(
    desk: Desks, sent: dict[str, object]
) -> None:
    incident = await _declared(desk)
    answer = await desk.post(f"/incidents/{incident.id}/details", **sent)

    assert answer.status_code == 422
    assert (await desk.incidents.incident(incident.id)).title == incident.title


@pytest.mark.parametrize("began", ["0001-01-01T00:00", "9999-12-31T23:59", "0001-06-01T00:00"])
async def test_the_ends_of_the_calendar_are_no_time_to_begin(desk: Desks, began: str) -> None:
    answer = await desk.post("/incidents/new", **_fields(began=began))

    assert answer.status_code == 422
    assert await desk.incidents.incidents() == []
