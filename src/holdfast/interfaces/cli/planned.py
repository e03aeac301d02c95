"""Planned work as the command line tells of it, to people and to programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from holdfast.interfaces.cli.planning import Outcome, SeriesOutcome
from holdfast.kernel.durations import format_duration

if TYPE_CHECKING:
    from holdfast.communication.lead_times import LeadTime

_DONE = {
    "maintenance.planned": "planned",
    "maintenance.changed": "changed",
    "maintenance.started": "started",
    "maintenance.updated": "told",
    "maintenance.completed": "finished",
    "maintenance.cancelled": "cancelled",
}


def plain(outcome: Outcome) -> dict[str, Any]:
    """For programs. Times are ISO 8601 in UTC."""
    each = outcome.maintenance
    return {
        "id": each.id,
        "title": each.title,
        "text": each.body,
        "stage": each.stage.value,
        "from": each.window.start,
        "to": each.window.end,
        "announced_at": each.announced_at,
        "began_at": each.began_at,
        "ended_at": each.ended_at,
        "starts_by_clock": each.starts_by_clock,
        "ends_by_clock": each.ends_by_clock,
        "remind_s": [one.total_seconds() for one in each.remind],
        "series": each.series,
        "components": list(outcome.components),
        "updates": [
            {"at": one.at, "stage": one.step, "text": one.body, "by": one.author} for one in each.updates
        ],
        "changes": [
            {"at": one.at, "by": one.actor, "field": one.field, "before": one.before, "after": one.after}
            for one in each.changes
        ],
        "told": None
        if outcome.event is None
        else {"event": outcome.event, "subscribers": dict(outcome.told)},
        "agreements": _plain_lead_times(outcome.lead_times),
        "dry_run": outcome.dry_run,
    }


def plain_series(outcome: SeriesOutcome) -> dict[str, Any]:
    """For programs."""
    series, plan = outcome.series, outcome.series.plan
    return {
        "id": series.id or None,
        "title": plan.title,
        "text": plan.body,
        "rule": plan.rule,
        "time_zone": plan.time_zone,
        "first_at": plan.first_at,
        "lasts_s": plan.lasts.total_seconds(),
        "components": list(outcome.components),
        "ended_at": series.ended_at,
        "planned": [
            {"id": each.id, "from": each.window.start, "to": each.window.end} for each in outcome.planned
        ],
        "told": dict(outcome.told),
        "agreements": _plain_lead_times(outcome.lead_times),
        "dry_run": outcome.dry_run,
    }


def summary(outcome: Outcome) -> str:
    """What a step came to, in a few lines."""
    each = outcome.maintenance
    done = _DONE.get(outcome.event or "", "changed" if outcome.event else "nothing to change in")
    head = f"{done} {each.id}: {each.title}, {window_of(each.window.start, each.window.end)}"
    if outcome.dry_run:
        head = f"would be {head.replace(f' {each.id}', '', 1)}"
    lines = [head, f"  components: {', '.join(outcome.components)}"]
    if outcome.event is not None:
        lines.append(f"  {'would tell' if outcome.dry_run else 'told'}: {subscribers(outcome.told)}")
    return "\n".join([*lines, *notices(outcome.lead_times)])


def shown(outcome: Outcome) -> str:
    """All of it."""
    each = outcome.maintenance
    lines = [
        f"{each.id}: {each.title}",
        f"  {each.stage.value.replace('_', ' ')}, {window_of(each.window.start, each.window.end)}",
        f"  components: {', '.join(outcome.components)}",
        f"  starts {_by(each.starts_by_clock)}, ends {_by(each.ends_by_clock)}",
    ]
    if each.announced_at is not None:
        lines.append(f"  announced {_moment(each.announced_at)} by {each.announced_by}")
    lines += [f"  began {_moment(each.began_at)}"] if each.began_at else []
    lines += [f"  ended {_moment(each.ended_at)}"] if each.ended_at else []
    lines += notices(outcome.lead_times)
    lines += [
        f"  {_moment(one.at)} {one.author}: {one.step.replace('_', ' ')}{' - ' if one.body else ''}{one.body}"
        for one in each.updates
    ]
    lines += [
        f"  {_moment(one.at)} {one.actor}: {one.field} {one.before or '-'} -> {one.after or '-'}"
        for one in each.changes
    ]
    return "\n".join(lines)


def series_summary(outcome: SeriesOutcome) -> str:
    """A recurring plan and what it has planned, or would plan."""
    series, plan = outcome.series, outcome.series.plan
    what = "would repeat" if outcome.dry_run else f"{series.id}: {'ended' if series.is_over else 'repeats'}"
    lines = [
        f"{what} {plan.title}, {plan.rule}, {format_duration(plan.lasts)} in {plan.time_zone}",
        f"  components: {', '.join(outcome.components)}",
    ]
    if outcome.told or outcome.dry_run:
        lines.append(f"  {'would tell' if outcome.dry_run else 'told'}: {subscribers(outcome.told)}")
    lines += [
        f"  {'would plan' if outcome.dry_run else 'planned'} {window_of(each.window.start, each.window.end)}"
        for each in outcome.planned
    ]
    return "\n".join([*lines, *notices(outcome.lead_times)])


def notices(lead_times: Sequence[LeadTime]) -> list[str]:
    """For which agreements the notice suffices: in words, since money depends on it."""
    return [
        f"  {each.agreement}: notice of {_length(each.given)} {_verdict(each)}"
        for each in sorted(lead_times, key=lambda each: each.suffices)
    ]


def subscribers(told: Mapping[str, int]) -> str:
    total = sum(told.values())
    if not total:
        return "nobody has subscribed to this"
    by_channel = ", ".join(f"{number} by {channel}" for channel, number in told.items())
    return f"{total} subscriber{'' if total == 1 else 's'} ({by_channel})"


def window_of(start: datetime, end: datetime) -> str:
    last = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {last} UTC"


def _plain_lead_times(lead_times: Sequence[LeadTime]) -> list[dict[str, Any]]:
    return [
        {
            "agreement": each.agreement,
            "customer": each.customer,
            "notice_asked_s": each.asked.total_seconds(),
            "notice_given_s": each.given.total_seconds(),
            "suffices": each.suffices,
        }
        for each in lead_times
    ]


def _verdict(each: LeadTime) -> str:
    if each.suffices:
        return f"suffices ({format_duration(each.asked)} agreed): leaves counted time"
    return f"is TOO SHORT ({format_duration(each.asked)} agreed): counts in full"


def _length(length: timedelta) -> str:
    if length < timedelta():
        return "no time at all"
    return format_duration(timedelta(minutes=length // timedelta(minutes=1)))


def _by(clock: bool) -> str:
    return "by the clock" if clock else "by hand"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"
