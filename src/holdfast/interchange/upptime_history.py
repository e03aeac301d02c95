"""Upptime's history as timelines: every commit that touched a site's file in `history/` is a record of it.

It runs every few minutes but commits only when the state changed, and once a day in any case. So a commit
speaks for its site until a day later; where the next one does not come within two, nobody knows.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from holdfast.availability.model import State
from holdfast.interchange.history import Beat, Timeline
from holdfast.interchange.kuma_history import moment

LASTS = timedelta(days=1)
LATENESS = timedelta(days=1)
LONGEST_LINE = 4096
COMMIT = "\x01"
LOG_FORMAT = "%x01%ct %s"
"""What `git log --format` is to print before each commit's changes: its time and its subject."""

_COMMIT = re.compile(rf"{COMMIT}(\d{{1,12}}) (.*)", re.DOTALL)
_FILE = re.compile(r"\+\+\+ (?:\"?b/)?history/(.{1,200})\.ya?ml\"?\s*")
_FIELD = re.compile(r"\+(?:- )?(status|code|lastUpdated): ?(.*)", re.DOTALL)
_SUBJECT = re.compile(r"(.{0,300}?) is (up|down|degraded) \((\d{1,3}) in (\d{1,7}) ms\)")
_STATES = {"up": State.OPERATIONAL, "down": State.MAJOR_OUTAGE, "degraded": State.DEGRADED}
_NEAR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """What one commit says of one site: `slug` is the name of its file. Times are aware, in UTC."""

    slug: str
    at: datetime
    state: State | None
    code: int = 0
    latency_us: int | None = None


@dataclass(slots=True)
class _Commit:
    at: datetime
    subject: str


@dataclass(slots=True)
class _Change:
    slug: str
    fields: dict[str, str]


def records(lines: Iterable[str]) -> Iterator[SiteRecord]:
    """The records in the output of `git log --reverse --patch --unified=0 --format=LOG_FORMAT -- history`.

    A state is None when the commit did not change it. Lines that are something else are passed over.
    """
    commit: _Commit | None = None
    change: _Change | None = None
    for line in lines:
        if match := _COMMIT.match(line):
            yield from _record(commit, change)
            commit, change = _commit(match), None
        elif match := _FILE.fullmatch(line):
            yield from _record(commit, change)
            change = _Change(match[1], {})
        elif change is not None and (match := _FIELD.match(line)):
            change.fields.setdefault(match[1], match[2].strip())
    yield from _record(commit, change)


def _commit(match: re.Match[str]) -> _Commit | None:
    try:
        return _Commit(datetime.fromtimestamp(int(match[1]), UTC), match[2])
    except (ValueError, OverflowError, OSError):
        return None


def _record(commit: _Commit | None, change: _Change | None) -> Iterator[SiteRecord]:
    if commit is None or change is None:
        return
    said = _SUBJECT.search(commit.subject)
    state = _STATES.get(change.fields.get("status", ""))
    if state is None and said is not None:
        state = _STATES[said[2]]
    code = change.fields.get("code", said[3] if said else "")
    checked = moment(change.fields.get("lastUpdated", ""))
    # The file says when it was checked; the commit, when it was written down.
    near = checked is not None and abs(checked - commit.at) <= _NEAR
    latency = int(said[4]) * 1000 if said and state in (State.OPERATIONAL, State.DEGRADED) else None
    yield SiteRecord(
        change.slug,
        checked if near and checked is not None else commit.at,
        state,
        int(code) if code.isascii() and code.isdigit() and len(code) <= 3 else 0,
        latency,
    )


class SiteHistories:
    """Gathers the records of several sites, each in the order of its times."""

    def __init__(self) -> None:
        self._beats: dict[str, list[Beat]] = {}
        self._states: dict[str, State] = {}

    def take(self, record: SiteRecord) -> None:
        """One more record. One that changes no state before any is known says nothing."""
        state = record.state if record.state is not None else self._states.get(record.slug)
        if state is None:
            return
        self._states[record.slug] = state
        beat = Beat(record.at, state, LASTS, _reason(state, record.code), record.latency_us)
        self._beats.setdefault(record.slug, []).append(beat)

    @property
    def slugs(self) -> frozenset[str]:
        return frozenset(self._beats)

    def timeline(self, slug: str, check_id: int, until: datetime) -> Timeline:
        """The finished timeline of a site; empty when nothing is known of it."""
        timeline = Timeline(check_id, until, LATENESS)
        for beat in sorted(self._beats.get(slug, []), key=lambda beat: beat.at):
            timeline.take(beat)
        timeline.finish()
        return timeline


def _reason(state: State, code: int) -> str:
    if state is State.OPERATIONAL:
        return ""
    if state is State.DEGRADED:
        return "degraded performance"
    return f"status was {code}" if code else "no answer"
