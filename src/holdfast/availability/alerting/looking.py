"""From what was measured to readings: one look at every agreement and its components. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from holdfast.availability.alerting.burn import Pair, PairReading, Timelines, Watch, readings
from holdfast.availability.alerting.model import Kind, Reading, Severity
from holdfast.availability.dependencies import Explanations
from holdfast.availability.model import Interval, Maintenance, State
from holdfast.availability.sla import Statement, Terms
from holdfast.estate.model import Agreement
from holdfast.kernel.durations import format_duration
from holdfast.kernel.windows import Window

OUTAGES = (State.PARTIAL_OUTAGE, State.MAJOR_OUTAGE)


@dataclass(frozen=True, slots=True)
class Scope:
    """An agreement with its components: their ids, and their names as people write them (`eu/api`)."""

    key: str
    agreement: Agreement
    components: Mapping[int, str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.components.values())


def burning(
    scope: Scope,
    watch: Watch,
    pairs: Sequence[Pair],
    now: datetime,
    unknown_limit: Fraction,
) -> tuple[Reading, Reading]:
    """Whether the agreement's budget burns too fast, and whether that can be judged at all.

    While a pair cannot be said to be quiet, and none fires, the burn is not known: an open alert stays open.
    """
    found = readings(watch, pairs, now)
    firing = [each for each in found if each.firing]
    blind = [each for each in found if each.unknown.share > unknown_limit]
    severity = max((each.pair.severity for each in firing), default=None)
    burn = Reading(
        Kind.BURN,
        scope.key,
        severity,
        known=bool(firing) or all(each.quiet(unknown_limit) for each in found),
        summary=_burn_summary(scope, firing),
        agreements=(scope.key,),
        components=scope.names,
        facts={
            "because_of": None,
            "objective_percent": str(scope.agreement.objective),
            "pairs": [_pair_facts(each) for each in found],
        },
    )
    return burn, _blindness(scope, blind, unknown_limit)


def _burn_summary(scope: Scope, firing: Sequence[PairReading]) -> str:
    name = f"{scope.agreement.name} ({scope.key})"
    if not firing:
        return f"{name}: the error budget burns no faster than it may"
    worst = max(firing, key=lambda each: (each.pair.severity, -each.pair.long))
    return (
        f"{name} burns its error budget {worst.long.text} over {_length(worst.pair.long)} and "
        f"{worst.short.text} over {_length(worst.pair.short)}; the limit is "
        f"{float(worst.pair.burn):.3g}x"
    )


def _blindness(scope: Scope, blind: Sequence[PairReading], limit: Fraction) -> Reading:
    name = f"{scope.agreement.name} ({scope.key})"
    summary = f"{name}: enough is known to judge the error budget"
    if blind:
        shortest = min(blind, key=lambda each: each.pair.long)
        summary = (
            f"{name} cannot be judged: of {scope.components[shortest.unknown.component or 0]} "
            f"{int(shortest.unknown.share * 100)} % of the last {_length(shortest.pair.long)} is unknown"
        )
    return Reading(
        Kind.UNKNOWN,
        scope.key,
        max((each.pair.severity for each in blind), default=None),
        summary=summary,
        agreements=(scope.key,),
        components=scope.names,
        facts={"because_of": None, "limit_percent": float(limit * 100)},
    )


def _pair_facts(reading: PairReading) -> dict[str, object]:
    """For programs. A rate without a number (no budget, yet downtime) is None."""
    long, short = reading.long.rate, reading.short.rate
    return {
        "long_s": reading.pair.long.total_seconds(),
        "short_s": reading.pair.short.total_seconds(),
        "limit": float(reading.pair.burn),
        "long_burn": None if long is None else round(float(long), 3),
        "short_burn": None if short is None else round(float(short), 3),
        "unknown_share": round(float(reading.unknown.share), 4),
        "firing": reading.firing,
    }


def spent(scope: Scope, statement: Statement) -> Reading:
    """Whether the error budget of the agreement's window is used up. A ticket: the page was the burn's."""
    budget = statement.budget
    exhausted = budget.spent > timedelta() and budget.left <= timedelta()
    name = f"{scope.agreement.name} ({scope.key})"
    summary = f"{name} has error budget left: {_length(budget.left)} of {_length(budget.allowed)}"
    if exhausted and budget.allowed:
        summary = f"{name} has spent its error budget: {_length(budget.spent)} of {_length(budget.allowed)}"
    elif exhausted:
        summary = f"{name} allows no downtime, and had {_length(budget.spent)}"
    return Reading(
        Kind.BUDGET,
        scope.key,
        Severity.TICKET if exhausted else None,
        summary=summary,
        agreements=(scope.key,),
        components=scope.names,
        facts={
            "because_of": None,
            "allowed_s": budget.allowed.total_seconds(),
            "spent_s": budget.spent.total_seconds(),
        },
    )


def not_looked(kind: Kind, scope: Scope) -> Reading:
    """Nothing can be said in this round: whatever is open stays as it is."""
    return Reading(kind, scope.key, None, known=False, agreements=(scope.key,), components=scope.names)


def down(
    scopes: Sequence[Scope],
    timelines: Timelines,
    maintenance: Sequence[Maintenance],
    now: datetime,
    explanations: Explanations | None = None,
) -> Iterator[Reading]:
    """Whether each component of an agreement is in a confirmed outage. Maintenance under way mutes it.

    With `explanations` the reading names the dependencies that it is because of.
    """
    agreements: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for scope in scopes:
        for component, name in scope.components.items():
            agreements.setdefault(component, []).append(scope.key)
            names[component] = name
    for component, name in names.items():
        line = timelines.get(component, ())
        current = line[-1] if line and line[-1].window.end >= now else None
        muting = _under_way(component, maintenance, now)
        yield _down(name, tuple(agreements[component]), line, current, muting, explanations)


def _down(
    name: str,
    agreements: tuple[str, ...],
    line: Sequence[Interval],
    current: Interval | None,
    maintenance: Maintenance | None,
    explanations: Explanations | None,
) -> Reading:
    state = State.UNKNOWN if current is None else current.state
    out = state in OUTAGES
    summary = f"{name} is {state.label.replace('_', ' ')}"
    since: datetime | None = None
    because_of: str | None = None
    if current is not None and out:
        since = _since(line)
        if explanations is not None:
            because_of = _because_of(name, state, Window(since, current.window.end), explanations)
        what = "down" if state is State.MAJOR_OUTAGE else "partly down"
        why = f": {current.reason}" if current.reason else ""
        summary = f"{name} is {what} since {since:%Y-%m-%d %H:%M:%S}Z{why}"
    return Reading(
        Kind.DOWN,
        name,
        Severity.PAGE if out else None,
        known=state is not State.UNKNOWN,
        summary=summary,
        agreements=agreements,
        components=(name,),
        muted_by="" if maintenance is None else f"maintenance {_name(maintenance)}: {maintenance.title}",
        facts={
            "because_of": because_of,
            "state": state.label,
            "since": None if since is None else since.isoformat(),
        },
    )


def _because_of(name: str, state: State, during: Window, explanations: Explanations) -> str | None:
    """`eu/database, eu/cache`; None where nothing explains it."""
    cluster_key, _, key = name.partition("/")
    return ", ".join("/".join(each) for each in explanations.roots((cluster_key, key), state, during)) or None


def _since(line: Sequence[Interval]) -> datetime:
    """When the outage at the end of `line` began, whatever its shades."""
    since = line[-1].window.start
    for interval in reversed(line):
        if interval.state not in OUTAGES or interval.window.end < since:
            break
        since = interval.window.start
    return since


def _under_way(component: int, maintenance: Sequence[Maintenance], now: datetime) -> Maintenance | None:
    """Announced maintenance of the component, whatever notice was given: operators know of it."""
    return next(
        (
            each
            for each in maintenance
            if component in each.component_ids and each.cancelled_at is None and each.window.contains(now)
        ),
        None,
    )


def terms_of(scope: Scope) -> Terms:
    return Terms.of(scope.agreement)


def _length(length: timedelta) -> str:
    """To the second, for people."""
    return format_duration(timedelta(seconds=round(length.total_seconds())))


def _name(maintenance: Maintenance) -> str:
    """As commands name it."""
    return maintenance.of or str(maintenance.id)
