"""The Statuspage v2 read API: every field as Statuspage has it, and nothing told that is not so."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from site_estates import NOW, overview
from site_told import maintenance, news, open_incident, past_incident
from statuspage_fields import ANSWERS, COMPONENT, GROUP

from holdfast.availability.model import State
from holdfast.availability.views import Overview
from holdfast.communication.model import ComponentState, Impact, Stage
from holdfast.communication.news import News
from holdfast.communication.statuspage import component_id_of, moment_text
from holdfast.estate.model import Site
from holdfast.interfaces.site.statuspage import ROOT, Statuspage, StatuspageShelf

SITE = Site(title="Printcloud", url="https://status.example.com/", time_zone="Europe/Berlin")
_MOMENT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
_ID = re.compile(r"^[a-z0-9]{12}$")


def documents(of: Overview, told: News, site: Site = SITE, *, unknown: bool = False) -> dict[str, Any]:
    answers = StatuspageShelf().pages(of, told, site, unknown=unknown)
    return {
        path.removeprefix(f"{ROOT}/").removesuffix(".json"): json.loads(answer.bodies[b""])
        for path, answer in answers.items()
    }


def in_state(state: State, *others: State) -> Overview:
    """An estate of one cluster whose components are in these states."""
    whole = overview(1 + len(others), (("eu", "EU", "Frankfurt"),))
    cluster = whole.clusters[0]
    components = [
        replace(each, status=replace(each.status, state=found, maintenance=None, told=None))
        for each, found in zip(cluster.components, (state, *others), strict=True)
    ]
    return replace(whole, clusters=[replace(cluster, components=components)], maintenance=())


def faults(found: Any, kind: Any, where: str) -> list[str]:
    """Where what was found is not of that kind of `statuspage_fields`."""
    match kind:
        case dict():
            if kind is COMPONENT and found.get("group"):
                kind = GROUP
            if list(found) != list(kind):
                return [f"{where} has {list(found)}, not {list(kind)}"]
            return [fault for name in kind for fault in faults(found[name], kind[name], f"{where}.{name}")]
        case list():
            (each,) = kind
            return [
                fault for number, one in enumerate(found) for fault in faults(one, each, f"{where}[{number}]")
            ]
        case frozenset():
            return [] if any(not faults(found, each, where) for each in kind) else [f"{where} is {found!r}"]
        case tuple() if isinstance(kind[0], dict):
            return [] if found is None else faults(found, [*kind], where)
        case tuple():
            return [] if found in kind else [f"{where} is {found!r}, not one of {kind}"]
    fits = {
        "id": lambda: bool(_ID.match(found)),
        "text": lambda: isinstance(found, str) and found != "",
        "address": lambda: found.startswith("https://status.example.com"),
        "moment": lambda: bool(_MOMENT.match(found)),
        "date": lambda: bool(re.match(r"^\d{4}-\d\d-\d\d$", found)),
        "number": lambda: type(found) is int,
        "flag": lambda: type(found) is bool,
        "null": lambda: found is None,
    }
    try:
        return [] if fits[kind]() else [f"{where} is {found!r}, not {kind}"]
    except (TypeError, AttributeError):
        return [f"{where} is {found!r}, not {kind}"]


def test_every_answer_has_statuspages_fields_and_words_and_no_others() -> None:
    told = documents(overview(), news())
    kinds = {re.sub(r"/(?!unresolved|upcoming|active)[^/]+$", "/ID", path) for path in told}
    assert kinds == set(ANSWERS), "an address is missing, or there is one that Statuspage has not"
    wrong = []
    for path, content in told.items():
        kind = ANSWERS.get(path) or ANSWERS[path.partition("/")[0] + "/ID"]
        wrong += faults(content, kind, path)
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ({"indicator": "unknown", "description": "x"}, "indicator"),
        ({"indicator": "none"}, "has"),
        ({"indicator": "none", "description": ""}, "description"),
        ({"indicator": "none", "description": "x", "holdfast": 1}, "has"),
    ],
)
def test_the_field_check_itself_finds_what_is_wrong(broken: dict[str, Any], named: str) -> None:
    (fault,) = faults(broken, ANSWERS["status"]["status"], "status")
    assert named in fault


def test_clusters_are_groups_that_list_their_components() -> None:
    listed = documents(overview(9), news())["components"]["components"]
    groups = {each["id"]: each for each in listed if each["group"]}
    assert [each["name"] for each in groups.values()] == ["EU", "EU2", "USA"]
    for group in groups.values():
        children = [each for each in listed if each["group_id"] == group["id"]]
        assert group["components"] == [each["id"] for each in children]
        assert [each["position"] for each in children] == [1, 2, 3]
    assert listed[1]["id"] == component_id_of("eu", "website")
    assert [each["name"] for each in listed[1:3]] == ["EU Website", "EU API"]
    names = [each["name"] for each in listed]
    assert len(set(names)) == len(names)


def test_ids_survive_new_names_and_another_database() -> None:
    before = documents(overview(3), news())["components"]["components"]
    whole = overview(3)
    renamed = [
        replace(
            cluster,
            name=f"New {cluster.name}",
            components=[
                replace(each, status=replace(each.status, name="New", id=each.status.id + 5000))
                for each in cluster.components
            ],
        )
        for cluster in whole.clusters
    ]
    after = documents(replace(whole, clusters=renamed), News(NOW))["components"]["components"]
    assert [each["id"] for each in after] == [each["id"] for each in before]


@pytest.mark.parametrize(
    ("states", "indicator", "description"),
    [
        ((State.OPERATIONAL, State.OPERATIONAL), "none", "All Systems Operational"),
        ((State.OPERATIONAL, State.DEGRADED), "minor", "Partially Degraded Service"),
        ((State.OPERATIONAL, State.PARTIAL_OUTAGE), "major", "Partial System Outage"),
        ((State.OPERATIONAL, State.MAJOR_OUTAGE), "major", "Partial System Outage"),
        ((State.MAJOR_OUTAGE, State.MAJOR_OUTAGE), "critical", "Major Service Outage"),
        ((State.OPERATIONAL, State.UNKNOWN), "minor", "State Partly Unknown"),
        ((State.UNKNOWN, State.UNKNOWN), "minor", "State Unknown"),
        ((State.UNKNOWN, State.MAJOR_OUTAGE), "major", "Partial System Outage"),
    ],
)
def test_the_whole_in_one_word(states: tuple[State, ...], indicator: str, description: str) -> None:
    told = documents(in_state(*states), News(NOW))["status"]["status"]
    assert told == {"indicator": indicator, "description": description}


@pytest.mark.parametrize("state", list(State))
def test_unknown_is_never_told_as_operational(state: State) -> None:
    unknown = state in {State.UNKNOWN, State.RETIRED}
    child = documents(in_state(state), News(NOW))["components"]["components"][1]
    assert (child["status"] == "operational") == (state is State.OPERATIONAL)
    assert ("unknown" in (child["description"] or "")) == unknown


def test_a_reading_that_is_too_old_says_so_of_every_component() -> None:
    told = documents(in_state(State.OPERATIONAL, State.OPERATIONAL), News(NOW), unknown=True)
    assert told["status"]["status"] == {"indicator": "minor", "description": "State Unknown"}
    assert {each["status"] for each in told["components"]["components"]} == {"degraded_performance"}


@pytest.mark.parametrize("impact", list(Impact))
def test_an_open_incident_counts_as_much_as_it_is_said_to(impact: Impact) -> None:
    told = News(NOW, [open_incident((1,), impact)])
    assert documents(in_state(State.OPERATIONAL), told)["status"]["status"]["indicator"] == impact.value


def test_an_incident_that_is_over_does_not_count() -> None:
    told = News(NOW, [past_incident()])
    assert documents(in_state(State.OPERATIONAL), told)["status"]["status"]["indicator"] == "none"


def test_updates_come_newest_first_with_how_the_components_changed() -> None:
    told = documents(overview(), News(NOW, [open_incident((1,))]))["incidents/openincident"]["incident"]
    newest, oldest = told["incident_updates"]
    assert (newest["status"], oldest["status"]) == ("monitoring", "investigating")
    assert [(each["old_status"], each["new_status"]) for each in newest["affected_components"]] == [
        ("major_outage", "degraded_performance")
    ]
    assert oldest["affected_components"][0]["old_status"] == "operational"
    assert oldest["affected_components"][0]["name"] == "EU Website"
    assert told["monitoring_at"] == newest["display_at"] == moment_text(NOW - timedelta(minutes=5))
    assert told["shortlink"] == "https://status.example.com/incidents/openincident"


def test_what_is_open_planned_and_under_way_is_told_where_it_belongs() -> None:
    told = documents(overview(), news())
    ids = {
        path: [each["id"] for each in content.get("incidents", content.get("scheduled_maintenances", ()))]
        for path, content in told.items()
    }
    assert ids["incidents"] == ["openincident", "over00000001", "over00000002"]
    assert ids["incidents/unresolved"] == ["openincident"]
    assert ids["scheduled-maintenances/upcoming"] == ["maintenance4"]
    assert ids["scheduled-maintenances/active"] == ["maintenance3"]
    assert ids["scheduled-maintenances"] == [f"maintenance{number}" for number in (4, 3, 2, 1)]
    summary = told["summary"]
    assert [each["id"] for each in summary["incidents"]] == ["openincident"]
    assert [each["id"] for each in summary["scheduled_maintenances"]] == ["maintenance3", "maintenance4"]


def test_a_cancelled_maintenance_is_over_and_its_last_word_is_kept() -> None:
    told = documents(overview(), news())["scheduled-maintenances/maintenance2"]["scheduled_maintenance"]
    assert (told["status"], told["incident_updates"][0]["status"]) == ("completed", "completed")
    assert told["resolved_at"] == told["incident_updates"][0]["created_at"]
    assert [each["status"] for each in told["incident_updates"]] == ["completed", "scheduled"]


def test_lists_hold_the_newest_fifty() -> None:
    told = documents(overview(), News(NOW, [past_incident(number) for number in range(1, 70)]))
    assert len(told["incidents"]["incidents"]) == 50
    assert "incidents/over00000060" not in told


def test_an_edited_update_says_when_it_was_edited() -> None:
    told = documents(overview(), News(NOW, [past_incident()]))["incidents"]["incidents"][0]
    (said,) = told["incident_updates"]
    assert said["created_at"] < said["updated_at"] == told["updated_at"]


def test_the_same_news_read_later_is_the_same_answer() -> None:
    shelf = StatuspageShelf()
    first = shelf.pages(overview(), news(), SITE, unknown=False)
    later = replace(overview(), at=NOW + timedelta(seconds=5))
    second = shelf.pages(later, news(), SITE, unknown=False)
    assert second.keys() == first.keys()
    assert all(second[path] is first[path] for path in first)


def test_a_change_makes_new_answers_and_drops_what_is_gone() -> None:
    shelf = StatuspageShelf()
    first = shelf.pages(overview(), news(), SITE, unknown=False)
    second = shelf.pages(overview(), News(NOW), SITE, unknown=False)
    assert second[f"{ROOT}/summary.json"].etag != first[f"{ROOT}/summary.json"].etag
    assert f"{ROOT}/incidents/openincident.json" not in second


def test_a_component_that_is_gone_leaves_its_incident_readable() -> None:
    told = documents(overview(), News(NOW, [open_incident((999_999,))]))["incidents"]["incidents"][0]
    assert told["components"] == []
    assert told["incident_updates"][0]["affected_components"] is None


def test_a_site_without_an_address_still_answers() -> None:
    told = Statuspage(overview(), news(), Site(title="Printcloud")).documents()[f"{ROOT}/incidents.json"]
    incidents = told["incidents"]
    assert isinstance(incidents, list)
    assert incidents[0]["shortlink"] == "/incidents/openincident"


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_has_a_word_of_theirs(stage: Stage) -> None:
    told = documents(overview(), News(NOW, [], [maintenance("maintenance1", stage, timedelta(hours=-1))]))
    (found,) = told["scheduled-maintenances"]["scheduled_maintenances"]
    assert not faults(found, ANSWERS["scheduled-maintenances"]["scheduled_maintenances"][0], "maintenance")


def test_states_are_told_for_every_component_state() -> None:
    told = [{1: state} for state in ComponentState]
    incident = open_incident((1,))
    updates = [replace(incident.updates[0], affected=affected) for affected in told]
    found = documents(overview(), News(NOW, [replace(incident, updates=tuple(updates))]))["incidents"]
    assert not faults(found, ANSWERS["incidents"], "incidents")
