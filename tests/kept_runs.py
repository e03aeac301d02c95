"""A playbook with one of everything that it can hold, and runs of it, as stores keep them."""

from datetime import UTC, datetime, timedelta

from holdfast.recovery import transitions
from holdfast.recovery.model import Gate, Pause, Playbook, Retry, Run, Step, Taken, Together
from holdfast.recovery.ports import Note

LEASE = timedelta(seconds=30)


def playbook(name: str = "move", *, moves_traffic: bool = False) -> Playbook:
    """One of everything that a playbook can hold."""
    return Playbook(
        name=name,
        title="Move",
        about="When it is; “really”; the right one: ½, \\u0000, \n and all.",
        takes={"why": Taken(title="Why"), "to": Taken(title="To", default="b")},
        moves_traffic=moves_traffic,
        roles=("commander",),
        stages=[
            Step(name="look", title="Look", action="a.look", given={"to": "{to}"}, undo="a.unlook"),
            Together(
                name="both",
                title="Both",
                steps=[
                    Step(name="one", title="One", action="a.one", within=timedelta(milliseconds=1500)),
                    Step(name="two", title="Two", action="a.two", retry=Retry(attempts=7)),
                ],
            ),
            Gate(name="go", title="Go?", roles=["commander"], approvals=2, four_eyes=True),
            Pause(name="settle", title="Settle", lasts=timedelta(days=2, seconds=3)),
            Step(name="jump", title="Jump", action="a.jump", no_return=True, by_hand="Jump."),
        ],
    )


def new(run_id: str, subject: str = "eu", *, moves_traffic: bool = False) -> Run:
    return Run(
        id=run_id,
        playbook=playbook(moves_traffic=moves_traffic),
        subject=subject,
        given={"why": "it “burns”; ½"},
        started_by="ada",
        started_at=datetime.fromtimestamp(0, UTC),
    )


def note(event: str, run_id: str = "a", **facts: object) -> Note:
    return Note("ada", event, {"run": run_id, **facts})


def begins(run: Run, at: datetime) -> Run:
    return transitions.begun(run, "look", 1, at)
