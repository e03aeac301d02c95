"""The printed playbooks of regions, as a person follows them: right addresses, words to type."""

import json
import re
from pathlib import Path

import pytest

from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.recovery.addresses import facts_of
from holdfast.bootstrap.recovery.playbooks import read_playbook, read_shelf
from holdfast.interfaces.cli.recovery.runbook import runbook_text
from holdfast.recovery.runbook import BLANK, Item, Runbook, runbook_of
from rehearsed import START

ESTATE = read_estate(Path(__file__).parents[3] / "examples" / "printcloud" / "regions.yaml")
LEAVING = ("region-outage", "region-outage-automatic", "failover-forced", "switchover")
OF_REGIONS = (*LEAVING, "failback", "drill-region-outage", "drill-switchover")
A, B = "127.0.1.1", "127.0.2.1"


def printed(name: str, **given: str) -> Runbook:
    playbook = read_shelf(None)[name].playbook
    assert playbook is not None
    return runbook_of(playbook, facts_of(ESTATE, "print", given))


def item(runbook: Runbook, name: str) -> Item:
    return next(each for each in runbook.items if each.name == name)


def page(runbook: Runbook) -> str:
    return runbook_text(runbook, "built in", START)


@pytest.mark.parametrize("name", OF_REGIONS)
def test_with_the_estate_at_hand_nothing_that_it_tells_is_a_blank(name: str) -> None:
    runbook = printed(name)
    assert runbook.unknown == ()
    for each in runbook.items:
        assert BLANK not in each.text, each


@pytest.mark.parametrize("name", OF_REGIONS)
def test_nobody_is_asked_to_write_down_what_no_step_finds(name: str) -> None:
    shelf = read_shelf(None)
    playbook = shelf[name].playbook
    assert playbook is not None
    for each in printed(name).items:
        assert not [
            key for key in each.write_down if key.startswith(("primary", "secondary", "to.", "lost."))
        ]


@pytest.mark.parametrize("name", OF_REGIONS)
def test_what_is_sent_to_patroni_and_to_the_replicas_is_json_for_the_right_side(name: str) -> None:
    sent = [
        (each, *found)
        for each in printed(name).items
        for found in re.findall(r"-d '(.*)' (http://\S+)", each.text)
    ]
    assert sent
    to = A if name == "failback" else B
    for each, body, url in sent:
        assert json.loads(body), each
        back = each.name.endswith("-back")
        assert (to if not back else A) in url, each


@pytest.mark.parametrize("name", LEAVING)
def test_who_leaves_a_region_is_sent_to_the_other_one(name: str) -> None:
    runbook = printed(name)
    assert (runbook.taken["lost"], runbook.taken["to"]) == ("a", "b")
    assert set(runbook.assumed) == {"lost", "to"}
    assert f"socat stdio TCP:{B}:18401" in item(runbook, "route").text
    assert item(runbook, "name").text.splitlines()[1:] == [
        "server 127.0.3.1 18453",
        "zone lab.test.",
        "update delete print.lab.test. A",
        "update delete print.lab.test. AAAA",
        f"update add print.lab.test. 1 A {B}",
        "send",
    ]
    assert "lost = a, to = b" in page(runbook)


@pytest.mark.parametrize("name", LEAVING)
def test_the_other_way_round_all_addresses_are_those_of_the_other_side(name: str) -> None:
    runbook = printed(name, lost="b", to="a")
    assert runbook.assumed == ()
    assert f"update add print.lab.test. 1 A {A}" in item(runbook, "name").text
    assert "Taken as the estate has it" not in page(runbook)
    for each in runbook.items:
        for body_url in re.findall(r"-d '.*' (http://\S+)", each.text):
            assert A in body_url


def test_going_back_leads_to_the_first_region() -> None:
    runbook = printed("failback")
    assert (runbook.taken["lost"], runbook.taken["to"]) == ("b", "a")
    assert ".holdfast/lab/regions/a/node/data" in item(runbook, "archive").text
    assert f"http://{A}:18408/reinitialize" in item(runbook, "rebuild").text
    assert f"update add print.lab.test. 1 A {A}" in item(runbook, "name").text
    assert f"socat stdio TCP:{A}:18401" in item(runbook, "route").text
    assert f"http://{A}:18405/replicas" in item(runbook, "scale").text


def test_how_it_is_begun_with_holdfast_can_be_typed() -> None:
    assert "With Holdfast: holdfast run start region-outage print --given lost=a --given to=b\n" in page(
        printed("region-outage")
    )
    assert f"--given check={BLANK}" in page(printed("corruption"))
    assert "--given 'why=a big fire'" in page(printed("region-outage", why="a big fire")).replace(
        "why='a big fire'", "'why=a big fire'"
    )


def test_a_run_s_own_name_is_nothing_for_people_to_find_out() -> None:
    assert "run" not in printed("corruption").unknown


def test_without_an_estate_the_regions_are_blanks() -> None:
    playbook = read_shelf(None)["region-outage"].playbook
    assert playbook is not None
    runbook = runbook_of(playbook, facts_of(ESTATE, "nowhere"))
    assert runbook.assumed == ()
    assert "edges.to.socket" in runbook.unknown
    assert f"- lost, the region that is lost: {BLANK}" in page(runbook)


def test_what_another_step_of_the_same_stage_finds_is_an_address() -> None:
    """A step may be called as a part of the estate is."""
    text = b"""
title: Scale
takes: {to: {title: where}}
stages:
  - {name: scale, title: Scale, action: practice.tell, by_hand: "Have more at {scale.to.url}."}
  - {name: next, title: Next, action: practice.tell, by_hand: "It found {scale.text}."}
"""
    playbook = read_playbook("scale", text, "scale.yaml").playbook
    assert playbook is not None
    runbook = runbook_of(playbook, facts_of(ESTATE, "print", {"to": "b"}))
    assert item(runbook, "scale").text == f"Have more at http://{B}:18405/replicas."
    assert item(runbook, "scale").write_down == ("text",)
    assert "written down at 1" in item(runbook, "next").text


def test_a_brace_in_what_people_take_it_to_be_is_found() -> None:
    takes = b"takes: {to: {title: where, by_hand: '{primary'}}"
    text = b"title: T\n" + takes + b"\nstages: [{name: a, title: A, lasts: 1s}]\n"
    problems = read_playbook("wrong", text, "wrong.yaml").problems
    assert [each.message for each in problems] == ["has a brace that is not closed"]
