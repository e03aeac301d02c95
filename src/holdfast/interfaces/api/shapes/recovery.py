"""What the API tells of runs and playbooks, and takes for them."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from holdfast.interfaces.api.words import Asked, Text, Told
from holdfast.interfaces.run_documents import run_document
from holdfast.recovery.giving import LONGEST_TEXT
from holdfast.recovery.model import RunState
from holdfast.recovery.shelf import Shelved
from holdfast.recovery.views import Kind, Mark, RunView

MOST_GIVEN = 64
Seconds = Annotated[float, Field(ge=0, description="seconds")]


class ApprovalTold(BaseModel):
    who: str
    at: Told


class StageTold(BaseModel):
    """A step, a gate, a pause, or the title of several steps side by side."""

    number: str = Field(description="3, or 3a for one of several side by side", examples=["3a"])
    kind: Kind
    name: str
    title: str
    state: Mark
    action: str | None
    no_return: bool = Field(description="from its beginning on the run goes forward only")
    began: Told | None = Field(description="the attempt that is told of")
    ended: Told | None
    took_s: Seconds | None
    usual_s: Seconds | None = Field(description="the median of earlier runs; null when it never ran")
    longest_s: Seconds | None
    earlier_runs: int
    attempts: int
    told: str
    by_hand: str | None = Field(description="of a step that has failed: how people do it")
    found: dict[str, str] = Field(description="what later steps are given")
    approvals: list[ApprovalTold]
    approvals_wanted: int | None
    roles: list[str] | None = Field(description="who may approve a gate")
    four_eyes: bool = Field(description="whoever started the run does not count")
    until: Told | None = Field(description="of a gate that waits: nobody can approve it later")


class LeftTold(BaseModel):
    """How long the run still takes, by what its steps took before."""

    at_least_s: Seconds
    gates: int = Field(description="people are waited for besides")
    unknown: list[str] = Field(description="steps that never ran: their time is not in it")
    over: list[str] = Field(description="steps that have taken longer than ever before")


class RunTold(BaseModel):
    """A playbook at work."""

    id: str = Field(examples=["k3x9q2m7w1zd"])
    playbook: str
    revision: int
    title: str
    subject: str
    given: dict[str, str]
    state: RunState
    why: str
    moves_traffic: bool
    past_return: bool = Field(description="a cancel changes nothing any more")
    started_by: str
    started_at: Told
    ended_at: Told | None
    cancel_asked_by: str | None
    as_of: Told = Field(description="by the database's clock")
    lasts_s: Seconds
    waits_at: str | None = Field(description="the gate at which it waits for people")
    left: LeftTold | None = Field(description="null when it does not go forward")
    stages: list[StageTold]

    @classmethod
    def of(cls, view: RunView) -> "RunTold":
        return cls.model_validate(run_document(view))


class RunList(BaseModel):
    """Runs, the newest first."""

    items: list[RunTold]
    next: str | None = Field(None, description="the cursor of the next page; null on the last one")


class PlaybookTold(BaseModel):
    """A playbook that can be started, or what is wrong with it."""

    name: str
    title: str | None
    origin: str = Field(description="the file, or that it is Holdfast's own")
    moves_traffic: bool | None
    takes: dict[str, str | None] = Field(description="what a run is started with, and the default of each")
    problems: list[str]

    @classmethod
    def of(cls, shelved: Shelved) -> "PlaybookTold":
        playbook = shelved.playbook
        return cls(
            name=shelved.name,
            title=None if playbook is None else playbook.title,
            origin=shelved.where,
            moves_traffic=None if playbook is None else playbook.moves_traffic,
            takes={} if playbook is None else {name: each.default for name, each in playbook.takes.items()},
            problems=[each.as_text() for each in shelved.problems],
        )


class PlaybookList(BaseModel):
    items: list[PlaybookTold]


GivenName = Annotated[Text, Field(max_length=100)]
GivenText = Annotated[Text, Field(max_length=LONGEST_TEXT)]


class RunStart(Asked):
    """Which playbook, on what."""

    playbook: Annotated[Text, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$", examples=["switchover"])]
    subject: Annotated[Text, Field(min_length=1, max_length=200, description="a cluster or a database")]
    given: dict[GivenName, GivenText] = Field(default_factory=dict, max_length=MOST_GIVEN)


class RunResume(Asked):
    """How a run goes on that stands still."""

    how: Literal["retry", "by hand", "back"] = Field(
        description="try again what failed; go on behind it, because somebody did it; take back what was done"
    )
