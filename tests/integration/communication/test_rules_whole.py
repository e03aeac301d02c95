"""A whole Holdfast: a real target breaks, and its rule tells readers. And the commands, as they are typed."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from installation import Installation, eventually, free_port, installed
from targets import Target, answering

ESTATE = """\
version: 1
site: {{listen: '127.0.0.1:{port}'}}
regions: {{here: {{name: Here}}}}
clusters:
  main:
    name: Main
    region: here
    components:
      web:
        name: Web
        checks:
          page: {{url: '{target}', every: 1s, timeout: 400ms}}
      api:
        name: API
        checks:
          page: {{url: '{other}', every: 1s, timeout: 400ms}}
communication:
  templates:
    outage:
      name: Outage
      title: "{{{{ components }}}}: {{{{ state }}}}"
      body: "**{{{{ component }}}}** of {{{{ cluster }}}} fails since {{{{ since }}}}. We work on it."
      impact: major
    eta:
      name: Estimate
      body: "We expect an end by {{{{ until }}}}."
      phase: identified
  rules:
    outages:
      components: ['main/*']
      after: 1s
      open_as: public
      template: outage
      resolve_after: 2s
  subscriptions: {{degradation_after: 1d}}
"""


@pytest.fixture
def targets() -> Iterator[tuple[Target, Target]]:
    with answering() as web, answering() as api:
        yield web, api


@pytest.fixture
def ready(tmp_path: Path, targets: tuple[Target, Target]) -> Iterator[Installation]:
    web, api = targets
    text = ESTATE.format(port=free_port(), target=web.url, other=api.url)
    with installed(tmp_path / "ready", text) as ready:
        ready.up()
        eventually(lambda: min(web.asked, api.asked) > 2, "the checks run")
        yield ready


def incidents(ready: Installation, *arguments: str) -> list[dict[str, Any]]:
    found = ready.run("incident", "list", "--json", *arguments).json
    assert isinstance(found, list)
    return found


def test_an_outage_opens_an_incident_from_its_first_moment_and_its_end_resolves_it(
    ready: Installation, targets: tuple[Target, Target]
) -> None:
    web, api = targets
    assert ready.run("incident", "list").out.strip() == "no incident is open"
    web.well = False
    eventually(lambda: incidents(ready), "an incident")
    (opened,) = incidents(ready)
    assert (opened["title"], opened["impact"], opened["phase"]) == (
        "Web: major outage",
        "major",
        "investigating",
    )
    assert (opened["rule"], opened["declared_by"], opened["draft"]) == ("outages", "rule outages", False)
    assert opened["affected"] == {"main/web": "major_outage"}
    assert opened["updates"][0]["body"].startswith("**Web** of Main fails since ")
    # It began when the first run failed, and that was before anybody was sure.
    ((failed_at,),) = ready.query(
        "SELECT min(at) FROM availability.transition JOIN estate.probe p ON p.id = check_id WHERE state = 3"
    )
    assert datetime.fromisoformat(opened["began_at"]) == failed_at
    assert datetime.fromisoformat(opened["published_at"]) - failed_at >= timedelta(seconds=1)
    # What falls as well is told of in the same incident.
    api.well = False
    eventually(lambda: len(incidents(ready)[0]["updates"]) > 1, "the other one is added")
    (both,) = incidents(ready)
    assert both["affected"] == {"main/web": "major_outage", "main/api": "major_outage"}
    assert both["updates"][1]["body"] == "Also affected: API."
    web.well = api.well = True
    eventually(lambda: not incidents(ready), "its end")
    (ended,) = incidents(ready, "--all")
    assert (ended["id"], ended["phase"]) == (opened["id"], "resolved")
    assert set(ended["affected"].values()) == {"operational"}
    assert "operational again" in ended["updates"][-1]["body"]
    told = ready.query("SELECT event FROM communication.announcement ORDER BY at")
    assert [event for (event,) in told] == ["incident.declared", "incident.updated", "incident.resolved"]
    journal = ready.query("SELECT actor FROM holdfast.journal WHERE event LIKE 'incident.%%' ORDER BY id")
    assert [actor for (actor,) in journal] == ["rule outages"] * 3


def test_a_person_declares_corrects_and_ends_an_incident(ready: Installation) -> None:
    would = ready.run(
        "incident", "declare", "--title", "Slow", "--component", "main/*", "--body", "x", "--dry-run"
    )
    assert "nobody subscribes" in would.out
    wrong = ready.run(
        "incident", "declare", "--title", "Slow", "--component", "main/wep", "--body", "x", code=1
    )
    assert "did you mean `main/web`?" in wrong.err
    assert "--body" in ready.run("incident", "declare", "--title", "Slow", code=2).err
    assert incidents(ready, "--all") == []
    declared = ready.run(
        *("incident", "declare", "--title", "Slow", "--component", "main/api=degraded", "--json"),
        *("--body", "It is *slow*.", "--draft"),
    ).json
    key = declared["id"]
    assert declared["declared_by"].startswith("command line (")
    assert declared["affected"] == {"main/api": "degraded"}
    assert "draft" in ready.run("incident", "list").out
    assert "it is a draft" in ready.run("incident", "update", key, "--body", "y", "--dry-run").out
    unread = "told nobody: nobody subscribes to this"
    assert ready.run("incident", "open", key).out == f"{key} investigating: Slow\n  {unread}\n"
    assert ready.run("incident", "open", key).out == f"{key} investigating: Slow\n", "it is open already"
    foreseen = ready.run("incident", "update", key, "--body", "y", "--dry-run").out
    assert "by command line (" in foreseen
    assert f"would tell {unread.removeprefix('told ')}" in foreseen
    unfilled = ready.run("incident", "update", key, "--template", "eta", code=1)
    assert "{{ until }}" in unfilled.err
    ready.run("incident", "update", key, "--template", "eta", "--set", "until=*noon*")
    body = ready.folder / "body.md"
    body.write_text("Well again.", encoding="utf-8")
    assert unread in ready.run("incident", "resolve", key, "--body-file", str(body)).out
    assert "resolved already" in ready.run("incident", "resolve", key, "--body", "Again.", code=1).err
    update = incidents(ready, "--all")[0]["updates"][1]
    assert (update["phase"], update["body"]) == ("identified", "We expect an end by *noon*.")
    ready.run("incident", "edit", key, "--update", update["id"], "--body", "We expect an end by one.")
    ready.run("incident", "edit", key, "--title", "The API is slow", "--impact", "major")
    future = ready.run("incident", "edit", key, "--began", "2999-01-01T00:00Z", code=1)
    assert "in the future" in future.err
    ready.run("incident", "postmortem", key, "--body", "We added memory.")
    shown = ready.run("incident", "show", key).out
    for part in (
        "The API is slow",
        "postmortem",
        "We expect an end by one.",
        "*noon*",
        "changed title: 'Slow'",
    ):
        assert part in shown
    assert "no incident" in ready.run("incident", "show", "nosuchthing0", code=1).err
    one, two = (
        ready.run(
            *("incident", "declare", "--title", title, "--body", "x", "--component", "main/web", "--json")
        ).json["id"]
        for title in ("One", "Two")
    )
    merged = ready.run("incident", "merge", two, one, "--json").json
    assert (merged["id"], merged["updates"][-1]["body"]) == (
        one,
        "This incident now includes another one: Two.",
    )
    assert [each["id"] for each in incidents(ready)] == [one]
