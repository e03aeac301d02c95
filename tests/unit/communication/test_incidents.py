"""What can be done with incidents, what is refused, and who is told."""

from dataclasses import replace
from datetime import datetime

import pytest
from told_incidents import (
    API,
    DEGRADED,
    DIRECTORY,
    DOWN,
    HIDDEN,
    MINUTE,
    NOW,
    SECOND,
    SECRET,
    US_API,
    WEB,
    WELL,
    Told,
    new,
)

from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotPossible, NotThere
from holdfast.communication.incident_desk import NewUpdate, fresh_id
from holdfast.communication.incidents import MOST_TOLD, linked, notice_of
from holdfast.communication.model import MOST_UPDATES, Event, Impact, Incident, Phase, Update
from holdfast.kernel.windows import Window


@pytest.fixture
def told() -> Told:
    return Told()


def test_ids_are_twelve_letters_and_digits_and_no_two_alike() -> None:
    ids = {fresh_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) == 12 and each.isascii() and each.isalnum() and each == each.lower() for each in ids)


async def test_a_reopened_incident_is_over_when_it_is_over_again(told: Told) -> None:
    made = await told.desk.declare(new(), "ada")
    ends = []
    for phase in (Phase.RESOLVED, Phase.INVESTIGATING, Phase.MONITORING, Phase.RESOLVED, Phase.POSTMORTEM):
        told.clock.advance(60)
        made = await told.desk.post(made.id, NewUpdate(phase, "Next.", {API: DOWN}), "ada")
        ends.append(made.resolved_at)
    assert ends == [NOW + MINUTE, None, None, NOW + 4 * MINUTE, NOW + 4 * MINUTE]
    assert [each.event for each in told.store.journal][2] == "incident.reopened"
    assert told.events[-2:] == [Event.INCIDENT_RESOLVED, Event.INCIDENT_POSTMORTEM]


@pytest.mark.parametrize(
    ("phases", "refused"),
    [
        ([Phase.RESOLVED, Phase.RESOLVED], "resolved already"),
        ([Phase.POSTMORTEM], "follows the resolution"),
        ([Phase.RESOLVED, Phase.POSTMORTEM, Phase.MONITORING], "last word"),
        ([Phase.RESOLVED, Phase.POSTMORTEM, Phase.POSTMORTEM], "last word"),
    ],
)
async def test_phases_that_make_no_sense_are_refused(told: Told, phases: list[Phase], refused: str) -> None:
    made = await told.desk.declare(new(), "ada")
    for phase in phases[:-1]:
        told.clock.advance(60)
        await told.desk.post(made.id, NewUpdate(phase, "Next."), "ada")
    told.clock.advance(600)
    before = await told.desk.incident(made.id)
    with pytest.raises(NotPossible, match=refused):
        await told.desk.post(made.id, NewUpdate(phases[-1], "Last."), "ada")
    assert await told.desk.incident(made.id) == before
    with pytest.raises(NotPossible, match="does not begin"):
        await told.desk.declare(new(phase=Phase.POSTMORTEM), "ada")


async def test_a_button_that_is_pressed_twice_tells_once(told: Told) -> None:
    made = await told.desk.declare(new(), "ada")
    update = NewUpdate(Phase.RESOLVED, "All is well.")
    once = await told.desk.post(made.id, update, "ada")
    told.clock.advance(30)
    assert await told.desk.post(made.id, update, "ada") == once
    assert await told.desk.publish(made.id, "ada") == once
    assert await told.desk.change(made.id, title="API down", actor="ada") == once
    last = once.updates[-1]
    assert await told.desk.edit(made.id, last.id, body=last.body, shown_at=None, actor="b") == once
    assert len(told.events) == len(told.store.journal) == 2
    told.clock.advance(300)
    with pytest.raises(NotPossible):
        await told.desk.post(made.id, update, "ada")


async def test_an_update_may_raise_the_impact_and_never_lowers_it(told: Told) -> None:
    made = await told.desk.declare(new(impact=Impact.MINOR), "ada")
    said = NewUpdate(Phase.IDENTIFIED, "Worse.")
    await told.desk.post(made.id, said, "ada")
    # The very same words with a worse impact are not the button that was pressed twice: that is the next one.
    for _ in range(2):
        raised = await told.desk.post(made.id, replace(said, impact=Impact.CRITICAL), "ada")
    assert (raised.impact, len(raised.updates)) == (Impact.CRITICAL, 3)
    (change,) = raised.changes
    assert (change.at, change.actor, change.field, change.before, change.after) == (
        NOW,
        "ada",
        "impact",
        "minor",
        "critical",
    )
    over = await told.desk.post(made.id, NewUpdate(Phase.RESOLVED, "Over.", impact=Impact.NONE), "ada")
    assert (over.impact, over.changes) == (Impact.CRITICAL, raised.changes)


async def test_a_resolution_without_a_word_on_components_says_that_all_are_well(told: Told) -> None:
    made = await told.desk.declare(new(affected={API: DOWN, WEB: DEGRADED}), "ada")
    same = await told.desk.post(made.id, NewUpdate(Phase.IDENTIFIED, "Found."), "ada")
    assert same.affected == made.affected
    over = await told.desk.post(made.id, NewUpdate(Phase.RESOLVED, "Over."), "ada")
    assert over.affected == {API: WELL, WEB: WELL}
    assert over.updates[0].affected == {API: DOWN, WEB: DEGRADED}


async def test_the_past_can_be_recorded_and_the_future_cannot(told: Told) -> None:
    ago = NOW - 60 * MINUTE
    made = await told.desk.declare(new(began_at=ago, at=ago + MINUTE), "ada")
    assert (made.began_at, made.updates[0].at) == (ago, ago + MINUTE)
    over = NewUpdate(Phase.RESOLVED, "Over.", at=ago + 9 * MINUTE)
    made = await told.desk.post(made.id, over, "ada")
    assert made.resolved_at == ago + 9 * MINUTE
    first, last = made.updates
    desk = told.desk
    for refused in (
        desk.declare(new(began_at=NOW + SECOND), "ada"),
        desk.declare(new(at=NOW + SECOND), "ada"),
        desk.declare(new(began_at=ago, at=ago - SECOND), "ada"),
        desk.declare(new(began_at=datetime(2026, 1, 1)), "ada"),  # noqa: DTZ001
        desk.post(made.id, NewUpdate(Phase.POSTMORTEM, "x", at=ago + 8 * MINUTE), "ada"),
        desk.post(made.id, NewUpdate(Phase.POSTMORTEM, "x", at=NOW + SECOND), "ada"),
        desk.change(made.id, began_at=first.at + SECOND, actor="ada"),
        desk.change(made.id, began_at=NOW + SECOND, actor="ada"),
        desk.edit(made.id, first.id, body="x", shown_at=ago - SECOND, actor="ada"),
        desk.edit(made.id, first.id, body="x", shown_at=last.at + SECOND, actor="ada"),
        desk.edit(made.id, last.id, body="x", shown_at=NOW + SECOND, actor="ada"),
    ):
        with pytest.raises(NotPossible):
            await refused
    assert await desk.incident(made.id) == made
    moved = await desk.edit(made.id, last.id, body="Over.", shown_at=ago + 8 * MINUTE, actor="ada")
    assert moved.resolved_at == ago + 8 * MINUTE
    with pytest.raises(NotThere):
        await desk.edit(made.id, "nosuchupdate", body="x", shown_at=None, actor="ada")


async def test_a_clock_that_jumps_back_keeps_the_order(told: Told) -> None:
    made = await told.desk.declare(new(), "ada")
    told.clock.jump_to(NOW - 60 * MINUTE)
    after = await told.desk.post(made.id, NewUpdate(Phase.IDENTIFIED, "Found."), "ada")
    assert [each.at for each in after.updates] == [NOW, NOW]


async def test_nobody_is_told_of_a_draft_nor_of_corrections(told: Told) -> None:
    made = await told.desk.declare(new(draft=True), "ada")
    await told.desk.post(made.id, NewUpdate(Phase.IDENTIFIED, "Found."), "ada")
    preview = await told.desk.preview((made.id, NewUpdate(Phase.MONITORING, "Fixed.")), "ada")
    assert preview.notice.incident is not None
    assert preview.notice.incident.updates[-1].author == "ada"
    assert preview.notice.incident is not None
    assert preview.notice.incident.updates[-1].body == "Fixed."
    assert preview.audience.total == 0
    assert told.events == []
    await told.desk.post(made.id, NewUpdate(Phase.RESOLVED, "Over."), "ada")
    # What is over when readers first hear of it is told as over.
    assert (await told.desk.preview_publication(made.id)).notice.event is Event.INCIDENT_RESOLVED
    await told.desk.publish(made.id, "ada")
    await told.desk.change(made.id, title="x", impact=Impact.NONE, actor="ada")
    assert told.events == [Event.INCIDENT_RESOLVED]


async def test_what_cannot_be_merged(told: Told) -> None:
    desk = told.desk
    one = (await desk.declare(new("one"), "ada")).id
    two = (await desk.declare(new("two"), "ada")).id
    draft = (await desk.declare(new("draft", draft=True), "ada")).id
    with pytest.raises(NotPossible, match="itself"):
        await desk.merge(one, one, "ada")
    with pytest.raises(NotPossible, match="lose sight"):
        await desk.merge(one, draft, "ada")
    with pytest.raises(NotThere):
        await desk.merge(one, "nosuchthing0", "ada")
    await desk.post(two, NewUpdate(Phase.RESOLVED, "Over."), "ada")
    with pytest.raises(NotPossible, match="other one is over"):
        await desk.merge(one, two, "ada")
    await desk.merge(two, one, "ada")
    for refused in (
        desk.merge(two, one, "ada"),
        desk.merge(one, two, "ada"),
        desk.post(two, NewUpdate(Phase.IDENTIFIED, "x"), "ada"),
        desk.publish(two, "ada"),
        desk.change(two, title="x", actor="ada"),
        desk.edit(two, "x", body="x", shown_at=None, actor="ada"),
    ):
        with pytest.raises(NotPossible, match=f"merged into {one}"):
            await refused


async def test_a_draft_that_is_merged_leaves_its_name_only_in_the_trail(told: Told) -> None:
    public = await told.desk.declare(new("public"), "ada")
    draft = await told.desk.declare(new("Ben broke it", draft=True, affected={US_API: DOWN}), "ada")
    merged = await told.desk.merge(draft.id, public.id, "ada")
    assert replace(merged, changes=(), version=1) == public
    assert [(each.field, each.after) for each in merged.changes] == [("merged", draft.id)]
    assert told.events == [Event.INCIDENT_DECLARED]


async def test_what_is_public_never_becomes_private(told: Told) -> None:
    desk = told.desk
    public = await desk.declare(new(), "ada")
    secret = await desk.declare(new(affected={SECRET: DOWN}), "ada")
    assert told.announcements.announced[-1].notice.audience == ("acme",)
    with pytest.raises(NotPossible, match="not everybody"):
        await desk.post(public.id, NewUpdate(Phase.IDENTIFIED, "x", {API: DOWN, SECRET: DOWN}), "ada")
    with pytest.raises(NotPossible, match="not everybody"):
        await desk.merge(secret.id, public.id, "ada")
    with pytest.raises(NotPossible, match="not everybody"):
        await desk.merge(public.id, secret.id, "ada")
    # Nor wider: who knows of one of the two may not know of the other.
    wider = await desk.declare(new(affected={HIDDEN: DOWN}), "ada")
    with pytest.raises(NotPossible, match="not everybody"):
        await desk.merge(secret.id, wider.id, "ada")
    # What it once spoke of is in its history, whatever it speaks of now.
    left = await desk.post(secret.id, NewUpdate(Phase.IDENTIFIED, "x", {}), "ada")
    assert notice_of(left, Event.INCIDENT_UPDATED, DIRECTORY, NOW).audience == ("acme",)


async def test_a_component_must_be_known_unless_the_incident_knew_it_first(told: Told) -> None:
    with pytest.raises(NotThere, match="no component 77"):
        await told.desk.declare(new(affected={77: DOWN}), "ada")
    made = await told.desk.declare(new(), "ada")
    smaller = Directory({WEB: DIRECTORY.places[WEB]}, {})
    desk = type(told.desk)(told.store, told.announcements, told.clock, lambda: smaller)
    after = await desk.post(made.id, NewUpdate(Phase.IDENTIFIED, "x"), "ada")
    assert after.affected == {API: DOWN}
    with pytest.raises(NotThere, match="no incident"):
        await told.desk.incident("'; DROP TABLE")


async def test_there_are_bounds(told: Told) -> None:
    made = await told.desk.declare(new(), "ada")
    many = tuple(Update(f"{n:012}", NOW, "identified", "x", "ada", {API: DOWN}) for n in range(MOST_UPDATES))
    told.store._incidents[made.id] = full = replace(made, updates=many)
    with pytest.raises(NotPossible, match=f"{MOST_UPDATES} updates"):
        await told.desk.post(made.id, NewUpdate(Phase.MONITORING, "y"), "ada")
    notice = notice_of(full, Event.INCIDENT_UPDATED, DIRECTORY, NOW)
    assert notice.incident is not None
    assert notice.incident.updates == many[-MOST_TOLD:]
    for n in range(100):
        await told.desk.edit(made.id, many[0].id, body=f"text {n}", shown_at=None, actor="ada")
    with pytest.raises(NotPossible, match="edited 100 times"):
        await told.desk.edit(made.id, many[0].id, body="once more", shown_at=None, actor="ada")


# --- which incident a downtime belongs to


def incident(key: str, began: int, ended: int | None, component: int = API, **given: object) -> Incident:
    made = Incident(
        key,
        key,
        Impact.MAJOR,
        Phase.INVESTIGATING if ended is None else Phase.RESOLVED,
        NOW + began * MINUTE,
        {component: DOWN},
        (Update(f"u{key}", NOW + began * MINUTE, "investigating", "x", "ada", {component: DOWN}),),
        resolved_at=None if ended is None else NOW + ended * MINUTE,
    )
    return replace(made, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("incidents", "expected"),
    [
        ([], None),
        ([incident("a", 0, 10)], "a"),
        ([incident("a", -9, 5)], "a"),
        ([incident("a", 9, None)], "a"),
        ([incident("a", -9, 0)], None),
        ([incident("a", 10, 20)], None),
        ([incident("a", 0, 10, WEB)], None),
        ([incident("a", 0, 10, draft=True)], None),
        ([incident("a", 0, 10, merged_into="b"), incident("b", 3, 4)], "b"),
        ([incident("a", 0, 4), incident("b", 0, 9)], "b"),
        ([incident("b", 0, 10), incident("a", -1, 10)], "a"),
        # It left the incident later: it was in it when it was down.
        ([incident("a", 0, 10, affected={WEB: DOWN})], "a"),
    ],
)
def test_the_incident_of_a_downtime(incidents: list[Incident], expected: str | None) -> None:
    found = linked(incidents, API, Window(NOW, NOW + 10 * MINUTE))
    assert (found.id if found else None) == expected


@pytest.mark.parametrize("year", [1, 1900])
async def test_nothing_began_in_a_year_that_is_a_slip_of_the_keyboard(told: Told, year: int) -> None:
    """Such an incident would be in no page of the API's list, and end the list for all that come after it."""
    slip = datetime(year, 1, 2, tzinfo=NOW.tzinfo)
    with pytest.raises(NotPossible, match="too long ago"):
        await told.desk.declare(replace(new(), began_at=slip), "ada")
    made = await told.desk.declare(new(), "ada")
    with pytest.raises(NotPossible, match="too long ago"):
        await told.desk.change(made.id, began_at=slip, actor="ada")
    assert await told.desk.incident(made.id) == made
