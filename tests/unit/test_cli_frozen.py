"""`holdfast sla report|verify|intervals` about frozen months, without a database."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from holdfast.availability.freezing import FrozenMonth, Promise, account
from holdfast.availability.model import Interval, State
from holdfast.availability.months import Verified
from holdfast.availability.sla import Terms, statement
from holdfast.availability.views import AgreementReport
from holdfast.estate.model import Agreement
from holdfast.interfaces.cli.app import build
from holdfast.interfaces.cli.ports import SlaReport
from holdfast.kernel.windows import Window

OCTOBER = Window(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
TERMS = Terms(Decimal("99.9"))
PROMISE = Promise("gold", "UTC", TERMS, {"eu/api": 1})


def line(down: timedelta) -> list[Interval]:
    return [
        Interval(Window(OCTOBER.start, OCTOBER.start + down), State.MAJOR_OUTAGE),
        Interval(Window(OCTOBER.start + down, OCTOBER.end), State.OPERATIONAL),
    ]


def chain() -> list[FrozenMonth]:
    """An hour of downtime, corrected to two; oldest first."""
    first = account(PROMISE, OCTOBER, {1: line(timedelta(hours=1))}, []).month
    first = replace(first, id=1, frozen_at=OCTOBER.end + timedelta(minutes=15))
    second = account(PROMISE, OCTOBER, {1: line(timedelta(hours=2))}, [], first).month
    return [first, replace(second, id=2, frozen_at=OCTOBER.end + timedelta(days=1))]


class FakeCommands:
    """Answers with what the stored intervals come to now: so much downtime in October."""

    def __init__(self, rows: Sequence[FrozenMonth], down: timedelta) -> None:
        self._rows = rows
        self._down = down

    def sla_verify(self, place: object, agreement: str | None) -> Sequence[Verified]:
        del place, agreement
        now = account(PROMISE, OCTOBER, {1: line(self._down)}, [])
        return [Verified(row, now, row is not self._rows[-1]) for row in self._rows]

    def sla_report(self, place: object, agreement: str, moment: datetime | None) -> SlaReport:
        del place, agreement, moment
        agreed = Agreement(customer="a", name="Gold", components=("eu/api",), objective=Decimal("99.9"))
        made = statement({1: line(self._down)}, [], TERMS, OCTOBER, OCTOBER.end)
        return SlaReport(AgreementReport("gold", agreed, "Acme", [], made, [], [], frozen=self._rows[::-1]))


def run(command: str, rows: Sequence[FrozenMonth], hours: float = 2) -> Result:
    commands: Any = FakeCommands(rows, timedelta(hours=hours))
    return CliRunner().invoke(build(lambda: commands), ["sla", *command.split()])


def test_months_that_match_or_were_corrected_are_sound() -> None:
    answer = run("verify", chain())
    assert answer.exit_code == 0
    assert "was corrected" in answer.output
    assert "all 2 match or were corrected" in answer.output


def test_a_mismatch_that_nobody_corrected_ends_with_1() -> None:
    answer = run("verify gold", chain(), hours=3)
    assert answer.exit_code == 1
    assert "DOES NOT MATCH" in answer.output
    plain = run("verify --json", chain(), hours=3)
    assert plain.exit_code == 1
    told = json.loads(plain.output)
    assert told["sound"] is False
    assert [(each["matches"], each["corrected"]) for each in told["months"]] == [
        (False, True),
        (False, False),
    ]


def test_nothing_frozen_is_nothing_wrong() -> None:
    answer = run("verify", [])
    assert answer.exit_code == 0
    assert "no month is frozen yet" in answer.output


def test_the_intervals_are_byte_for_byte_what_was_hashed() -> None:
    rows = chain()
    answer = run("intervals gold --month 2026-10", rows)
    assert hashlib.sha256(answer.stdout_bytes).hexdigest() == rows[-1].intervals_sha256
    assert answer.stdout.splitlines() == [
        "1 1790812800000000 1790820000000000 major_outage",
        "1 1790820000000000 1793491200000000 operational",
    ]


def test_the_intervals_of_a_month_that_is_not_frozen_are_none() -> None:
    answer = run("intervals gold --month 2026-11", chain())
    assert answer.exit_code == 1
    assert "there are: 2026-10" in answer.output


def test_the_report_has_the_chain_newest_first() -> None:
    rows = chain()
    text = run("report gold --month 2026-10", rows).output
    assert f"frozen on 2026-11-02 00:00Z: 99.73118 %, SHA-256 {rows[1].intervals_sha256}" in text
    assert "corrects the 99.86559 % of 2026-11-01 00:15Z" in text
    told = json.loads(run("report gold --month 2026-10 --json", rows).output)
    assert [(each["id"], each["corrects"]) for each in told["frozen"]] == [(2, 1), (1, None)]
    assert told["frozen"][0]["terms"]["components"] == {"eu/api": 1}


@pytest.mark.parametrize("command", ["report gold", "report gold --json"])
def test_a_month_that_is_not_frozen_is_reported_without(command: str) -> None:
    answer = run(command, [])
    assert answer.exit_code == 0
    assert "SHA-256" not in answer.output
