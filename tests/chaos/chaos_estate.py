"""The estate of the chaos tests, and what must be true of its history whatever was killed.

The history is judged by the raw results alone: what was seen, when, and what that allows to say.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.availability.model import Outcome, State
from holdfast.availability.verdicts import SLACK
from installation import Installation, Started, eventually, fetch

EVERY = timedelta(seconds=1)
TIMEOUT = timedelta(milliseconds=400)
LATENESS = 2 * TIMEOUT + SLACK
"""A check with a retry, whose two attempts fit into its interval (Rules.of)."""
CHECKS = 3

ESTATE = """\
version: 1
site:
  listen: 127.0.0.1:{port}
regions:
  here: {{name: Here}}
clusters:
  main:
    name: Main
    region: here
    components:
      well:
        name: Well
        checks:
          page: {{url: "{well}", every: 1s, timeout: 400ms}}
      flapping:
        name: Flapping
        checks:
          page: {{url: "{flapping}", every: 1s, timeout: 400ms, recover_after: 1}}
      gone:
        name: Gone
        checks:
          page: {{type: tcp, host: 127.0.0.1, port: {gone}, every: 1s, timeout: 400ms}}
"""

Result = tuple[int, datetime, int]
Transition = tuple[int, datetime, int, datetime]


def estate(port: int, well: str, flapping: str, gone: int) -> str:
    return ESTATE.format(port=port, well=well, flapping=flapping, gone=gone)


@dataclass(frozen=True)
class History:
    """All that is recorded, oldest first. The last of a transition's fields is when it was recorded."""

    results: Sequence[Result]
    transitions: Sequence[Transition]

    def breaches(self) -> list[str]:
        """What is wrong with it; empty when every promise is kept."""
        return [
            breach
            for check in {check for check, *_ in self.results}
            for breach in _breaches(
                check,
                [(at, Outcome(outcome)) for each, at, outcome in self.results if each == check],
                [(at, State(state), rec) for each, at, state, rec in self.transitions if each == check],
            )
        ]

    def unknown(self) -> timedelta:
        """How long, over all checks, nothing was known."""
        total = timedelta()
        for one, following in itertools.pairwise(self.transitions):
            if one[0] == following[0] and one[2] == State.UNKNOWN:
                total += following[1] - one[1]
        return total


def _breaches(
    check: int,
    results: Sequence[tuple[datetime, Outcome]],
    transitions: Sequence[tuple[datetime, State, datetime]],
) -> list[str]:
    found: list[str] = []
    for one, following in itertools.pairwise(transitions):
        if not one[0] < following[0]:
            found.append(f"check {check}: a transition at {following[0]} is not after {one[0]}")
        if not one[2] < following[2]:
            found.append(
                f"check {check}: the transition at {following[0]} was recorded before an earlier one"
            )
        if one[1] is following[1]:
            found.append(f"check {check}: at {following[0]} it changes from {one[1].name} to the same")
    seen = dict(results)
    for at, state, _ in transitions:
        if state is State.UNKNOWN:
            continue
        # What is claimed rests on a result that showed it, at the very moment from which it is claimed.
        if at not in seen:
            found.append(f"check {check}: {state.name} from {at} on, where there is no result")
        elif (seen[at] is Outcome.GOOD) is not (state is State.OPERATIONAL):
            found.append(f"check {check}: {state.name} from {at} on, where it was {seen[at].name}")
    found += _hidden_gaps(check, [at for at, _ in results], transitions)
    return found


def _hidden_gaps(
    check: int, heard: Sequence[datetime], transitions: Sequence[tuple[datetime, State, datetime]]
) -> list[str]:
    """Silences that the timeline covers with a state, and moments called unknown that were not silent."""
    found: list[str] = []
    for before, after in itertools.pairwise(heard):
        silent_from = before + EVERY
        unknown = [at for at, state, _ in transitions if state is State.UNKNOWN and silent_from <= at < after]
        in_force = [state for at, state, _ in transitions if at <= before]
        if not in_force or in_force[-1] is State.UNKNOWN:
            continue
        if after - before > EVERY + LATENESS and unknown != [silent_from]:
            found.append(f"check {check}: silent from {before} to {after}, and unknown only at {unknown}")
        if after - before <= EVERY + LATENESS and unknown:
            found.append(f"check {check}: called unknown at {unknown} though heard at {before} and {after}")
    return found


class Watch:
    """A running installation, and everything that was ever seen of its results."""

    def __init__(self, installation: Installation, port: int, up: Started) -> None:
        self.installation = installation
        self.site = f"http://127.0.0.1:{port}"
        self.up = up
        self._acknowledged: set[Result] = set()

    def history(self) -> History:
        query = self.installation.query
        results = query("SELECT check_id, at, outcome FROM availability.result ORDER BY check_id, at")
        transitions = query(
            "SELECT check_id, at, state, recorded_at FROM availability.transition ORDER BY check_id, at"
        )
        return History(
            [(check, at, outcome) for check, at, outcome in results],
            [(check, at, state, recorded) for check, at, state, recorded in transitions],
        )

    def note_what_is_acknowledged(self) -> None:
        """Remember what is committed now: it must be there for good."""
        self._acknowledged |= set(self.history().results)

    def lost(self) -> set[Result]:
        """What was committed once and is gone."""
        return self._acknowledged - set(self.history().results)

    def newest(self) -> Mapping[int, datetime]:
        """The newest result of each check; empty while the database is away."""
        rows = self.installation.available(
            "SELECT check_id, max(at) FROM availability.result GROUP BY check_id"
        )
        return dict(rows)

    def until_all_are_heard_of(self, count: int = CHECKS) -> float:
        """Wait until each check has a result from after now; returns the seconds that it took."""
        began, now = time.monotonic(), datetime.now().astimezone()
        eventually(
            lambda: len([at for at in self.newest().values() if at > now]) == count,
            "every check is heard of again",
        )
        return time.monotonic() - began

    def until_all_are_judged(self, count: int = CHECKS) -> None:
        """Wait until each check has a state: one that fails from its first run on is believed after a few."""
        eventually(
            lambda: len({check for check, *_ in self.history().transitions}) == count,
            "every check has a state",
        )

    def until_the_site_is_current(self) -> None:
        eventually(
            lambda: '"stale":false' in fetch(f"{self.site}/api/v1/status.json")[1].replace(" ", ""),
            "the site shows what is current",
        )
