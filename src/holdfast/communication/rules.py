"""What the estate's rules make of what is measured: incidents that open and end by themselves. Pure.

    component --fails long enough--> incident of the rule --all well long enough--> resolved

- A rule has one open incident per cluster (and audience, which only differs in private clusters): what falls
  while it is open is added by an update.
- An outage opens one incident at most. It opens none while any incident that is open speaks of the component,
  also one that a person declared, drafted or merged; nor when a person resolved one that did while it lasted:
  that person knew, and said that it is over.
- What becomes worse than its incident says, and stays so for as long as opening takes, is told by an update;
  what becomes better is not, until all is well: it may yet get worse again.
- The impact follows from the components' states, and rises with what joins or becomes worse, unless the
  rule's template says what it is, or a person has said so.
- Only a rule's own incident is resolved by it, when everything that it speaks of is operational for
  `resolve_after`; failing again within that time changes nothing. Once a person has posted to it, that person
  has told readers what to expect: from then on only people resolve it.
- Unknown is neither bad nor well: it opens nothing and ends nothing. Sample history opens nothing. Nothing
  opens under maintenance; an outage that outlasts its maintenance begins, for this, when that ends.

An incident's id follows from the rule, the place and the moment, so that two controllers that decide the same
at once, or one that dies in between and decides it again, declare it once.
"""

import hashlib
import string
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from holdfast.communication import rule_wording as wording
from holdfast.communication.directory import Directory
from holdfast.communication.incident_steps import NewIncident, NewUpdate
from holdfast.communication.incidents import audience_of, spoken_of
from holdfast.communication.model import (
    ComponentChange,
    ComponentState,
    Event,
    Impact,
    Incident,
    Notice,
    Phase,
)
from holdfast.estate.communication import IncidentRule, IncidentTemplate
from holdfast.estate.model import Estate
from holdfast.estate.scope import matching
from holdfast.estate.values import Language
from holdfast.kernel.windows import MICROSECOND, Window

TROUBLE = frozenset({ComponentState.DEGRADED, ComponentState.PARTIAL_OUTAGE, ComponentState.MAJOR_OUTAGE})
_WELL = frozenset({ComponentState.OPERATIONAL})
_TOLD = TROUBLE | _WELL
_DIGITS = string.digits + string.ascii_lowercase


@dataclass(frozen=True, slots=True)
class Stretch:
    """A component was measured to be in one state, from `start` to `end`."""

    start: datetime
    end: datetime
    state: ComponentState
    reason: str = ""
    sample: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a component: stretches, oldest first, and the maintenance that it had meanwhile."""

    stretches: Sequence[Stretch] = ()
    maintenance: Sequence[Window] = ()

    def run(self, states: Iterable[ComponentState], now: datetime) -> Stretch | None:
        """The unbroken time up to `now` in any of `states`, in the newest one; None when it is in another."""
        found: Stretch | None = None
        for each in reversed(self.stretches):
            if each.state not in states or each.sample or each.end < (found.start if found else now):
                break
            found = each if found is None else replace(found, start=each.start)
        return found

    def trouble(self, states: Iterable[ComponentState], now: datetime) -> Stretch | None:
        """The same without what lies under maintenance; None while that is under way."""
        found = self.run(states, now)
        if found is None or any(each.contains(now) for each in self.maintenance):
            return None
        over = [each.end for each in self.maintenance if found.start < each.end <= now]
        return replace(found, start=max([found.start, *over]))


@dataclass(frozen=True, slots=True)
class Declare:
    """Declare this, under this id."""

    incident_id: str
    new: NewIncident
    actor: str


@dataclass(frozen=True, slots=True)
class Post:
    """Say this about it."""

    incident_id: str
    new: NewUpdate
    actor: str


@dataclass(frozen=True, slots=True)
class RuleBook:
    """The estate's rules and templates, by key, the components that they are about, and their language."""

    rules: Mapping[str, IncidentRule]
    templates: Mapping[str, IncidentTemplate]
    directory: Directory
    language: Language = "en"

    @classmethod
    def of(cls, estate: Estate, directory: Directory) -> "RuleBook":
        """Of an estate in force. Rules speak the first language of its site."""
        declared = estate.communication
        return cls(declared.rules, declared.templates, directory, estate.site.languages[0])

    def template_of(self, key: str) -> IncidentTemplate | None:
        """Of the rule `key`; None for its own words."""
        named = self.rules[key].template
        return None if named is None else self.templates.get(named)

    def impact_of(self, key: str, states: Iterable[ComponentState]) -> Impact:
        """Of an incident of the rule `key` whose components are like this."""
        template = self.template_of(key)
        if template is None or template.impact is None:
            return wording.impact_of(states)
        return Impact(template.impact)

    def groups_of(self, rule: IncidentRule) -> dict[tuple[str, tuple[str, ...] | None], list[int]]:
        """The rule's components that share incidents: of one cluster, with one audience."""
        places = self.directory.places
        pairs = {(place.cluster_key, place.key): each for each, place in places.items()}
        named = dict.fromkeys(pairs[pair] for pattern in rule.components for pair in matching(pattern, pairs))
        groups: dict[tuple[str, tuple[str, ...] | None], list[int]] = defaultdict(list)
        for each in named:
            groups[places[each].cluster_key, audience_of([each], self.directory)].append(each)
        return groups


def author_of(rule: str) -> str:
    """How a rule signs. No account and no command line can be called so."""
    return f"rule {rule}"


def decide(
    book: RuleBook, measured: Mapping[int, Measured], incidents: Sequence[Incident], now: datetime
) -> list[Declare | Post]:
    """What to declare and to say as of `now`.

    `incidents` are all that are open, drafts too, and those that ended since the oldest outage that goes on.
    """
    actions: list[Declare | Post] = []
    taken: set[int] = set()
    for key, rule in book.rules.items():
        for (cluster, _), group in book.groups_of(rule).items():
            for action in _declared_or_added(book, key, cluster, group, measured, incidents, now, taken):
                actions.append(action)
                taken |= (action.new.affected or {}).keys()
        spoken_to = {each.incident_id for each in actions}
        mine = [each for each in _own(incidents, key) if each.id not in spoken_to]
        actions += _worsened(book, key, measured, mine, now)
        actions += [
            Post(each.id, wording.all_well(since, book.language), author_of(key))
            for each in _own(incidents, key)
            if rule.resolve_after is not None
            and (since := _well_since(each, key, book.directory, measured, now)) is not None
            and now - since >= rule.resolve_after
        ]
    return actions


def _declared_or_added(
    book: RuleBook,
    key: str,
    cluster: str,
    group: Sequence[int],
    measured: Mapping[int, Measured],
    incidents: Sequence[Incident],
    now: datetime,
    taken: Collection[int],
) -> list[Declare | Post]:
    """For a group of `rule`. `taken` are components that a rule before this one has just dealt with."""
    rule = book.rules[key]
    states = [ComponentState(each) for each in rule.states]
    fallen = {
        each: found
        for each in group
        if each not in taken
        and (found := measured.get(each, Measured()).trouble(states, now)) is not None
        and now - found.start >= rule.after
        and not _answered(each, found.start, incidents)
    }
    if not fallen:
        return []
    seen = {each: found.state for each, found in fallen.items()}
    mine = next((each for each in _own(incidents, key) if spoken_of(each) & set(group)), None)
    if mine is not None:
        said = wording.also_affected([book.directory.places[each] for each in fallen], book.language)
        return [_added(book, key, mine, said, seen)]
    began = min(found.start for found in fallen.values())
    template = book.template_of(key)
    worst = max(fallen.values(), key=lambda each: list(ComponentState).index(each.state))
    known = wording.known_of(book.directory.places, seen, began, book.language)
    title, body = wording.opening(template, known | {"cause": worst.reason, "rule": key}, book.language)
    new = NewIncident(
        title,
        book.impact_of(key, seen.values()),
        Phase.INVESTIGATING if template is None else Phase(template.phase),
        body,
        seen,
        began,
        draft=rule.open_as == "draft",
        rule=key,
    )
    return [Declare(_id_of(key, cluster, min(fallen), began), new, author_of(key))]


def _worsened(
    book: RuleBook, key: str, measured: Mapping[int, Measured], mine: Iterable[Incident], now: datetime
) -> list[Post]:
    """For the rule's own incidents that no person has posted to."""
    posts = []
    for incident in mine:
        if _has_people(incident, key):
            continue
        seen = {
            each: found.state
            for each, told in incident.affected.items()
            if each in book.directory.places
            and (found := measured.get(each, Measured()).trouble(_worse_than(told), now)) is not None
            and now - found.start >= book.rules[key].after
        }
        if seen:
            said = wording.worse(book.directory.places, incident.affected, seen, book.language)
            posts.append(_added(book, key, incident, said, seen))
    return posts


def _added(
    book: RuleBook, key: str, incident: Incident, said: str, seen: Mapping[int, ComponentState]
) -> Post:
    """What the rule says next of its incident, now that these components are like this."""
    affected = {**incident.affected, **seen}
    impact = None if _judged(incident, key) else book.impact_of(key, affected.values())
    return Post(incident.id, NewUpdate(incident.phase, said, affected, impact=impact), author_of(key))


def _judged(incident: Incident, key: str) -> bool:
    """Whether a person has said how bad it is, or what readers are to expect."""
    by_hand = any(each.field == "impact" and each.actor != author_of(key) for each in incident.changes)
    return by_hand or _has_people(incident, key)


def _worse_than(state: ComponentState) -> list[ComponentState]:
    order = list(ComponentState)
    return [each for each in TROUBLE if order.index(each) > order.index(state)] if state in _TOLD else []


def _has_people(incident: Incident, key: str) -> bool:
    return any(each.author != author_of(key) for each in incident.updates)


def _own(incidents: Iterable[Incident], key: str) -> list[Incident]:
    return [each for each in incidents if each.rule == key and each.is_open]


def _answered(component_id: int, since: datetime, incidents: Sequence[Incident]) -> bool:
    """Whether this outage has its incident already."""
    by_id = {each.id: each for each in incidents}
    for each in incidents:
        if component_id not in spoken_of(each):
            continue
        last = _last_of(each, by_id)
        if last is None or last.is_open:
            return True
        # A rule resolves when all is well: what it measures now began afterwards, whatever the clock says.
        if last.resolved_at is not None and last.resolved_at > since and not _resolved_by_rule(last):
            return True
    return False


def _last_of(incident: Incident, by_id: Mapping[str, Incident]) -> Incident | None:
    """Where it lives on; None when that is not at hand."""
    found: Incident | None = incident
    for _ in range(len(by_id) + 1):
        if found is None or found.merged_into is None:
            return found
        found = by_id.get(found.merged_into)
    return None


def _resolved_by_rule(incident: Incident) -> bool:
    return bool(incident.rule) and incident.updates[-1].author == author_of(incident.rule)


def _well_since(
    incident: Incident, key: str, directory: Directory, measured: Mapping[int, Measured], now: datetime
) -> datetime | None:
    """Since when all is well that it speaks of; None when it is not, or when a person has posted to it.

    What has left the estate is left out; when all has, it is over since it was declared.
    """
    if _has_people(incident, key):
        return None
    since = [incident.began_at]
    for each in spoken_of(incident) & directory.places.keys():
        run = measured.get(each, Measured()).run(_WELL, now)
        if run is None:
            return None
        since.append(run.start)
    return max(since)


def _id_of(key: str, cluster: str, component_id: int, began: datetime) -> str:
    text = f"{key}\n{cluster}\n{component_id}\n{began.isoformat()}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    return "".join(_DIGITS[number // 36**n % 36] for n in range(12))


def degradations(
    measured: Mapping[int, Measured],
    incidents: Iterable[Incident],
    told: Iterable[Notice],
    after: timedelta,
    directory: Directory,
    now: datetime,
) -> list[Notice]:
    """What to tell of components that are in trouble for `after` without anybody having said so.

    `told` is the newest such notice of each component, so that each trouble is told once, and its end once,
    whoever died in between. An open public incident says it better: then no beginning is told; an end is told
    whenever a beginning was, once all has been well for as long.
    """
    newest = {each.component.component_id: each for each in told if each.component is not None}
    covered = frozenset[int]().union(
        *(spoken_of(each) for each in incidents if each.is_open and each.is_public)
    )
    notices = (
        _degradation(each, known, newest.get(each), each in covered, after, directory, now)
        for each, known in measured.items()
        if each in directory.places
    )
    return [each for each in notices if each is not None]


def _degradation(
    component_id: int,
    known: Measured,
    last: Notice | None,
    covered: bool,
    after: timedelta,
    directory: Directory,
    now: datetime,
) -> Notice | None:
    open_ = last is not None and last.event is Event.DEGRADATION_BEGAN
    run = known.run(_WELL, now) if open_ else known.trouble(TROUBLE, now)
    if run is None or now - run.start < after or (covered and not open_):
        return None
    before = last.component.after if open_ and last and last.component else ComponentState.OPERATIONAL
    return Notice(
        Event.DEGRADATION_ENDED if open_ else Event.DEGRADATION_BEGAN,
        # History that was measured later than it happened must not bring them out of order.
        run.start if last is None else max(run.start, last.at + MICROSECOND),
        directory.places_of([component_id]),
        component=ComponentChange(component_id, before, run.state, run.reason),
        audience=audience_of([component_id], directory),
    )
