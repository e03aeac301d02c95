"""What becomes of planned work: decisions over values, without store, clock or chance.

    scheduled --started--> in progress <-> verifying --finished--> completed
        |                      +--cancelled: ended early-----------^
        +--cancelled--> cancelled

What holds of every maintenance that these functions made (property tests hold them to it):
- began_at is there from its start on, ended_at from its end on, began_at <= ended_at. One that was cancelled
  before it began has neither.
- Its window never moves once it has begun: only the window's end does, while it lasts.
- No update and no change that was there is ever gone.

What of it leaves the counted time of agreements is decided in counting.py.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from holdfast.communication.directory import Directory
from holdfast.communication.errors import NotPossible, NotThere
from holdfast.communication.incidents import audience_of
from holdfast.communication.model import (
    MOST_UPDATES,
    Change,
    ComponentState,
    Event,
    Maintenance,
    Notice,
    Stage,
    Update,
)
from holdfast.communication.planning import (
    aware,
    between,
    longest_first,
    moment_text,
    reminders,
    text_of,
    window_of,
)
from holdfast.communication.texts import body_of, title_of
from holdfast.kernel.windows import Window

EARLIEST_START = timedelta(hours=24)
MOST_TOLD = 10


@dataclass(frozen=True, slots=True)
class NewMaintenance:
    """What a person or a program plans. Without a body the title says it all."""

    title: str
    body: str
    component_ids: frozenset[int]
    window: Window
    starts_by_clock: bool = True
    ends_by_clock: bool = True
    remind: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be another; None: as it is."""

    title: str | None = None
    body: str | None = None
    window: Window | None = None
    component_ids: frozenset[int] | None = None
    starts_by_clock: bool | None = None
    ends_by_clock: bool | None = None
    remind: tuple[timedelta, ...] | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A maintenance as it is from now on, what the journal says of it, and what readers are told, if so."""

    maintenance: Maintenance
    journalled: str
    told: Event | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


def planned(
    new: NewMaintenance, directory: Directory, maintenance_id: str, actor: str, now: datetime
) -> Decided:
    """New work, announced now."""
    _known(new.component_ids, (), directory)
    made = Maintenance(
        maintenance_id,
        title_of(new.title),
        text_of(new.body),
        window_of(new.window, now),
        Stage.SCHEDULED,
        frozenset(new.component_ids),
        announced_by=actor,
        starts_by_clock=new.starts_by_clock,
        ends_by_clock=new.ends_by_clock,
        remind=reminders(new.remind),
    )
    made = _reminded_by_this(made, now)
    return Decided(made, "maintenance.planned", Event.MAINTENANCE_PLANNED, _facts(made))


def changed(
    maintenance: Maintenance, changes: Changes, directory: Directory, actor: str, now: datetime
) -> Decided | None:
    """It with what is given changed; None when that changes nothing. Of work under way less can change."""
    _not_over(maintenance)
    after = replace(
        maintenance,
        title=maintenance.title if changes.title is None else title_of(changes.title),
        body=maintenance.body if changes.body is None else text_of(changes.body),
        starts_by_clock=_or(changes.starts_by_clock, maintenance.starts_by_clock),
        ends_by_clock=_or(changes.ends_by_clock, maintenance.ends_by_clock),
        remind=maintenance.remind if changes.remind is None else reminders(changes.remind),
    )
    if changes.window is not None and changes.window != maintenance.window:
        after = _moved(after, changes.window, now)
    if changes.component_ids is not None and changes.component_ids != maintenance.component_ids:
        after = _of_others(after, changes.component_ids, directory)
    if after == maintenance:
        return None
    # Those whom this tells need no reminder that would have come before.
    after = _reminded_by_this(_with_trail(maintenance, after, actor, now), now)
    fields = [each.field for each in after.changes[len(maintenance.changes) :]]
    told = None if fields in (["remind"], []) else Event.MAINTENANCE_CHANGED
    return Decided(after, "maintenance.changed", told, {"fields": fields, **_facts(after)})


def extended(maintenance: Maintenance, until: datetime, actor: str, now: datetime) -> Decided | None:
    """It lasts longer; None when it lasts until then already. What is added counts as announced now."""
    _not_over(maintenance)
    until = aware(until)
    if until == maintenance.window.end:
        return None
    if until < maintenance.window.end:
        raise NotPossible(
            f"it lasts until {moment_text(maintenance.window.end)} as it is",
            hint="to end it earlier: finish it, or change its end",
        )
    after = replace(maintenance, window=window_of(Window(maintenance.window.start, until), now))
    after = _with_trail(maintenance, after, actor, now)
    return Decided(after, "maintenance.extended", Event.MAINTENANCE_CHANGED, {"to": moment_text(until)})


def started(
    maintenance: Maintenance, update_id: str, actor: str, now: datetime, *, by_clock: bool = False
) -> Decided | None:
    """It is under way, from now on or, by the clock, since its planned start; None when it is already.

    Begun early, the time until its planned start counts as announced now; begun late, the time since then
    goes back into counted time.
    """
    if maintenance.is_under_way:
        return None
    _not_over(maintenance)
    window = maintenance.window
    if not by_clock and now >= window.end:
        raise NotPossible(
            f"its window was over at {moment_text(window.end)}", hint="extend it first, or plan it anew"
        )
    if window.start - now > EARLIEST_START:
        raise NotPossible(
            f"it is planned for {moment_text(window.start)}",
            hint="change its start first: that is more than a day",
        )
    began_at = window.start if by_clock else now
    said = _said(maintenance, update_id, Stage.IN_PROGRESS, "", actor, now, ComponentState.UNDER_MAINTENANCE)
    after = replace(said, stage=Stage.IN_PROGRESS, began_at=began_at)
    return Decided(
        after, "maintenance.started", Event.MAINTENANCE_STARTED, {"began_at": moment_text(began_at)}
    )


def finished(
    maintenance: Maintenance,
    update_id: str,
    actor: str,
    now: datetime,
    *,
    at: datetime | None = None,
    body: str = "",
    by_clock: bool = False,
) -> Decided | None:
    """It is over, now or, by the clock, since its planned end; None when it is already.

    `at` back-dates the end: work was over before somebody said so. Done for one that is completed, it
    corrects the end that is known, and only gives back more of the time that was left out.
    """
    if maintenance.stage is Stage.COMPLETED:
        return None if at is None else _over_earlier(maintenance, at, actor, now)
    began_at = maintenance.began_at
    if not maintenance.is_under_way or began_at is None:
        raise NotPossible(
            f"it is {maintenance.stage.value.replace('_', ' ')}", hint="only what has begun can be finished"
        )
    ended_at = maintenance.window.end if by_clock else now
    if at is not None:
        ended_at = between(at, began_at, now)
    said = _said(maintenance, update_id, Stage.COMPLETED, body, actor, now, ComponentState.OPERATIONAL)
    after = replace(said, stage=Stage.COMPLETED, ended_at=max(began_at, ended_at))
    return Decided(
        after, "maintenance.completed", Event.MAINTENANCE_COMPLETED, {"ended_at": moment_text(ended_at)}
    )


def passed(maintenance: Maintenance, update_id: str, actor: str, now: datetime) -> Decided:
    """It began and ended by the clock while nobody looked at the clock: told of once, as over."""
    window = maintenance.window
    said = _said(maintenance, update_id, Stage.COMPLETED, "", actor, now, ComponentState.OPERATIONAL)
    after = replace(said, stage=Stage.COMPLETED, began_at=window.start, ended_at=window.end)
    facts = {"began_at": moment_text(window.start), "ended_at": moment_text(window.end)}
    return Decided(after, "maintenance.completed", Event.MAINTENANCE_COMPLETED, facts)


def cancelled(
    maintenance: Maintenance, reason: str, update_id: str, actor: str, now: datetime
) -> Decided | None:
    """It does not take place; None when that is known. Of work under way the rest does not: it ends now."""
    if maintenance.stage is Stage.CANCELLED:
        return None
    if maintenance.is_under_way:
        return finished(maintenance, update_id, actor, now, body=reason)
    _not_over(maintenance)
    after = replace(
        _said(maintenance, update_id, Stage.CANCELLED, reason, actor, now, None), stage=Stage.CANCELLED
    )
    return Decided(after, "maintenance.cancelled", Event.MAINTENANCE_CANCELLED, {"title": after.title})


def posted(
    maintenance: Maintenance, body: str, stage: Stage, update_id: str, actor: str, now: datetime
) -> Decided | None:
    """Say something about it. A stage that is another one moves it there, as the step of that name does."""
    text = body_of(body)
    if stage is Stage.COMPLETED and not maintenance.stage.is_over:
        return finished(maintenance, update_id, actor, now, body=text)
    if stage is Stage.CANCELLED and not maintenance.stage.is_over:
        return cancelled(maintenance, text, update_id, actor, now)
    before = maintenance
    if stage is not maintenance.stage:
        if Stage.SCHEDULED in {stage, maintenance.stage} or maintenance.stage.is_over:
            raise NotPossible(
                f"it is {_word(maintenance.stage)}, not {_word(stage)}",
                hint="start it first, or leave the stage",
            )
        before = replace(maintenance, stage=stage)
    if len(maintenance.updates) >= MOST_UPDATES:
        # The steps themselves are few, and are possible however much was said.
        raise NotPossible(f"it has {MOST_UPDATES} updates", hint="finish it and plan another one")
    state = ComponentState.UNDER_MAINTENANCE if before.is_under_way else None
    after = _said(before, update_id, stage, text, actor, now, state)
    return Decided(after, "maintenance.updated", Event.MAINTENANCE_UPDATED, {"stage": stage.value})


def reminded(maintenance: Maintenance, now: datetime) -> Decided | None:
    """Its readers are reminded of all that is due in one; None when nothing is."""
    due = reminders_due(maintenance, now)
    if maintenance.stage is not Stage.SCHEDULED or now >= maintenance.window.start or not due:
        return None
    after = replace(maintenance, reminded=longest_first({*maintenance.reminded, *due}))
    before = [f"{each}" for each in sorted(due)]
    return Decided(after, "maintenance.reminded", Event.MAINTENANCE_REMINDER, {"before": before})


def reminders_due(maintenance: Maintenance, now: datetime) -> set[timedelta]:
    """The reminders whose time has come, and that have not gone out."""
    waiting = set(maintenance.remind) - set(maintenance.reminded)
    return {each for each in waiting if now >= maintenance.window.start - each}


def as_told(maintenance: Maintenance) -> Maintenance:
    """As a message about it needs it: without the trail, and of much that was said the newest."""
    return replace(maintenance, updates=maintenance.updates[-MOST_TOLD:], changes=())


def notice_of(maintenance: Maintenance, event: Event, directory: Directory, now: datetime) -> Notice:
    """What subscribers are told, for those who may know of all that it speaks of."""
    told = maintenance.component_ids.union(*(each.affected for each in maintenance.updates))
    return Notice(
        event,
        now,
        directory.places_of(told),
        maintenance=maintenance,
        audience=audience_of(told, directory),
    )


# --- parts of the decisions


def _moved(maintenance: Maintenance, window: Window, now: datetime) -> Maintenance:
    window = window_of(window, now)
    if maintenance.is_under_way and window.start != maintenance.window.start:
        raise NotPossible("it has begun: its start is past", hint="only its end can change now")
    if window.start < now and window.start < maintenance.window.start:
        raise NotPossible(
            f"{moment_text(window.start)} has passed", hint="to begin now: holdfast maintenance start"
        )
    # Reminders before the new start are due anew.
    return replace(maintenance, window=window, reminded=())


def _of_others(maintenance: Maintenance, component_ids: Collection[int], directory: Directory) -> Maintenance:
    if maintenance.is_under_way:
        raise NotPossible("it has begun: its components stay", hint="plan another one for the others")
    _known(component_ids, maintenance.component_ids, directory)
    before, after = maintenance.component_ids, frozenset(component_ids)
    if audience_of(before, directory) != audience_of(after, directory):
        raise NotPossible(
            "not everybody who knows of this maintenance may know of all these components",
            hint="plan a maintenance of its own for what is private",
        )
    return replace(maintenance, component_ids=after)


def _over_earlier(maintenance: Maintenance, at: datetime, actor: str, now: datetime) -> Decided | None:
    began_at, ended_at = maintenance.began_at, maintenance.ended_at
    if began_at is None or ended_at is None:
        raise NotPossible("nobody knows when it began")
    earlier = between(at, began_at, now)
    if earlier == ended_at:
        return None
    if earlier > ended_at:
        raise NotPossible(
            f"it was over at {moment_text(ended_at)}", hint="its end can only be corrected to an earlier one"
        )
    after = _with_trail(maintenance, replace(maintenance, ended_at=earlier), actor, now)
    return Decided(
        after, "maintenance.changed", None, {"fields": ["ended_at"], "ended_at": moment_text(earlier)}
    )


def _said(
    maintenance: Maintenance,
    update_id: str,
    stage: Stage,
    body: str,
    actor: str,
    now: datetime,
    state: ComponentState | None,
) -> Maintenance:
    at = max([now, *(each.at for each in maintenance.updates[-1:])])
    affected = {} if state is None else dict.fromkeys(sorted(maintenance.component_ids), state)
    said = Update(update_id, at, stage.value, text_of(body), actor, affected)
    return replace(maintenance, updates=(*maintenance.updates, said))


def _with_trail(before: Maintenance, after: Maintenance, actor: str, now: datetime) -> Maintenance:
    values = [(name, old, new) for (name, old), (_, new) in zip(_told(before), _told(after), strict=True)]
    new = [Change(now, actor, name, old, new) for name, old, new in values if old != new]
    return replace(after, changes=(*before.changes, *new))


def _told(maintenance: Maintenance) -> list[tuple[str, str]]:
    """Everything that a change may change, as its trail shows it."""
    return [
        ("title", maintenance.title),
        ("body", maintenance.body),
        ("starts_at", maintenance.window.start.isoformat()),
        ("ends_at", maintenance.window.end.isoformat()),
        ("components", ", ".join(str(each) for each in sorted(maintenance.component_ids))),
        ("starts_by_clock", str(maintenance.starts_by_clock).lower()),
        ("ends_by_clock", str(maintenance.ends_by_clock).lower()),
        ("remind", ", ".join(str(each) for each in maintenance.remind)),
        ("ended_at", maintenance.ended_at.isoformat() if maintenance.ended_at else ""),
    ]


def _reminded_by_this(maintenance: Maintenance, now: datetime) -> Maintenance:
    """With the reminders passed over whose time is past: what is told now reminds of it."""
    return replace(
        maintenance, reminded=longest_first({*maintenance.reminded, *reminders_due(maintenance, now)})
    )


def _known(component_ids: Collection[int], before: Collection[int], directory: Directory) -> None:
    """What it spoke of before may have left the estate since."""
    if not component_ids:
        raise NotPossible("maintenance is of at least one component", hint="such as eu/api, or eu/*")
    strange = set(component_ids) - directory.places.keys() - set(before)
    if strange:
        raise NotThere(f"there is no component {min(strange)}")


def _not_over(maintenance: Maintenance) -> None:
    if maintenance.stage.is_over:
        raise NotPossible(f"it is {_word(maintenance.stage)}", hint="plan another one")


def _facts(maintenance: Maintenance) -> dict[str, object]:
    return {
        "title": maintenance.title,
        "from": maintenance.window.start.isoformat(),
        "to": maintenance.window.end.isoformat(),
        "components": sorted(maintenance.component_ids),
    }


def _or(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given


def _word(stage: Stage) -> str:
    return stage.value.replace("_", " ")
