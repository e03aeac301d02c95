"""The words of alerting, and the rules that hold between them.

    reading --decided--> alert --routed, grouped--> notice --queued--> delivery --sent--> a channel

A reading is what one look says about one subject. An alert is open from the first reading that fires until
its subject has been quiet for long enough. A notice is one message about a group of alerts to one channel.

Rules:
1. At most one alert is open for each key.
2. What cannot be judged neither opens nor ends an alert: not knowing is not good news.
3. A channel that was told of an alert is told of its end, silenced or not: else it would go on believing it.
4. What was told is recorded in the same transaction as the message that tells it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum

from holdfast.availability.model import LONGEST_LINE, one_line

KEY_SEPARATOR = ":"


class Severity(IntEnum):
    """How urgent. The numbers are stored and ordered."""

    TICKET = 1
    PAGE = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class Kind(Enum):
    """What an alert is about."""

    DOWN = "down"
    """A component of an agreement is in a confirmed outage."""
    BURN = "burn"
    """An agreement's error budget burns too fast."""
    BUDGET = "budget"
    """An agreement's error budget is spent."""
    UNKNOWN = "unknown"
    """Too much of the recent past is unknown: whether a budget burns cannot be judged."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look says about one subject.

    `firing` is how urgent it is, or None where nothing is wrong. When `known` is False nothing can be said:
    `firing` is then None. `subject` is a component (`eu/api`) or an agreement's key. `muted_by` names what
    keeps operators from being told (announced maintenance). `summary` is one line for people.
    """

    kind: Kind
    subject: str
    firing: Severity | None
    known: bool = True
    summary: str = ""
    agreements: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    muted_by: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.known and self.firing is not None:
            raise ValueError("what is not known does not fire")
        if not self.summary.isprintable() or len(self.summary) > LONGEST_LINE:
            object.__setattr__(self, "summary", one_line(self.summary))

    @property
    def key(self) -> str:
        return f"{self.kind.value}{KEY_SEPARATOR}{self.subject}"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that operators should know of. All times aware, in UTC.

    `fired_at` is the newest look that found it firing, `paged_at` the newest that found it worth a page.
    `facts` are plain values for programs; `because_of` among them names what it is a consequence of.
    """

    kind: Kind
    subject: str
    severity: Severity
    opened_at: datetime
    changed_at: datetime
    fired_at: datetime
    paged_at: datetime | None
    summary: str
    agreements: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    resolved_at: datetime | None = None
    muted_by: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its name in lists and silences: `down:eu/api`."""
        return f"{self.kind.value}{KEY_SEPARATOR}{self.subject}"

    @property
    def id(self) -> str:
        """Unlike its key never used again."""
        return f"{self.key}@{self.opened_at:%Y%m%dT%H%M%S.%fZ}"

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None

    @property
    def clusters(self) -> tuple[str, ...]:
        return tuple(sorted({component.partition("/")[0] for component in self.components}))


@dataclass(frozen=True, slots=True)
class Silence:
    """Until `ends_at` operators are not told of alerts that match.

    `pattern` is a subject or a key, with `*` for any text: `eu/api`, `eu/*`, `acme-gold`, `burn:*`.
    """

    id: int
    pattern: str
    reason: str
    created_by: str
    created_at: datetime
    ends_at: datetime

    def mutes(self, kind: Kind, subject: str, now: datetime) -> bool:
        return now < self.ends_at and pattern_matches(self.pattern, kind, subject)


def pattern_matches(pattern: str, kind: Kind, subject: str) -> bool:
    """Whether a silence's pattern names that alert. Only `*` has a meaning of its own."""
    name = f"{kind.value}{KEY_SEPARATOR}{subject}" if KEY_SEPARATOR in pattern else subject
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


@dataclass(frozen=True, slots=True)
class Told:
    """A channel was told of an alert as of `severity`, in a message about `group`."""

    channel: str
    alert_id: str
    severity: Severity
    at: datetime
    group: str


class Reason(Enum):
    """Why a message is sent."""

    OPEN = "open"
    ESCALATE = "escalate"
    REPEAT = "repeat"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to one channel: what is open in the group, and what has ended since the last one."""

    channel: str
    group: str
    reason: Reason
    at: datetime
    firing: Sequence[Alert] = ()
    resolved: Sequence[Alert] = ()

    @property
    def severity(self) -> Severity | None:
        """The most urgent of what is open; None when all has ended."""
        return max((alert.severity for alert in self.firing), default=None)


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel gets. `key` stays the same when the message is sent again."""

    title: str
    body: str
    severity: Severity | None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """All that a round of decisions begins with, as of one moment.

    `alerts` are the open ones, and ended ones that some channel was told of and not yet told the end.
    `waiting` are the (channel, group) pairs with a message that is not delivered yet.
    """

    version: int
    alerts: Sequence[Alert] = ()
    told: Sequence[Told] = ()
    silences: Sequence[Silence] = ()
    waiting: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Round:
    """What a round of decisions came to. Stored as a whole or not at all.

    `untold` are (channel, alert id) pairs that no longer need remembering.
    """

    alerts: Sequence[Alert] = ()
    told: Sequence[Told] = ()
    untold: Sequence[tuple[str, str]] = ()
    messages: Sequence[tuple[Notice, Message]] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.alerts or self.told or self.untold or self.messages)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way: the `attempt`th try, counted from 1, of the holder of its lease."""

    id: int
    channel: str
    group: str
    message: Message
    queued_at: datetime
    attempt: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a channel has not been given yet."""

    channel: str
    messages: int
    oldest: datetime
    last_error: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How sending ended. `detail` is one line that holds no secret. `lasting`: trying again cannot help."""

    ok: bool
    detail: str = ""
    lasting: bool = False
