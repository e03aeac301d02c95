"""Runs in memory for tests of what people see: playbooks as text, and a driver that needs no engine."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from holdfast.adapters.memory.recovery import MemoryPlaybooks, MemoryRuns
from holdfast.bootstrap.recovery.playbooks import read_playbook, read_shelf
from holdfast.interfaces.recovery_desk import RecoveryDesk
from holdfast.kernel.clock import ManualClock
from holdfast.recovery import transitions
from holdfast.recovery.errors import NotThere
from holdfast.recovery.model import Did, Playbook, Run
from holdfast.recovery.planner import Begin, Finish, Order, Pass, Reach, StandStill, TurnBack, Undo, orders
from holdfast.recovery.ports import Note, Transition
from holdfast.recovery.service import Recovery
from holdfast.recovery.shelf import Shelved
from holdfast.recovery.views import RunView, view_of

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
MOVING = """
title: Move <eu>
about: When the region is lost.
moves_traffic: true
takes:
  to: {title: where to, default: there}
  why: {title: the reason}
stages:
  - name: look
    title: Look
    action: practice.tell
    given: {text: "{subject} to {to}"}
    by_hand: Look at {edges.secondary.socket} and {nobody.knows}.
  - name: agree
    title: Two agree
    roles: [operator, commander]
    approvals: 2
    four_eyes: true
    expires_after: 30m
  - name: fence
    title: Fence
    action: practice.set
    undo: practice.unset
    given: {mark: m}
    by_hand: Stop it.
    undo_by_hand: Start it.
  - {name: settle, title: Settle, lasts: 1m}
  - name: sides
    title: Both sides
    at_once: 2
    steps:
      - {name: left, title: Left, action: practice.tell, retry: {attempts: 2, pause: 5s}, by_hand: Push.}
      - {name: right, title: Right, action: practice.tell, by_hand: Pull.}
  - name: promote
    title: Promote
    action: practice.tell
    given: {text: "{look.text}"}
    no_return: true
    by_hand: "Promote at {look.text}."
"""
HARMLESS = """
title: Count
stages:
  - {name: one, title: One, action: practice.set, undo: practice.unset, given: {mark: m}, by_hand: One.}
  - {name: two, title: Two, action: practice.tell, retry: {attempts: 1}, by_hand: Two.}
"""


def playbook_of(name: str, text: str) -> Playbook:
    """A playbook that is right."""
    found = read_playbook(name, text.encode(), f"/books/{name}.yaml")
    assert found.playbook is not None, [each.as_text() for each in found.problems]
    return found.playbook


@dataclass
class Rehearsed:
    """Runs by a clock that is set by hand. `books` are there besides Holdfast's own."""

    books: Mapping[str, str] = field(default_factory=lambda: {"moving": MOVING, "harmless": HARMLESS})
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))

    def __post_init__(self) -> None:
        self.runs = MemoryRuns(self.clock.now)
        self.playbooks = {name: playbook_of(name, text) for name, text in self.books.items()}
        self.numbers = 0
        self.recovery = Recovery(
            self.runs, MemoryPlaybooks(self.clock.now), lambda: self.playbooks, self._fresh_id
        )
        self.desk = RecoveryDesk(
            self.recovery,
            self._shelf,
            lambda: {"eu": "Europe"},
            self._check_start,
            lambda name, subject: f"# {name} for {subject}\n",
        )

    def _fresh_id(self) -> str:
        self.numbers += 1
        return f"run{self.numbers:09d}"

    def _shelf(self) -> dict[str, Shelved]:
        wrong = read_playbook("wrong", b"title: <b>Wrong\nstages: []", "/books/wrong.yaml")
        own = {"rehearsal": read_shelf(None)["rehearsal"]}
        mine = {name: Shelved(name, f"/books/{name}.yaml", each) for name, each in self.playbooks.items()}
        return {**own, **mine, "wrong": wrong}

    def _check_start(self, playbook: Playbook, subject: str) -> None:
        if playbook.moves_traffic and subject != "eu":
            raise NotThere(f"the estate in force has no cluster {subject!r}")

    async def start(self, name: str = "moving", by: str = "ada", **given: str) -> Run:
        given = given or ({"why": "smoke"} if name == "moving" else {})
        return await self.recovery.start(name, "eu", given, by, {"commander", "operator"})

    async def view(self, run_id: str) -> RunView:
        held = await self.runs.get(run_id)
        return view_of(held.run, held.now, await self.runs.newest(100))

    async def drive(
        self,
        run_id: str,
        *,
        fails: Collection[str] = (),
        took: Mapping[str, float] | None = None,
        up_to: str = "",
    ) -> RunView:
        """Until it is over, waits for time or people, or has begun `up_to`. Steps take a second."""
        while True:
            held = await self.runs.get(run_id)
            changed = False
            for order in orders(held.run, held.now) if held.run.state.is_active else ():
                changed |= await self._obey(run_id, order, fails, took or {}, up_to)
                if up_to and (await self.runs.get(run_id)).run.did(up_to) is Did.RUNNING:
                    return await self.view(run_id)
            if not changed:
                return await self.view(run_id)

    async def _obey(
        self, run_id: str, order: Order, fails: Collection[str], took: Mapping[str, float], up_to: str
    ) -> bool:
        match order:
            case Begin(step, attempt):
                await self._change(run_id, lambda run, at: transitions.begun(run, step.name, attempt, at))
                if step.name == up_to:
                    return True
                self.clock.advance(took.get(step.name, 1.0))
                well, told = step.name not in fails, "" if step.name not in fails else "it <i>broke"
                await self._change(
                    run_id,
                    lambda run, at: transitions.ended(
                        run,
                        step.name,
                        at,
                        well=well,
                        told=told,
                        found={"text": f"<{step.name}>"} if well else {},
                    ),
                )
            case Undo(step, attempt):
                await self._change(run_id, lambda run, at: transitions.undoing(run, step.name, attempt, at))
                well = f"undo {step.name}" not in fails
                await self._change(
                    run_id, lambda run, at: transitions.undone(run, step.name, at, well=well, told="")
                )
            case Reach(stage):
                await self._change(run_id, lambda run, at: transitions.reached(run, stage.name, at))
            case Pass(stage):
                await self._change(run_id, lambda run, at: transitions.passed(run, stage.name, at))
            case TurnBack(why):
                await self._change(run_id, lambda run, _: transitions.turned_back(run, why))
            case StandStill(why):
                await self._change(run_id, lambda run, _: transitions.stood_still(run, why))
            case Finish(state):
                await self._change(run_id, lambda run, at: transitions.finished(run, state, at))
            case _:
                return False
        return True

    async def _change(self, run_id: str, transition: Transition) -> None:
        await self.runs.change(run_id, transition, Note("test", "run.driven", {}))

    async def through(self, run_id: str, **how: object) -> RunView:
        """Past the gate by two people, and to the end."""
        await self.drive(run_id)
        for who in ("ben", "cat"):
            await self.recovery.approve(run_id, "agree", who, {"operator"})
        await self.drive(run_id, **how)  # type: ignore[arg-type]
        self.clock.advance(60)
        return await self.drive(run_id, **how)  # type: ignore[arg-type]
