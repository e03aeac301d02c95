"""What people are told of drills: each thing once, whoever looks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tests.recorded import BEGAN, SIGNER, an_evidence

from holdfast.adapters.memory.evidence import MemoryEvidence, MemoryTold
from holdfast.availability.alerting.model import Message, Outcome
from holdfast.bootstrap.recovery.sealing import seal_with
from holdfast.bootstrap.recovery.warning import warn
from holdfast.estate.model import Estate
from holdfast.recovery.evidence_ports import Why
from holdfast.recovery.model import RunState

DAY = timedelta(days=1)
ESTATE = Estate.model_validate(
    {
        "regions": {"a": {"name": "A"}},
        "clusters": {
            "eu": {
                "name": "EU",
                "region": "a",
                "components": {"web": {"name": "Web", "checks": {"page": {"url": "http://127.0.0.1:1"}}}},
            }
        },
        "customers": {"ada": {"name": "Ada"}},
        "agreements": {
            "gold": {"customer": "ada", "name": "Gold", "components": ["eu/*"], "objective": 99, "rto": "20s"}
        },
        "alerts": {"channels": {"ops": {"url": "env:OPS"}, "night": {"url": "env:NIGHT"}}},
        "backup": {"stores": {"a": {"to": "file:///a"}}},
        "databases": {
            "print": {
                "name": "Print",
                "cluster": "eu",
                "connection": {"host": "/nowhere"},
                "copies": {"a": {}},
            }
        },
        "recovery": {"drills": {"weekly": {"scenario": "restore", "subject": "print", "valid_for": "7d"}}},
    }
)


class Sent:
    """A notifier that remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []

    async def send(self, channel: str, message: Message) -> Outcome:
        self.messages.append((channel, message))
        return Outcome(ok=True)

    @property
    def titles(self) -> Sequence[str]:
        return [message.title for _, message in self.messages]


async def kept(*evidence: dict[str, Any]) -> MemoryEvidence:
    log = MemoryEvidence(lambda: BEGAN)
    for number, each in enumerate(evidence):
        await log.append(an_evidence(f"r{number}", **each), seal_with(SIGNER))
    return log


async def test_a_drill_that_did_not_pass_is_told_once_to_every_channel() -> None:
    log = await kept({"found": {"invariant.orders": "fails: none are there"}})
    told, sent = MemoryTold(), Sent()

    for _ in range(3):
        await warn(log, told, ESTATE, sent, BEGAN + timedelta(hours=1))
    await warn(log, told, ESTATE, Sent(), BEGAN + timedelta(hours=1))

    assert [channel for channel, _ in sent.messages] == ["ops", "night"]
    assert sent.titles[0] == "[TICKET] a drill of restore of print did not pass"
    assert "why: orders: none are there" in sent.messages[0][1].body
    assert "look: holdfast evidence show" in sent.messages[0][1].body


async def test_why_it_did_not_pass_is_told() -> None:
    log = await kept({"found": {"rto_s": "3600.5"}}, {"state": RunState.CANCELLED})
    sent = Sent()

    await warn(log, MemoryTold(), ESTATE, sent, BEGAN + timedelta(hours=1))

    bodies = [message.body for channel, message in sent.messages if channel == "ops"]
    assert any("why: RTO of 3600.5 s is beyond what was agreed on" in each for each in bodies)
    assert len(bodies) == 2


async def test_what_passed_and_what_is_long_ago_is_told_of_no_more() -> None:
    sent = Sent()

    await warn(await kept({}), MemoryTold(), ESTATE, sent, BEGAN + DAY)
    await warn(await kept({"state": RunState.CANCELLED}), MemoryTold(), ESTATE, sent, BEGAN + 3 * DAY)

    assert sent.titles == []


async def test_what_expires_is_told_once_for_each_time_that_it_passed() -> None:
    log, told, sent = await kept({}), MemoryTold(), Sent()

    await warn(log, told, ESTATE, sent, BEGAN + 6 * DAY)
    assert sent.titles == []
    for days in (8, 9, 30):
        await warn(log, told, ESTATE, sent, BEGAN + days * DAY)
    assert sent.titles == ["[TICKET] the drill weekly proves nothing any more"] * 2

    await log.append(an_evidence("again", at=BEGAN + 30 * DAY), seal_with(SIGNER))
    await warn(log, told, ESTATE, sent, BEGAN + 31 * DAY)
    assert len(sent.titles) == 2
    await warn(log, told, ESTATE, sent, BEGAN + 40 * DAY)
    assert len(sent.titles) == 4


async def test_that_the_witness_does_not_vouch_is_told_once() -> None:
    log, told, sent = await kept({}), MemoryTold(), Sent()
    now = (await log.grown()).unseen_since
    assert now is not None

    await log.keep_waiting(Why.AWAY, "no answer")
    await warn(log, told, ESTATE, sent, now)
    assert sent.titles == []
    for hours in (2, 3, 30):
        await warn(log, told, ESTATE, sent, now + timedelta(hours=hours))
    assert sent.titles == ["[TICKET] the witness of the log of evidence is away"] * 2

    await log.keep_waiting(Why.FORK, "another log")
    for _ in range(2):
        await warn(log, told, ESTATE, sent, now)
    assert sent.titles[2:] == ["[TICKET] the log of evidence is not the one that its witness has seen"] * 2
    assert "why: another log" in sent.messages[-1][1].body


async def test_a_restore_that_grows_too_long_is_told_before_it_is_and_once_a_week() -> None:
    growing = [
        {
            "at": BEGAN + day * DAY,
            "found": {"data_bytes": f"{10 + day}000000000", "rto_s": str(10 + day / 5)},
        }
        for day in range(10)
    ]
    log, told, sent = await kept(*growing), MemoryTold(), Sent()
    now = BEGAN + 10 * DAY  # a Thursday: 12 s by now, 0.2 s more each day, 20 s are agreed on

    for hours in (0, 1, 24):
        await warn(log, told, ESTATE, sent, now + timedelta(hours=hours))
    assert sent.titles == ["[TICKET] a restore of print will take longer than was agreed on"] * 2
    assert "limit_s: 20.0" in sent.messages[0][1].body
    assert told.told

    await warn(await kept(*growing[8:]), MemoryTold(), ESTATE, still := Sent(), now)
    assert still.titles == [], "two measurements tell nothing"
