"""What the command line says of incidents, downtimes and maintenance, without a database."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from holdfast.availability.model import Interval, State
from holdfast.availability.sla import Terms, statement
from holdfast.availability.views import AgreementReport, ComponentStatus, Event
from holdfast.bootstrap.commands import LocalCommands
from holdfast.communication.model import (
    Audience,
    Channel,
    Impact,
    Incident,
    Phase,
    Scope,
    Standing,
    Subscription,
)
from holdfast.estate.model import Agreement
from holdfast.estate.template import render_template
from holdfast.interfaces.cli.app import build
from holdfast.interfaces.cli.declaring import IncidentOutcome, IncidentRequest
from holdfast.interfaces.cli.output import progress_shown
from holdfast.interfaces.cli.ports import Progress, SlaReport
from holdfast.interfaces.cli.subscribing import Subscriber
from holdfast.kernel.windows import Window

AT = datetime(2026, 10, 3, 2, tzinfo=UTC)
OCTOBER = Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)
INCIDENT = Incident("a1b2c3d4e5f6", "[eu] API is down [/api]", Impact.MAJOR, Phase.RESOLVED, AT, {})


def report() -> SlaReport:
    """Three stretches: a downtime that was declared, one that was not, and one that nobody measured."""
    states = [(State.MAJOR_OUTAGE, AT), (State.PARTIAL_OUTAGE, AT + HOUR), (State.UNKNOWN, AT + 2 * HOUR)]
    agreed = Agreement(customer="a", name="Gold", components=("eu/api",), objective=Decimal("99.9"))
    line = [Interval(Window(start, start + HOUR), state) for state, start in states]
    made = statement({1: line}, [], Terms(Decimal("99.9")), OCTOBER, OCTOBER.end)
    api = ComponentStatus(1, "eu", "api", "API", "", State.OPERATIONAL, None)
    events = [(api, Event(each.window, each.state)) for each in line]
    return SlaReport(AgreementReport("gold", agreed, "Acme", [api], made, events, []), [INCIDENT, None, None])


class FakeCommands:
    def __init__(self, audience: Audience | None = None) -> None:
        self.asked: list[IncidentRequest] = []
        self.audience = audience

    def sla_report(self, place: object, agreement: str, moment: datetime | None) -> SlaReport:
        del place, agreement, moment
        return report()

    def incident_list(self, place: object, *, over: bool) -> Sequence[IncidentOutcome]:
        del place, over
        return [IncidentOutcome(INCIDENT, {})]

    def incident(self, place: object, request: IncidentRequest) -> IncidentOutcome:
        del place
        self.asked.append(request)
        return IncidentOutcome(INCIDENT, {}, self.audience, request.dry_run)


class Subscribers:
    def __init__(self, subscription_id: str) -> None:
        self._id = subscription_id

    def subscriber_list(self, place: object, limit: int) -> Sequence[Subscriber]:
        del place, limit
        kept = Subscription(self._id, Channel.WEBHOOK, "de", Scope(), Standing.ACTIVE, AT)
        return [Subscriber(kept, "https://hooks.example.com/…")]


def run(*command: str, commands: Any = None) -> Result:
    return CliRunner().invoke(build(lambda: commands or FakeCommands()), [*command], env={"COLUMNS": "200"})


def test_every_downtime_names_its_incident_or_that_none_was_declared() -> None:
    lines = [line for line in run("sla", "report", "gold").output.splitlines() if "outage" in line]
    assert len(lines) == 2
    assert "2026-10-03 02:00:00Z" in lines[0]
    assert lines[0].endswith("a1b2c3d4e5f6 [eu] API is down [/api]")
    assert lines[1].rstrip().endswith("none was declared")


def test_programs_are_told_the_same() -> None:
    told = json.loads(run("sla", "report", "gold", "--json").output)
    assert [each["incident"] for each in told["events"]] == [
        {"id": "a1b2c3d4e5f6", "title": "[eu] API is down [/api]"},
        None,
        None,
    ]


def test_brackets_in_a_title_are_a_part_of_it() -> None:
    assert "[eu] API is down [/api]" in run("incident", "list", "--all").output


def test_what_a_row_is_named_by_is_never_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    named = "9ad70c59-e7a1-4c1b-8a55-0123456789ab"
    listing: Any = Subscribers(named)
    printed = CliRunner().invoke(build(lambda: listing), ["subscriber", "list"]).output
    assert named in printed


def test_of_a_long_way_a_log_gets_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_shown(quiet=False) as report:
        report(Progress("looking"))
        for done in range(1, 501):
            report(Progress(f"copied {done} of 500", done, 500))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "looking"
    assert said[-1] == "copied 500 of 500"
    assert len(said) < 20


def test_few_steps_are_told_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_shown(quiet=False) as report:
        for done in range(1, 4):
            report(Progress(f"tried {done}", done, 3))
    assert capsys.readouterr().err.splitlines() == ["tried 1", "tried 2", "tried 3"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["declare", "--title", "API is down"], "--body"),
        (["update", "a1b2c3d4e5f6"], "--body"),
        (["resolve", "a1b2c3d4e5f6", "--body-file", "-"], "--body"),
        (["edit", "a1b2c3d4e5f6"], "say what is to be corrected"),
        (["edit", "a1b2c3d4e5f6", "--body", "x"], "--update"),
    ],
)
def test_what_is_left_out_is_asked_for_before_anything_is_done(command: list[str], said: str) -> None:
    commands = FakeCommands()
    answer = run("incident", *command, commands=commands)
    assert answer.exit_code == 2
    assert said in answer.output
    assert commands.asked == []


def test_a_text_may_come_through_a_pipe() -> None:
    commands = FakeCommands()
    asked = ["incident", "declare", "--title", "API is down"]
    assert CliRunner().invoke(build(lambda: commands), asked, input="We look.\n").exit_code == 0
    assert commands.asked[0].body == "We look.\n"


STEPS = (
    ("declare", "--title", "API is down", "--body", "x"),
    ("open", "a1b2c3d4e5f6"),
    ("update", "a1b2c3d4e5f6", "--body", "x"),
    ("resolve", "a1b2c3d4e5f6", "--body", "x"),
)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_says_how_many_were_told_and_a_dry_run_how_many_would_be(step: tuple[str, ...]) -> None:
    commands = FakeCommands(Audience({Channel.MAIL: 2, Channel.WEBHOOK: 1}))
    counted = {"total": 3, "by_channel": {"mail": 2, "webhook": 1}}
    for options, words, key in (([], "told", "told"), (["--dry-run"], "would tell", "would_tell")):
        said = run("incident", *step, *options, commands=commands).output
        assert f"{words} 3 subscribers: 2 by mail, 1 by webhook" in said.splitlines()[-1]
        assert ("would" in said) is bool(options)
        plain = json.loads(run("incident", *step, *options, "--json", commands=commands).output)
        assert plain[key] == counted
        assert ("told" in plain, "would_tell" in plain) == (not options, bool(options))


def test_a_step_that_changes_nothing_tells_nobody_anything() -> None:
    said = run("incident", "open", "a1b2c3d4e5f6").output
    assert "told" not in said
    nobody = run("incident", "open", "a1b2c3d4e5f6", commands=FakeCommands(Audience())).output
    assert "told nobody" in nobody


@pytest.mark.parametrize(
    ("console", "warned"),
    [
        ("{listen: '0.0.0.0:8082'}", True),
        ("{listen: '[::]:8082'}", True),
        ("{listen: '0.0.0.0:8082', url: 'https://console.example.com'}", False),
        ("{listen: '[::1]:8082'}", False),
        ("{}", False),
    ],
)
def test_a_console_that_answers_to_any_name_is_warned_of(tmp_path: Path, console: str, warned: bool) -> None:
    estate = tmp_path / "holdfast.yaml"
    template = render_template()
    assert "\nconsole:" not in template
    estate.write_text(f"{template}\nconsole: {console}\n")
    command = ("check", "--no-connect", "--config", str(estate), "--data-dir", str(tmp_path))
    commands = LocalCommands()
    said = run(*command, commands=commands)
    assert (said.exit_code, "WARNING" in said.output) == (0, warned), said.output
    findings = json.loads(run(*command, "--json", commands=commands).output)["findings"]
    assert [(each["subject"], each["warning"]) for each in findings] == (
        [("console", True)] if warned else []
    )
