"""What the command line says of incidents, downtimes and maintenance, without a database."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from holdfast.availability.model import Interval, State
from holdfast.availability.sla import Terms, statement
from holdfast.availability.views import AgreementReport, ComponentStatus, Event
from holdfast.communication.model import Impact, Incident, Phase
from holdfast.estate.model import Agreement
from holdfast.interfaces.cli.app import build
from holdfast.interfaces.cli.declaring import IncidentOutcome, IncidentRequest
from holdfast.interfaces.cli.ports import SlaReport
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
    return SlaReport(
        AgreementReport("gold", agreed, "Acme", [api], made, [], events), [INCIDENT, None, None]
    )


class FakeCommands:
    def __init__(self) -> None:
        self.asked: list[IncidentRequest] = []

    def sla_report(self, place: object, agreement: str, moment: datetime | None) -> SlaReport:
        del place, agreement, moment
        return report()

    def incident_list(self, place: object, *, over: bool) -> Sequence[IncidentOutcome]:
        del place, over
        return [IncidentOutcome(INCIDENT, {})]

    def incident(self, place: object, request: IncidentRequest) -> IncidentOutcome:
        del place
        self.asked.append(request)
        return IncidentOutcome(INCIDENT, {})


def run(*command: str, commands: Any = None) -> Result:
    return CliRunner().invoke(
        build(lambda: commands or FakeCommands()), [*command], env={"COLUMNS": "200"}
    )


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
