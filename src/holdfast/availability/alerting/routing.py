"""Who is told what, and when: routes, groups, waiting, repeating. Pure.

An alert comes to a channel by the first route that matches it and names the channel, so that no channel hears
of it twice. Alerts that come to a channel by one route and are alike in its labels are a group, and a group
is told in one message:

- once the oldest news in it has waited for `group_wait`. News is an alert that the channel was not told of,
  or that has become more urgent since, or the end of one that it was told of. The message names all that is
  open;
- again after `repeat_every` without a message, while something is open and the last message has arrived.

A muted alert is news once it is no longer muted. The end of an alert is told even while it is muted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from holdfast.availability.alerting.model import Alert, Board, Notice, Reason, Severity, Told
from holdfast.estate.model import AlertLabel, AlertMatch, AlertRoute, Alerts
from holdfast.estate.scope import matching

REPEAT_PAGE = timedelta(hours=4)
REPEAT_TICKET = timedelta(days=1)


@dataclass(slots=True)
class _Group:
    """What there is for one message: one channel, one route, one set of labels."""

    channel: str
    label: str
    route: AlertRoute
    members: list[Alert] = field(default_factory=list)
    ended: list[Alert] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Telling:
    """The notices that are due, and what is to be remembered of who was told what.

    `forget` are (channel, alert id) pairs.
    """

    notices: Sequence[Notice]
    told: Sequence[Told]
    forget: Sequence[tuple[str, str]]


def routes_of(alerts: Alerts) -> Sequence[AlertRoute]:
    """The declared routes; without any, one that leads everything to every channel."""
    if alerts.routes or not alerts.channels:
        return alerts.routes
    return (AlertRoute(channels=tuple(alerts.channels)),)


def telling(board: Board, alerts: Iterable[Alert], declared: Alerts, now: datetime) -> Telling:
    """What is due as of `now`. `alerts` are the board's as this round left them."""
    by_id = {alert.id: alert for alert in alerts}
    told = {(each.channel, each.alert_id): each for each in board.told}
    groups = _groups(by_id, told, declared)
    notices: list[Notice] = []
    for group in groups.values():
        notice = _due(group, told, board, now)
        if notice is not None:
            notices.append(notice)
    remembered = [
        Told(notice.channel, alert.id, alert.severity, now, notice.group)
        for notice in notices
        for alert in notice.firing
    ]
    fresh = {(each.channel, each.alert_id) for each in remembered}
    eased = [
        Told(each.channel, each.alert_id, by_id[each.alert_id].severity, each.at, each.group)
        for key, each in told.items()
        if key not in fresh and each.alert_id in by_id and by_id[each.alert_id].severity < each.severity
    ]
    forget = {(notice.channel, alert.id) for notice in notices for alert in notice.resolved}
    forget |= {key for key in told if key[0] not in declared.channels or key[1] not in by_id}
    return Telling(
        notices,
        [each for each in (*remembered, *eased) if (each.channel, each.alert_id) not in forget],
        sorted(forget),
    )


def _groups(
    by_id: Mapping[str, Alert], told: Mapping[tuple[str, str], Told], declared: Alerts
) -> dict[tuple[str, str], _Group]:
    groups: dict[tuple[str, str], _Group] = {}
    routes = routes_of(declared)
    for alert in by_id.values():
        if alert.is_open and not alert.muted_by:
            for channel, index in channels_of(alert, routes).items():
                label = _label(alert, routes[index].group_by, index)
                group = groups.setdefault((channel, label), _Group(channel, label, routes[index]))
                group.members.append(alert)
    for (channel, alert_id), each in told.items():
        ended = by_id.get(alert_id)
        if ended is not None and not ended.is_open and channel in declared.channels:
            route = _route_of(each.group, routes)
            groups.setdefault((channel, each.group), _Group(channel, each.group, route)).ended.append(ended)
    return groups


def channels_of(alert: Alert, routes: Sequence[AlertRoute]) -> dict[str, int]:
    """The channels that the alert comes to, each with the index of its route."""
    found: dict[str, int] = {}
    for index, route in enumerate(routes):
        if matches(route.match, alert):
            for channel in route.channels:
                found.setdefault(channel, index)
    return found


def matches(match: AlertMatch, alert: Alert) -> bool:
    """True when every list that is given holds."""
    pairs = [(cluster, key) for cluster, _, key in (each.partition("/") for each in alert.components)]
    return (
        (not match.agreements or not set(match.agreements).isdisjoint(alert.agreements))
        and (not match.components or any(matching(pattern, pairs) for pattern in match.components))
        and (not match.severities or alert.severity.label in match.severities)
    )


def _label(alert: Alert, labels: Sequence[AlertLabel], index: int) -> str:
    """The group's name: for people, and unique within the channel."""
    values: dict[AlertLabel, Sequence[str]] = {
        "agreement": alert.agreements,
        "cluster": alert.clusters,
        "component": alert.components,
        "severity": (alert.severity.label,),
        "kind": (alert.kind.value,),
    }
    texts = (f"{label} {'+'.join(values[label]) or 'none'}" for label in labels)
    return f"{index}: {', '.join(texts)}"


def _route_of(label: str, routes: Sequence[AlertRoute]) -> AlertRoute:
    """The route that a group came by, for how long it waits; the defaults when the estate has changed."""
    index = int(label.partition(":")[0])
    return routes[index] if index < len(routes) else AlertRoute(channels=("-",))


def _due(group: _Group, told: Mapping[tuple[str, str], Told], board: Board, now: datetime) -> Notice | None:
    before = {alert.id: told.get((group.channel, alert.id)) for alert in group.members}
    fresh = [alert for alert in group.members if before[alert.id] is None]
    raised = [alert for alert in group.members if _is_raised(alert, before[alert.id])]
    since = [alert.changed_at for alert in (*fresh, *raised)]
    since += [alert.resolved_at for alert in group.ended if alert.resolved_at is not None]
    if since:
        if now - min(since) < group.route.group_wait:
            return None
        reason = Reason.OPEN if fresh else Reason.ESCALATE if raised else Reason.RESOLVE
    else:
        last = max((each.at for each in before.values() if each is not None), default=now)
        waiting = (group.channel, group.label) in board.waiting
        if not group.members or waiting or now - last < _repeat_every(group):
            return None
        reason = Reason.REPEAT
    firing = sorted(group.members, key=lambda alert: (-alert.severity, alert.opened_at, alert.key))
    ended = sorted(group.ended, key=lambda alert: (alert.opened_at, alert.key))
    return Notice(group.channel, group.label, reason, now, firing, ended)


def _is_raised(alert: Alert, told: Told | None) -> bool:
    return told is not None and alert.severity > told.severity


def _repeat_every(group: _Group) -> timedelta:
    if group.route.repeat_every is not None:
        return group.route.repeat_every
    paging = any(alert.severity is Severity.PAGE for alert in group.members)
    return REPEAT_PAGE if paging else REPEAT_TICKET
