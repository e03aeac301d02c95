"""People are called when a run cannot go on without them: once, again at half time, and each hour."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.adapters.memory.evidence import MemoryTold
from holdfast.availability.alerting.model import Message, Outcome, Severity
from holdfast.bootstrap.recovery.calling import call
from holdfast.estate.model import Estate
from holdfast.recovery.calls import AGAIN_AFTER, NEWS_FOR, call_for_unattended, calls_of
from holdfast.recovery.model import RunState
from rehearsed import Rehearsed

ESTATE = Estate.model_validate(
    {
        "console": {"url": "https://console.example.com/"},
        "alerts": {"channels": {"ops": {"url": "env:OPS"}, "night": {"url": "env:NIGHT"}}},
        "regions": {"here": {"name": "Here"}},
        "clusters": {
            "eu": {
                "name": "Europe",
                "region": "here",
                "components": {
                    "api": {
                        "name": "API",
                        "checks": {"up": {"type": "http", "url": "https://eu.example.com/"}},
                    }
                },
            }
        },
    }
)


@dataclass
class Channels:
    sent: list[tuple[str, Message]] = field(default_factory=list)

    async def send(self, channel: str, message: Message) -> Outcome:
        self.sent.append((channel, message))
        return Outcome(True)


@pytest.fixture
def rehearsed() -> Rehearsed:
    return Rehearsed()


async def test_a_gate_calls_when_it_is_reached_and_at_half_time(rehearsed: Rehearsed) -> None:
    channels, told = Channels(), MemoryTold()

    async def made() -> list[str]:
        return [each.event for each in await call(rehearsed.recovery, told, ESTATE, channels)]

    run = await rehearsed.start()
    assert await made() == []
    await rehearsed.drive(run.id)
    assert await made() == ["recovery.gate_waits"]
    assert [channel for channel, _ in channels.sent] == ["ops", "night"]
    message = channels.sent[0][1]
    assert (message.title, message.severity) == (
        "[PAGE] Move <eu>: eu waits for people: Two agree",
        Severity.PAGE,
    )
    assert f"console: https://console.example.com/recovery/runs/{run.id}" in message.body
    assert "wanted: 2" in message.body
    rehearsed.clock.advance(60)
    assert await made() == [], "nobody is called twice for the same"
    rehearsed.clock.advance(15 * 60)
    assert await made() == ["recovery.gate_waits"]
    rehearsed.clock.advance(20 * 60)
    assert await made() == [], "too late to approve"


async def test_two_processes_call_once(rehearsed: Rehearsed) -> None:
    channels, told = Channels(), MemoryTold()
    run = await rehearsed.start()
    await rehearsed.drive(run.id)
    for _ in range(2):
        await call(rehearsed.recovery, told, ESTATE, channels)
    assert len(channels.sent) == 2


async def test_a_run_that_stands_still_calls_each_hour_until_it_goes_on(rehearsed: Rehearsed) -> None:
    run = await rehearsed.start("harmless")
    view = await rehearsed.drive(run.id, fails={"two", "undo one"})
    while view.run.state is not RunState.NEEDS_OPERATOR:
        rehearsed.clock.advance(60)
        view = await rehearsed.drive(run.id, fails={"undo one"})
    keys = set[str]()
    for _ in range(8):
        keys |= {each.key for each in calls_of(await rehearsed.view(run.id))}
        rehearsed.clock.advance(20 * 60)
    assert len(keys) == 3
    await rehearsed.recovery.cancel(run.id, "ada", {"operator"})
    assert list(calls_of(await rehearsed.view(run.id))) == []


BY_ITSELF = """
title: Leave
moves_traffic: true
takes: {lost: {title: what}, to: {title: where}, why: {title: why}}
stages:
  - {name: look, title: Look, action: practice.tell, by_hand: Look.}
  - {name: measure, title: Measure, action: practice.tell, by_hand: Measure.}
"""
GIVEN = {"lost": "a", "to": "b", "why": "it burns"}


async def test_traffic_that_moves_by_itself_calls_when_it_begins_and_when_it_is_over() -> None:
    rehearsed, channels, told = Rehearsed({"leave": BY_ITSELF}), Channels(), MemoryTold()
    run = await rehearsed.start("leave", by="holdfast", **GIVEN)
    [begun] = await call(rehearsed.recovery, told, ESTATE, channels)
    assert (begun.event, begun.facts["to"], begun.facts["why"]) == (
        "recovery.failover_begun",
        "b",
        "it burns",
    )
    view = await rehearsed.drive(run.id)
    assert view.run.state is RunState.DONE
    [over] = await call(rehearsed.recovery, told, ESTATE, channels)
    assert (over.event, over.text) == ("recovery.failover_over", "Leave: eu was moved by itself")
    severities = [message.severity for _, message in channels.sent]
    assert severities == [Severity.PAGE] * 2 + [Severity.TICKET] * 2, "nobody has to get up for its end"
    assert await call(rehearsed.recovery, told, ESTATE, channels) == []


async def test_what_moved_by_itself_between_two_looks_is_told_too_and_old_news_is_not() -> None:
    rehearsed = Rehearsed({"leave": BY_ITSELF})
    run = await rehearsed.start("leave", by="holdfast", **GIVEN)
    await rehearsed.drive(run.id)
    [over] = await call(rehearsed.recovery, MemoryTold(), ESTATE, Channels())
    assert over.event == "recovery.failover_over"
    rehearsed.clock.advance(NEWS_FOR.total_seconds() + 1)
    assert await call(rehearsed.recovery, MemoryTold(), ESTATE, Channels()) == []


async def test_one_that_turned_back_is_urgent_and_one_that_a_person_started_is_nobodys_news() -> None:
    rehearsed = Rehearsed({"leave": BY_ITSELF})
    run = await rehearsed.start("leave", by="holdfast", **GIVEN)
    await rehearsed.recovery.cancel(run.id, "ada", {"operator"})
    await rehearsed.drive(run.id)
    [over] = calls_of(await rehearsed.view(run.id))
    assert (over.text, over.urgent) == ("Leave: eu: cancelled", True)
    mine = await rehearsed.start("leave", **GIVEN)
    assert list(calls_of(await rehearsed.view(mine.id))) == []


def test_a_run_that_nobody_works_on_calls_after_a_minute_and_each_hour() -> None:
    now = datetime(2026, 11, 23, 3, tzinfo=UTC)
    assert list(call_for_unattended(timedelta(seconds=59), now)) == []
    [first] = call_for_unattended(timedelta(seconds=61), now)
    assert (first.event, first.facts) == ("recovery.run_unattended", {"for_s": 61})
    [same] = call_for_unattended(timedelta(minutes=2), now + timedelta(minutes=1))
    [later] = call_for_unattended(timedelta(hours=2), now + AGAIN_AFTER)
    assert first.key == same.key != later.key
