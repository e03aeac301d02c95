"""The planner's promises, over random playbooks and schedules of failure, crash, cancel and approval."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.recovery import transitions
from holdfast.recovery.errors import Refused
from holdfast.recovery.model import Did, Gate, Pause, Playbook, Retry, Run, RunState, Stage, Step, Together
from holdfast.recovery.planner import (
    Begin,
    Finish,
    Order,
    Pass,
    Reach,
    StandStill,
    TurnBack,
    Undo,
    Wait,
    orders,
)

START = datetime(2026, 11, 23, tzinfo=UTC)
PEOPLE = {"ada": {"operator"}, "ben": {"operator", "lead"}, "cat": {"lead"}, "dan": {"viewer"}}
MOST_ACTIONS = 2000


@st.composite
def steps(draw: st.DrawFn, name: str) -> Step:
    return Step(
        name=name,
        title=name,
        action="act",
        undo=draw(st.sampled_from([None, "undo"])),
        retry=Retry(attempts=draw(st.integers(1, 3))),
        no_return=draw(st.integers(0, 5)) == 0,
    )


@st.composite
def stages(draw: st.DrawFn, name: str) -> Stage:
    match draw(st.integers(0, 5)):
        case 0:
            return Gate(
                name=name,
                title=name,
                roles=draw(st.sampled_from([["operator"], ["lead"], ["lead", "operator"]])),
                approvals=draw(st.integers(1, 2)),
                four_eyes=draw(st.booleans()),
            )
        case 1:
            return Pause(name=name, title=name, lasts=timedelta(minutes=draw(st.integers(0, 90))))
        case 2:
            many = [draw(steps(f"{name}-{n}")) for n in range(draw(st.integers(1, 4)))]
            return Together(name=name, title=name, steps=many, at_once=draw(st.integers(1, 3)))
        case _:
            return draw(steps(name))


@st.composite
def playbooks(draw: st.DrawFn) -> Playbook:
    count = draw(st.integers(1, 6))
    return Playbook(name="p", title="p", stages=[draw(stages(f"s{n}")) for n in range(count)])


@dataclass
class World:
    """One replica at a time at work on a run, and everything that can happen to it."""

    run: Run
    draw: st.DataObject
    now: datetime = START
    busy: dict[str, Begin | Undo] = field(default_factory=dict)
    happened: list[tuple[str, str]] = field(default_factory=list)
    calm: bool = False
    """From then on nothing fails, and nobody interferes."""
    jumped: bool = False
    """The clock has, in either direction."""

    def step(self) -> None:
        given = orders(self.run, self.now, set(self.busy))
        assert given == orders(self.run, self.now, set(self.busy))
        assert given, "there is always an order, or something that is waited for"
        for order in given:
            assert not isinstance(order, Wait) or self.is_bearable(order)
        for order in given:
            self.obey(order)
        if not self.calm and self.chance(6):
            self.disturb()
        if self.busy and (self.calm or self.chance(2)):
            self.end_one()
        self.now += timedelta(
            seconds=self.draw.draw(st.sampled_from([0, 1, 30, 900])) if not self.calm else 60
        )
        if self.calm and isinstance(given[0], Wait) and given[0].until:
            self.now = max(self.now, given[0].until)

    def is_bearable(self, wait: Wait) -> bool:
        """No wait is longer than the longest that the playbook has."""
        book = self.run.playbook
        longest = [step.retry.longest_pause for step in book.steps()]
        longest += [each.lasts for each in book.stages if isinstance(each, Pause)]
        longest += [each.expires_after for each in book.stages if isinstance(each, Gate)]
        return wait.until is None or wait.until - self.now <= max(longest)

    def chance(self, of: int) -> bool:
        return self.draw.draw(st.integers(0, of - 1)) == 0

    def obey(self, order: Order) -> None:
        before = self.run
        match order:
            case Begin(step, attempt):
                self.may_begin(step)
                self.run = transitions.begun(before, step.name, attempt, self.now)
                self.busy[step.name] = order
                self.happened.append(("begin", step.name))
            case Undo(step, attempt):
                self.may_undo(step)
                self.run = transitions.undoing(before, step.name, attempt, self.now)
                self.busy[step.name] = order
                self.happened.append(("undo", step.name))
            case Reach(stage):
                self.all_done_before(stage.name)
                self.run = transitions.reached(before, stage.name, self.now)
            case Pass(stage):
                if isinstance(stage, Gate):
                    self.was_approved(stage)
                self.run = transitions.passed(before, stage.name, self.now)
            case TurnBack(why):
                assert not before.is_past_return
                self.run = transitions.turned_back(before, why)
            case StandStill(why):
                assert why
                self.run = transitions.stood_still(before, why)
            case Finish(state):
                assert not self.busy
                self.run = transitions.finished(before, state, self.now)
            case Wait():
                pass

    def may_begin(self, step: Step) -> None:
        assert step.name not in self.busy
        assert not any(what == "undo" for what, _ in self.happened)
        assert self.run.did(step.name) is not Did.DONE
        self.all_done_before(step.name)
        for stage in self.run.playbook.stages:
            if isinstance(stage, Together) and step in stage.steps:
                assert len(self.busy) < stage.at_once
                return
        assert not self.busy

    def all_done_before(self, name: str) -> None:
        for stage in self.run.playbook.stages:
            parts = stage.steps if isinstance(stage, Together) else [stage]
            if any(each.name == name for each in parts):
                return
            assert all(self.run.did(each.name) is Did.DONE for each in parts)

    def may_undo(self, step: Step) -> None:
        assert not self.busy
        assert step.undo
        assert not self.run.is_past_return
        assert ("begin", step.name) in self.happened
        following = list(self.run.playbook.steps())
        for later in following[following.index(step) + 1 :]:
            assert later.undo is None or self.run.did(later.name) in (None, Did.UNDONE)

    def was_approved(self, gate: Gate) -> None:
        record = self.run.records[gate.name]
        people = [each.who for each in record.approvals]
        assert len(people) == len(set(people)) >= gate.approvals
        for each in record.approvals:
            assert not PEOPLE[each.who].isdisjoint(gate.roles)
            assert not (gate.four_eyes and each.who == self.run.started_by)
            assert self.jumped or each.at < record.began + gate.expires_after

    def end_one(self) -> None:
        name = self.draw.draw(st.sampled_from(sorted(self.busy)))
        order = self.busy.pop(name)
        well = self.calm or not self.chance(3)
        if isinstance(order, Begin):
            self.run = transitions.ended(self.run, name, self.now, well=well, told="told")
        else:
            self.run = transitions.undone(self.run, name, self.now, well=well, told="told")

    def disturb(self) -> None:
        before = self.run
        try:
            match self.draw.draw(
                st.sampled_from(["crash", "cancel", "approve", "approve", "resume", "jump"])
            ):
                case "crash":  # whoever takes over knows nothing but the run
                    self.busy.clear()
                    self.run = transitions.lease_lost(self.run)
                case "cancel":
                    self.run = transitions.cancelled(self.run, "ada")
                    turned = self.run.state is RunState.CANCELLING
                    assert self.run.state is before.state if before.is_past_return else turned
                case "jump":
                    self.jumped = True
                    self.now += self.draw.draw(st.sampled_from([-1, 1])) * timedelta(days=400)
                case "approve":
                    self.approve(self.draw.draw(st.sampled_from(sorted(PEOPLE))))
                case _ if not self.busy:
                    how = self.draw.draw(st.sampled_from(list(transitions.How)))
                    self.run = transitions.resumed(self.run, "ada", how, self.now)
        except Refused:
            assert self.run == before

    def approve(self, who: str) -> None:
        gates = [stage.name for stage in self.run.playbook.stages if isinstance(stage, Gate)]
        if gates:
            gate = self.draw.draw(st.sampled_from(gates))
            self.run = transitions.approved(self.run, gate, who, PEOPLE[who], self.now)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(playbook=playbooks(), starter=st.sampled_from(sorted(PEOPLE)), data=st.data())
def test_whatever_happens_a_run_keeps_its_promises_and_comes_to_an_end(
    playbook: Playbook, starter: str, data: st.DataObject
) -> None:
    run = Run(id="r", playbook=playbook, subject="eu", started_by=starter, started_at=START)
    world = World(run, data)
    for _ in range(data.draw(st.integers(0, 60))):
        if world.run.state.is_over:
            break
        world.step()
    world.calm = True
    for _ in range(MOST_ACTIONS):
        if not world.run.state.is_active and not world.busy:
            break
        world.step()
    assert not world.busy
    assert world.run.state in {
        RunState.DONE,
        RunState.CANCELLED,
        RunState.NEEDS_OPERATOR,
        RunState.PARKED,
    }
    if world.run.state is RunState.DONE:
        assert all(world.run.did(step.name) is Did.DONE for step in playbook.steps())
    if world.run.state is RunState.CANCELLED:
        assert not world.run.is_past_return
        undoable = [step for step in playbook.steps() if step.undo]
        assert all(world.run.did(step.name) in (None, Did.UNDONE) for step in undoable)
    if not world.run.state.is_over:
        assert world.run.why


def run_of(*given: Stage) -> Run:
    return Run(
        id="r",
        playbook=Playbook(name="p", title="p", stages=given),
        subject="eu",
        started_by="ada",
        started_at=START,
    )


def names(of: Sequence[Order]) -> list[str]:
    return [type(each).__name__ for each in of]


def test_a_step_that_nobody_works_on_any_more_is_made_again_as_the_same_attempt() -> None:
    step = Step(name="promote", title="Promote", action="promote")
    run = transitions.begun(run_of(step), "promote", 1, START)
    assert orders(run, START, {"promote"}) == [Wait(None)]
    assert orders(run, START) == [Begin(step, 1)]


def test_a_failed_attempt_waits_twice_as_long_each_time() -> None:
    step = Step(name="a", title="A", action="a", retry=Retry(attempts=3, pause=timedelta(seconds=2)))
    run = run_of(step)
    for attempt, pause_s in ((1, 2), (2, 4)):
        run = transitions.begun(run, "a", attempt, START)
        run = transitions.ended(run, "a", START, well=False, told="no")
        again = START + timedelta(seconds=pause_s)
        assert orders(run, START) == [Wait(again)]
        assert orders(run, again) == [Begin(step, attempt + 1)]


def test_a_cancel_past_the_point_of_no_return_goes_forward() -> None:
    first = Step(name="fence", title="Fence", action="fence", undo="unfence")
    second = Step(name="promote", title="Promote", action="promote", no_return=True)
    run = run_of(first, second)
    run = transitions.ended(transitions.begun(run, "fence", 1, START), "fence", START, well=True)
    run = transitions.begun(run, "promote", 1, START)
    run = transitions.cancelled(run, "ben")
    assert run.state is RunState.RUNNING
    assert run.cancel_asked_by == "ben"
    run = transitions.ended(run, "promote", START, well=True)
    assert orders(run, START) == [Finish(RunState.DONE)]


def test_a_cancel_wakes_a_gate_that_waits() -> None:
    first = Step(name="fence", title="Fence", action="fence", undo="unfence")
    gate = Gate(name="go", title="Go?", roles=["operator"])
    run = run_of(first, gate)
    run = transitions.ended(transitions.begun(run, "fence", 1, START), "fence", START, well=True)
    run = transitions.reached(run, "go", START)
    assert names(orders(run, START)) == ["Wait"]
    assert orders(transitions.cancelled(run, "ben"), START) == [Undo(first, 1)]


def test_a_run_that_replicas_keep_dying_of_is_parked_until_a_person_resumes_it() -> None:
    run = run_of(Step(name="a", title="A", action="a"))
    for _ in range(transitions.MOST_LOST_LEASES):
        assert run.state is RunState.RUNNING
        run = transitions.lease_lost(transitions.begun(run, "a", 1, START))
    assert run.state is RunState.PARKED
    assert orders(run, START) == [Wait(None)]
    assert transitions.resumed(run, "ada", transitions.How.RETRY, START).state is RunState.RUNNING


def test_a_pause_and_a_gate_wait_no_longer_though_the_clock_goes_back() -> None:
    hour, year = timedelta(hours=1), timedelta(days=365)
    for stage in (Pause(name="w", title="W", lasts=hour), Gate(name="w", title="W", roles=["lead"])):
        run = transitions.reached(run_of(stage), "w", START)
        assert orders(run, START - year) == [Reach(stage)]
        run = transitions.reached(run, "w", START - year)
        assert orders(run, START - year) == [Wait(START - year + hour)]
        # What was reached before keeps its time.
        assert transitions.reached(run, "w", START) == run


def test_a_failed_attempt_is_made_again_at_once_when_its_end_has_not_come_yet() -> None:
    step = Step(name="a", title="A", action="a")
    run = transitions.begun(run_of(step), "a", 1, START)
    run = transitions.ended(run, "a", START, well=False, told="no")
    assert orders(run, START - timedelta(days=1)) == [Begin(step, 2)]


def test_what_an_action_says_is_kept_as_far_as_it_can_be() -> None:
    run = transitions.begun(run_of(Step(name="a", title="A", action="a")), "a", 1, START)
    said = "x" * 5000 + "\x00"
    found = {"\ud800": "\x00" + "y" * 200_000}
    record = transitions.ended(run, "a", START, well=True, told=said, found=found).records["a"]
    assert record.told == "x" * 3999 + "…"
    assert list(record.found) == ["?"]
    assert record.found["?"] == "y" * 99_999 + "…"
