"""What rules make of what is measured, round by round, with everything but the measuring real."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

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

from holdfast.communication.incident_desk import NewUpdate
from holdfast.communication.model import ComponentState, Event, Impact, Incident, Phase
from holdfast.communication.rules import Measured, RuleBook, Stretch
from holdfast.communication.watching import Watch
from holdfast.estate.communication import IncidentRule, IncidentTemplate
from holdfast.estate.model import Estate
from holdfast.estate.values import Language
from holdfast.kernel.windows import Window

UNKNOWN = ComponentState.UNKNOWN
PARTIAL = ComponentState.PARTIAL_OUTAGE
AFTER, RESOLVE = 2 * MINUTE, 5 * MINUTE
RULE = IncidentRule(components=("*/*",), after=AFTER, open_as="public", resolve_after=RESOLVE)


@dataclass
class Service:
    """Components whose states a test sets, with a Watch over them; time runs when the test says so."""

    told: Told = field(default_factory=Told)
    rules: dict[str, IncidentRule] = field(default_factory=lambda: {"down": RULE})
    templates: dict[str, IncidentTemplate] = field(default_factory=dict)
    degraded_after: timedelta = timedelta(days=1)
    language: Language = "en"
    changes: dict[int, list[Stretch]] = field(default_factory=dict)
    maintenance: dict[int, list[Window]] = field(default_factory=dict)
    events: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for each in DIRECTORY.places:
            self.becomes(each, WELL)
        self.restart()

    def restart(self) -> None:
        """Another controller takes over: it knows only what is stored."""
        self.watch = Watch(
            self,
            self.told.desk,
            self.told.announcements,
            self.told.clock,
            lambda: (
                RuleBook(self.rules, self.templates, DIRECTORY, self.language),
                self.degraded_after,
            ),
            on_event=lambda event, facts: self.events.append((event, facts)),
        )

    @property
    def now(self) -> datetime:
        return self.told.clock.now()

    def becomes(self, component: int, state: ComponentState, *, sample: bool = False) -> None:
        self.changes.setdefault(component, []).append(
            Stretch(self.now, self.now, state, f"it is {state}", sample)
        )

    async def measured(self, also: Collection[int], now: datetime) -> Mapping[int, Measured]:
        del also
        found = {}
        for each, line in self.changes.items():
            ends = [*(one.start for one in line[1:]), now]
            stretches = [
                Stretch(one.start, end, one.state, one.reason, one.sample)
                for one, end in zip(line, ends, strict=True)
            ]
            found[each] = Measured(tuple(stretches), tuple(self.maintenance.get(each, ())))
        return found

    async def runs(self, length: timedelta, every: timedelta = timedelta(seconds=15)) -> None:
        """Let time pass, with a round every now and then."""
        end = self.now + length
        while self.now < end:
            self.told.clock.advance(min(every, end - self.now).total_seconds())
            await self.watch.run_once()

    async def incidents(self) -> list[Incident]:
        """All there are, the oldest first."""
        return sorted(await self.told.desk.incidents(limit=99), key=lambda each: (each.began_at, each.id))

    async def only(self) -> Incident:
        (found,) = await self.incidents()
        return found


@pytest.fixture
def service() -> Service:
    return Service()


async def test_an_outage_opens_an_incident_from_its_beginning_and_its_end_resolves_it(
    service: Service,
) -> None:
    service.becomes(API, DOWN)
    await service.runs(AFTER - SECOND)
    assert await service.incidents() == []
    await service.runs(MINUTE)
    opened = await service.only()
    assert (opened.began_at, opened.rule, opened.declared_by) == (NOW, "down", "rule down")
    assert (opened.title, opened.impact) == ("API in EU: major outage", Impact.CRITICAL)
    assert "since 2026-11-22 14:03 UTC: major outage" in opened.updates[0].body
    assert opened.affected == {API: DOWN}
    service.becomes(API, WELL)
    well = service.now
    await service.runs(RESOLVE - SECOND)
    assert (await service.only()).is_open
    await service.runs(MINUTE)
    over = await service.only()
    assert over.phase is Phase.RESOLVED
    assert over.affected == {API: WELL}
    assert f"{well:%H:%M}" in over.updates[-1].body
    await service.runs(60 * MINUTE)
    assert await service.only() == over
    assert service.told.events == [Event.INCIDENT_DECLARED, Event.INCIDENT_RESOLVED]
    assert [name for name, _ in service.events] == ["rule_declared", "rule_posted"]


async def test_a_short_outage_opens_nothing(service: Service) -> None:
    for _ in range(9):
        service.becomes(API, DOWN)
        await service.runs(AFTER - SECOND)
        service.becomes(API, WELL)
        await service.runs(SECOND)
    assert await service.incidents() == []


async def test_what_changes_from_bad_to_worse_is_one_outage(service: Service) -> None:
    for state in (PARTIAL, DOWN, PARTIAL):
        service.becomes(API, state)
        await service.runs(MINUTE)
    opened = await service.only()
    assert (opened.began_at, opened.affected) == (NOW, {API: DOWN})


async def test_what_becomes_worse_than_was_told_is_told_once(service: Service) -> None:
    service.becomes(API, PARTIAL)
    service.becomes(WEB, PARTIAL)
    await service.runs(3 * MINUTE)
    service.becomes(API, DOWN)
    await service.runs(AFTER - SECOND)
    assert len((await service.only()).updates) == 1
    await service.runs(MINUTE)
    told = await service.only()
    assert told.affected == {API: DOWN, WEB: PARTIAL}
    assert [each.body for each in told.updates[1:]] == [
        "It has become worse: API (partial outage before, major outage now)."
    ]
    for state in (PARTIAL, DOWN, WELL, DOWN):
        service.becomes(API, state)
        await service.runs(3 * MINUTE)
    assert await service.only() == told
    assert service.told.events == [Event.INCIDENT_DECLARED, Event.INCIDENT_UPDATED]


async def test_what_joins_and_worsens_at_once_is_told_one_after_the_other(service: Service) -> None:
    service.becomes(API, PARTIAL)
    await service.runs(3 * MINUTE)
    service.becomes(API, DOWN)
    service.becomes(WEB, DOWN)
    await service.runs(3 * MINUTE)
    assert (await service.only()).affected == {API: DOWN, WEB: DOWN}
    assert len((await service.only()).updates) == 3


async def test_once_a_person_posted_what_becomes_worse_is_theirs_to_say(service: Service) -> None:
    service.becomes(API, PARTIAL)
    await service.runs(3 * MINUTE)
    opened = await service.only()
    await service.told.desk.post(opened.id, NewUpdate(Phase.IDENTIFIED, "A disk."), "ada")
    service.becomes(API, DOWN)
    await service.runs(30 * MINUTE)
    assert (await service.only()).affected == {API: PARTIAL}


async def test_what_comes_and_goes_is_one_incident(service: Service) -> None:
    for _ in range(5):
        service.becomes(API, DOWN)
        await service.runs(3 * MINUTE)
        service.becomes(API, WELL)
        await service.runs(4 * MINUTE)
    assert (await service.only()).is_open
    await service.runs(2 * MINUTE)
    assert (await service.only()).phase is Phase.RESOLVED
    service.becomes(API, DOWN)
    again = service.now
    await service.runs(3 * MINUTE)
    assert [each.began_at for each in await service.incidents()] == [NOW, again]


async def test_what_falls_as_well_is_added_and_another_cluster_is_another_incident(service: Service) -> None:
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    service.becomes(WEB, PARTIAL)
    service.becomes(US_API, DOWN)
    await service.runs(3 * MINUTE)
    eu, us = await service.incidents()
    assert [each.body for each in eu.updates[1:]] == ["Also affected: Website."]
    assert eu.affected == {API: DOWN, WEB: PARTIAL}
    assert us.affected == {US_API: DOWN}
    service.becomes(API, WELL)
    await service.runs(9 * MINUTE)
    assert (await service.told.desk.incident(eu.id)).is_open
    service.becomes(WEB, WELL)
    await service.runs(9 * MINUTE)
    assert not (await service.told.desk.incident(eu.id)).is_open
    assert (await service.told.desk.incident(us.id)).is_open


async def test_what_falls_together_is_told_together(service: Service) -> None:
    service.becomes(WEB, PARTIAL)
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    opened = await service.only()
    assert (opened.title, opened.affected) == (
        "API and Website in EU: major outage",
        {API: DOWN, WEB: PARTIAL},
    )


@pytest.mark.parametrize("state", [UNKNOWN, DEGRADED, WELL])
async def test_other_states_open_nothing_and_keep_it_open(service: Service, state: ComponentState) -> None:
    service.becomes(API, state)
    await service.runs(9 * MINUTE)
    assert await service.incidents() == []
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    service.becomes(API, state)
    await service.runs(60 * MINUTE)
    assert (await service.only()).is_open == (state is not WELL)


async def test_sample_history_opens_nothing(service: Service) -> None:
    service.degraded_after = MINUTE
    service.becomes(API, DOWN, sample=True)
    await service.runs(9 * MINUTE)
    assert await service.incidents() == []
    assert service.told.events == []


async def test_maintenance_is_no_outage_but_what_outlasts_it_is(service: Service) -> None:
    service.degraded_after = MINUTE
    service.maintenance[API] = [Window(NOW - MINUTE, NOW + 30 * MINUTE)]
    service.becomes(API, DOWN)
    await service.runs(31 * MINUTE)
    assert await service.incidents() == []
    await service.runs(3 * MINUTE)
    assert (await service.only()).began_at == NOW + 30 * MINUTE
    assert service.told.announcements.announced[0].notice.at == NOW + 30 * MINUTE


async def test_what_a_person_declared_is_left_to_people(service: Service) -> None:
    service.becomes(API, DOWN)
    mine = await service.told.desk.declare(new(draft=True), "ada")
    await service.runs(9 * MINUTE)
    service.becomes(API, WELL)
    await service.runs(30 * MINUTE)
    assert await service.only() == mine


async def test_once_a_person_posted_only_people_resolve_it(service: Service) -> None:
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    opened = await service.only()
    await service.told.desk.post(opened.id, NewUpdate(Phase.MONITORING, "We watch it until noon."), "ada")
    service.becomes(WEB, DOWN)
    await service.runs(3 * MINUTE)
    added = await service.only()
    assert (added.phase, added.updates[-1].author) == (Phase.MONITORING, "rule down")
    service.becomes(API, WELL)
    service.becomes(WEB, WELL)
    await service.runs(60 * MINUTE)
    assert (await service.only()).is_open


async def test_what_a_person_resolved_is_not_opened_again_by_the_same_outage(service: Service) -> None:
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    opened = await service.only()
    await service.told.desk.post(opened.id, NewUpdate(Phase.RESOLVED, "A false alarm."), "ada")
    await service.runs(60 * MINUTE)
    assert len(await service.incidents()) == 1
    service.becomes(API, WELL)
    await service.runs(MINUTE)
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    assert len(await service.incidents()) == 2


async def test_what_was_merged_goes_on_where_it_lives(service: Service) -> None:
    mine = await service.told.desk.declare(new("Network", affected={WEB: DEGRADED}), "ada")
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    (opened,) = [each for each in await service.incidents() if each.rule]
    await service.told.desk.merge(opened.id, mine.id, "ada")
    await service.runs(30 * MINUTE)
    assert len(await service.incidents()) == 2
    # Also when it is a draft that leaves nothing but a trail there.
    service.rules = {"down": RULE.model_copy(update={"open_as": "draft"})}
    service.becomes(US_API, DOWN)
    await service.runs(3 * MINUTE)
    (draft,) = [each for each in await service.incidents() if each.draft]
    await service.told.desk.merge(draft.id, mine.id, "ada")
    await service.runs(30 * MINUTE)
    assert len(await service.incidents()) == 3
    service.becomes(API, WELL)
    service.becomes(US_API, WELL)
    await service.runs(30 * MINUTE)
    assert (await service.told.desk.incident(mine.id)).is_open


async def test_without_resolve_after_a_person_resolves(service: Service) -> None:
    service.rules = {"down": IncidentRule(components=("eu/*",), open_as="draft")}
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    service.becomes(API, WELL)
    await service.runs(30 * MINUTE)
    found = await service.only()
    assert (found.is_open, found.draft) == (True, True)
    assert service.told.events == []


async def test_two_controllers_at_once_and_one_that_dies_declare_it_once(service: Service) -> None:
    service.becomes(API, DOWN)
    await service.runs(AFTER - SECOND)
    service.told.clock.advance(1)
    seen = await service.told.desk.incidents()
    first = service.watch
    service.restart()
    second = service.watch

    async def stale(*_: object, **__: object) -> list[Incident]:
        return list(seen)

    real = service.told.desk.incidents
    service.told.desk.incidents = stale  # type: ignore[method-assign]
    await first.run_once()
    await second.run_once()
    service.told.desk.incidents = real  # type: ignore[method-assign]
    assert len((await service.only()).updates) == 1
    assert service.told.events == [Event.INCIDENT_DECLARED]
    service.restart()
    await service.runs(9 * MINUTE)
    assert service.told.events == [Event.INCIDENT_DECLARED]


async def test_of_two_rules_for_one_component_the_first_one_counts(service: Service) -> None:
    service.rules = {"first": RULE, "second": RULE.model_copy(update={"components": ("eu/api",)})}
    service.becomes(API, DOWN)
    await service.runs(9 * MINUTE)
    assert (await service.only()).rule == "first"


async def test_private_components_share_an_incident_with_those_that_the_same_people_know(
    service: Service,
) -> None:
    for each in (API, SECRET, HIDDEN):
        service.becomes(each, DOWN)
    await service.runs(3 * MINUTE)
    found = await service.incidents()
    assert sorted(sorted(each.affected) for each in found) == [[API], [SECRET], [HIDDEN]]
    audiences = {each.notice.audience for each in service.told.announcements.announced}
    assert audiences == {None, ("acme",), ("acme", "other")}


async def test_a_template_says_it_in_the_operators_words(service: Service) -> None:
    service.rules = {"down": RULE.model_copy(update={"template": "outage"})}
    service.templates["outage"] = IncidentTemplate(
        name="x", body="{{ rule }}: *{{ component }}* {{ cause }}", impact="major", phase="identified"
    )
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    opened = await service.only()
    assert opened.updates[0].body == "down: *API* it is major\\_outage"
    assert (opened.impact, opened.phase) == (Impact.MAJOR, Phase.IDENTIFIED)
    assert opened.title == "API in EU: major outage"


async def test_a_template_that_cannot_be_filled_in_is_replaced_by_plain_words(service: Service) -> None:
    service.rules = {"down": RULE.model_copy(update={"template": "eta"})}
    service.templates["eta"] = IncidentTemplate(name="x", title="By {{ until }}", body="x")
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    assert (await service.only()).title == "API in EU: major outage"


async def test_a_rule_says_it_in_german_where_german_comes_first(service: Service) -> None:
    service.language = "de"
    service.becomes(API, PARTIAL)
    await service.runs(3 * MINUTE)
    service.becomes(WEB, DOWN)
    await service.runs(3 * MINUTE)
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    well = service.now
    service.becomes(API, WELL)
    service.becomes(WEB, WELL)
    await service.runs(9 * MINUTE)
    over = await service.only()
    assert over.title == "API in EU: Teilausfall"
    assert [each.body for each in over.updates] == [
        "Was wir für API seit 2026-11-22 14:03 UTC messen: Teilausfall. Wir gehen dem nach.",
        "Ebenfalls betroffen: Website.",
        "Es ist schlimmer geworden: API (vorher: Teilausfall, jetzt: größere Störung).",
        f"Seit {well:%Y-%m-%d %H:%M} UTC ist alles wieder betriebsbereit.",
    ]


@pytest.mark.parametrize("languages", [("de", "en"), ("en", "de")])
def test_rules_speak_the_first_language_of_the_site(languages: tuple[Language, ...]) -> None:
    check = {"url": "http://api.test/", "every": "1m"}
    api = {"name": "API", "checks": {"page": check}}
    rules = {"down": {"components": ["eu/api"], "template": "outage"}}
    estate = Estate.model_validate(
        {
            "version": 1,
            "site": {"languages": languages},
            "regions": {"here": {"name": "Here"}},
            "clusters": {"eu": {"name": "EU", "region": "here", "components": {"api": api}}},
            "communication": {"templates": {"outage": {"name": "x", "body": "We look."}}, "rules": rules},
        }
    )
    book = RuleBook.of(estate, DIRECTORY)
    assert (book.language, book.directory) == (languages[0], DIRECTORY)
    assert (book.impact_of("down", [DOWN]), book.template_of("down")) == (
        Impact.CRITICAL,
        estate.communication.templates["outage"],
    )


async def test_a_template_of_a_rule_is_filled_in_german_where_german_comes_first(service: Service) -> None:
    service.language = "de"
    service.rules = {"down": RULE.model_copy(update={"template": "outage"})}
    service.templates["outage"] = IncidentTemplate(name="x", body="{{ components }}: {{ state }}")
    service.becomes(API, DOWN)
    service.becomes(WEB, PARTIAL)
    await service.runs(3 * MINUTE)
    opened = await service.only()
    assert opened.title == "API und Website in EU: größere Störung"
    assert opened.updates[0].body == "API und Website: größere Störung"


# --- the impact


@pytest.mark.parametrize(
    ("state", "expected"),
    [(DEGRADED, Impact.MINOR), (PARTIAL, Impact.MAJOR), (DOWN, Impact.CRITICAL)],
)
@pytest.mark.parametrize("template", [None, "outage"])
async def test_where_no_template_says_it_the_impact_is_that_of_the_states(
    service: Service, template: str | None, state: ComponentState, expected: Impact
) -> None:
    states = ("degraded", "partial_outage", "major_outage")
    service.rules = {"down": RULE.model_copy(update={"template": template, "states": states})}
    service.templates["outage"] = IncidentTemplate(name="x", body="We look.")
    service.becomes(API, state)
    await service.runs(3 * MINUTE)
    assert (await service.only()).impact is expected


async def test_what_becomes_worse_raises_the_impact_and_nothing_lowers_it(service: Service) -> None:
    service.becomes(API, PARTIAL)
    await service.runs(3 * MINUTE)
    assert (await service.only()).impact is Impact.MAJOR
    service.becomes(API, DOWN)
    await service.runs(3 * MINUTE)
    raised = await service.only()
    assert raised.impact is Impact.CRITICAL
    (change,) = raised.changes
    assert (change.actor, change.field, change.before, change.after) == (
        "rule down",
        "impact",
        "major",
        "critical",
    )
    told = service.told.announcements.announced[-1].notice
    assert told.incident is not None
    assert told.incident.impact is Impact.CRITICAL
    service.becomes(WEB, PARTIAL)
    await service.runs(3 * MINUTE)
    service.becomes(API, WELL)
    service.becomes(WEB, WELL)
    await service.runs(9 * MINUTE)
    over = await service.only()
    assert (over.is_open, over.impact, len(over.changes)) == (False, Impact.CRITICAL, 1)


async def test_what_joins_raises_the_impact_as_well(service: Service) -> None:
    service.becomes(API, PARTIAL)
    await service.runs(3 * MINUTE)
    service.becomes(WEB, DOWN)
    await service.runs(3 * MINUTE)
    assert (await service.only()).impact is Impact.CRITICAL


async def test_an_impact_that_the_template_says_stays(service: Service) -> None:
    service.rules = {"down": RULE.model_copy(update={"template": "outage"})}
    service.templates["outage"] = IncidentTemplate(name="x", body="We look.", impact="minor")
    for state in (PARTIAL, DOWN):
        service.becomes(API, state)
        await service.runs(3 * MINUTE)
    found = await service.only()
    assert (found.affected, found.impact) == ({API: DOWN}, Impact.MINOR)


@pytest.mark.parametrize("posts", [True, False])
async def test_an_impact_that_a_person_left_or_set_stays(service: Service, posts: bool) -> None:
    service.becomes(API, PARTIAL)
    await service.runs(3 * MINUTE)
    opened = await service.only()
    if posts:
        await service.told.desk.post(opened.id, NewUpdate(Phase.IDENTIFIED, "A disk."), "ada")
    else:
        await service.told.desk.change(opened.id, impact=Impact.MINOR, actor="ada")
    service.becomes(WEB, DOWN)
    await service.runs(3 * MINUTE)
    found = await service.only()
    assert found.affected == {API: PARTIAL, WEB: DOWN}
    assert found.impact is (Impact.MAJOR if posts else Impact.MINOR)


async def test_what_one_rule_cannot_do_is_told_once_and_keeps_no_other_from_it(service: Service) -> None:
    service.rules = {
        "broken": RULE.model_copy(update={"components": ("eu/*",), "template": "broken"}),
        "down": RULE.model_copy(update={"components": ("us/*",)}),
    }
    service.templates["broken"] = IncidentTemplate(name="x", body="x" * 19_985 + "{{ cause }}")
    service.becomes(API, DOWN)
    service.becomes(US_API, DOWN)
    await service.runs(9 * MINUTE)
    assert (await service.only()).rule == "down"
    assert [name for name, _ in service.events] == ["rule_refused", "rule_declared"]


# --- degradations


async def test_a_degradation_is_told_once_and_so_is_its_end(service: Service) -> None:
    service.rules, service.degraded_after = {}, MINUTE
    service.becomes(API, DEGRADED)
    await service.runs(MINUTE - SECOND)
    assert service.told.events == []
    for state in (DEGRADED, DOWN, UNKNOWN, PARTIAL):
        service.becomes(API, state)
        await service.runs(3 * MINUTE)
        service.restart()
    (began,) = service.told.announcements.announced
    assert began.notice.component is not None
    assert (began.notice.at, began.notice.component.after) == (NOW, DEGRADED)
    well = service.now
    service.becomes(API, WELL)
    await service.runs(MINUTE - SECOND)
    assert len(service.told.events) == 1
    await service.runs(30 * MINUTE)
    service.restart()
    await service.runs(30 * MINUTE)
    assert service.told.events == [Event.DEGRADATION_BEGAN, Event.DEGRADATION_ENDED]
    ended = service.told.announcements.announced[-1].notice
    assert ended.at == well
    assert ended.component is not None
    assert (ended.component.before, ended.component.after) == (DEGRADED, WELL)
    service.becomes(API, DEGRADED)
    await service.runs(3 * MINUTE)
    assert service.told.events[2:] == [Event.DEGRADATION_BEGAN]


async def test_an_open_public_incident_says_it_better(service: Service) -> None:
    service.rules, service.degraded_after = {}, MINUTE
    service.becomes(API, DEGRADED)
    service.becomes(WEB, DEGRADED)
    mine = await service.told.desk.declare(new(), "ada")
    draft = await service.told.desk.declare(new(draft=True, affected={WEB: DEGRADED}), "ada")
    await service.runs(3 * MINUTE)
    assert service.told.events == [Event.INCIDENT_DECLARED, Event.DEGRADATION_BEGAN]
    # An end is told whenever a beginning was.
    await service.told.desk.publish(draft.id, "ada")
    service.becomes(WEB, WELL)
    await service.runs(3 * MINUTE)
    assert service.told.events[2:] == [Event.INCIDENT_DECLARED, Event.DEGRADATION_ENDED]
    # What goes on when the incident is over is told after all.
    await service.told.desk.post(mine.id, NewUpdate(Phase.RESOLVED, "Over."), "ada")
    await service.runs(3 * MINUTE)
    assert service.told.events[4:] == [Event.INCIDENT_RESOLVED, Event.DEGRADATION_BEGAN]


async def test_history_that_arrives_late_does_not_bring_notices_out_of_order(service: Service) -> None:
    service.rules, service.degraded_after = {}, MINUTE
    service.becomes(API, DEGRADED)
    await service.runs(3 * MINUTE)
    service.becomes(API, WELL)
    await service.runs(3 * MINUTE)
    # An agent that was cut off says now that it was degraded all the time.
    service.changes[API] = service.changes[API][:-1]
    await service.runs(3 * MINUTE)
    assert service.told.events == [
        Event.DEGRADATION_BEGAN,
        Event.DEGRADATION_ENDED,
        Event.DEGRADATION_BEGAN,
    ]
    await service.runs(30 * MINUTE)
    assert len(service.told.events) == 3
