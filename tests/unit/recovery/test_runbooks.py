"""A playbook on paper: filled in with what is known, and blanks for the rest."""

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import Console

from holdfast.bootstrap.recovery.addresses import facts_of, safe
from holdfast.bootstrap.recovery.playbooks import own_names, read_shelf
from holdfast.estate.model import Estate
from holdfast.interfaces.cli.recovery.runbook import plain_runbook, runbook_text
from holdfast.interfaces.cli.recovery.watching import picture
from holdfast.interfaces.run_documents import run_document
from holdfast.recovery.runbook import BLANK, Facts, Kind, hands_for, runbook_of
from rehearsed import HARMLESS, MOVING, Rehearsed, playbook_of

PRINTED = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
ESTATE = Estate.model_validate(
    {
        "regions": {"a": {"name": "A"}, "b": {"name": "B"}},
        "console": {"url": "https://console.example.com"},
        "clusters": {
            "eu": {
                "name": "Europe",
                "region": "a",
                "secondary": "b",
                "components": {
                    "api": {
                        "name": "API",
                        "checks": {"up": {"type": "http", "url": "https://ann:pw@eu.example.com/"}},
                    }
                },
            }
        },
        "recovery": {
            "clusters": {
                "eu": {
                    "postgres": {
                        "patroni": {
                            "a": ["http://10.0.0.1:8008"],
                            "b": ["http://10.0.1.1:8008", "http://10.0.1.2:8008"],
                        },
                        "password": "env:PATRONI",
                    },
                    "edges": {
                        "a": {"health": "http://10.0.0.2/health", "socket": "/run/a.sock"},
                        "b": {"health": "http://10.0.1.2/health", "address": "10.0.1.2:9999"},
                    },
                }
            }
        },
    }
)

KNOWN: dict[str, Any] = {"addresses": facts_of(ESTATE, "eu").addresses, "also": facts_of(ESTATE, "eu").also}


def text_of(name: str = "moving", text: str = MOVING, **facts: object) -> str:
    return runbook_text(runbook_of(playbook_of(name, text), Facts(**facts)), "/books/x.yaml", PRINTED)  # type: ignore[arg-type]


def test_what_is_known_is_filled_in_and_what_a_step_would_find_is_a_blank_with_its_number() -> None:
    text = text_of(subject="eu", **KNOWN, given={"why": "fire"})

    assert text.startswith("# Move <eu>: eu\n")
    assert "Look at TCP:10.0.1.2:9999" in text
    assert f"{BLANK} (nobody.knows)" in text
    assert "Find out, the estate does not tell: nobody.knows" in text
    assert f"Write down text: {BLANK}" in text
    assert f"Promote at {BLANK} (text, written down at 1)." in text
    assert "- why, the reason: fire" in text
    assert "- to, where to: there" in text


def test_without_a_subject_and_an_estate_it_is_still_a_runbook() -> None:
    text = text_of()
    assert text.startswith(f"# Move <eu>: {BLANK}\n")
    assert f"Look at {BLANK} (edges.secondary.socket)" in text
    assert f"- why, the reason: {BLANK}" in text


def test_a_default_of_nothing_is_a_blank() -> None:
    text = text_of(
        text=MOVING.replace("default: there", 'default: ""').replace("Stop it.", "'Stop it at {to}.'")
    )
    assert f"- to, where to: {BLANK}" in text
    assert f"Stop it at {BLANK} (to)." in text


def test_gates_the_point_of_no_return_and_the_way_back_are_told() -> None:
    text = text_of(subject="eu")

    assert "Stop until 2 people agreed who may: operator or commander." in text
    assert text.count("\nAgreed ") == 2
    assert "Whoever leads does not count." in text
    assert text.index("From here on there is no way back") < text.index("### [ ] 6. Promote")
    assert text.index("### [ ] 5b. Right") < text.index("From here on")
    assert "Only before 6 (Promote) has begun." in text
    assert "- [ ] 3. Fence: Start it." in text
    assert "Nobody else moves the traffic" in text


def test_a_step_that_nobody_described_says_what_holdfast_would_do() -> None:
    text = text_of("harmless", HARMLESS.replace(", by_hand: One.", ""))
    assert "Holdfast would do practice.set with mark = m." in text
    assert "nobody has written down how; Holdfast would undo practice.set" in text
    assert "Nobody else moves the traffic" not in text


def test_programs_get_the_same() -> None:
    runbook = runbook_of(playbook_of("moving", MOVING), Facts("eu"))
    plain = plain_runbook(runbook, "built in", PRINTED, "no estate")
    assert [item["number"] for item in plain["items"]] == ["1", "2", "3", "4", "5", "5a", "5b", "6"]
    assert [item["kind"] for item in plain["items"]][:2] == [Kind.DO, Kind.AGREE]
    assert plain["text"].startswith("# Move <eu>")
    assert plain["trouble"] == "no estate"


def test_addresses_are_those_of_the_estate_by_the_names_of_its_keys_and_of_the_regions_roles() -> None:
    facts = facts_of(ESTATE, "eu")
    found, also = facts.addresses, facts.also

    assert (found["primary"], found["secondary"]) == ("a", "b")
    assert found["postgres.patroni.b"] == "http://10.0.1.1:8008, http://10.0.1.2:8008"
    assert also["postgres.patroni.secondary"] == found["postgres.patroni.b"]
    assert also["edges.primary.socket"] == "/run/a.sock"
    assert also["edges.secondary.socket"] == "TCP:10.0.1.2:9999", "as socat takes it"
    assert not set(found) & {"edges.primary.socket", "edges.b.socket"}, "what is listed is the estate's own"
    assert found["postgres.password"] == "env:PATRONI"
    assert found["check.api.up"] == "https://eu.example.com/"
    assert found["console"] == "https://console.example.com"
    assert facts_of(ESTATE, "nothing").addresses == {}


def test_no_login_in_an_address_is_printed() -> None:
    assert safe("https://ann:secret@x.example.com/?a=1") == "https://x.example.com/?a=1"
    assert safe("host=x password=hunter2 port=1") == "host=x password=... port=1"


def test_everything_that_holdfast_has_can_be_printed() -> None:
    shelf = read_shelf(None)
    for name in own_names():
        playbook = shelf[name].playbook
        assert playbook is not None
        text = runbook_text(runbook_of(playbook, facts_of(ESTATE, "eu")), "built in", PRINTED)
        assert "Nobody has written down" not in text, name
        assert "nobody has written down how" not in text, name


async def test_what_has_failed_is_told_as_it_is_done_by_hand_with_what_the_run_knows() -> None:
    rehearsed = Rehearsed()
    run = await rehearsed.start()
    view = await rehearsed.through(run.id, fails={"promote"})
    assert hands_for(view.run, facts_of(ESTATE, "eu")) == {"promote": "Promote at <look>."}
    view = replace(view, by_hand=hands_for(view.run, Facts()))
    console = Console(width=120, record=True, file=StringIO())
    console.print(picture(view))
    assert "Promote, by hand:\n    Promote at <look>." in console.export_text()
    assert run_document(view)["stages"][-1]["by_hand"] == "Promote at <look>."
    assert run_document(view)["stages"][0]["by_hand"] is None


async def test_what_could_not_be_undone_is_told_as_it_is_taken_back() -> None:
    rehearsed = Rehearsed()
    run = await rehearsed.start()
    await rehearsed.through(run.id, fails={"left", "undo fence"})
    for _ in range(2):
        rehearsed.clock.advance(60)
        view = await rehearsed.drive(run.id, fails={"left", "undo fence"})
    assert hands_for(view.run, Facts())["fence"] == "Start it."
