"""What somebody asks for who has damaged data put back: the same on the command line and in the console."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from holdfast.recovery.errors import Refused
from holdfast.recovery.giving import LONGEST_TEXT
from holdfast.recovery.salvage import tables_named

PLAYBOOK = "corruption"
LONGEST_CHECK = 4000
"""Characters."""
WAYS = ("rows", "replace", "database")
_WRITE = "write 2026-11-22T03:00+01:00"


@dataclass(frozen=True, slots=True)
class RecoverRequest:
    """`since` and `until`: ISO 8601 with an offset, both or neither. `tables` by commas."""

    check: str
    tables: str = ""
    since: str = ""
    until: str = ""
    way: str = "rows"
    freeze: bool = True
    drop_new: bool = False

    def given(self) -> Mapping[str, str]:
        """What the run is started with. Raises Refused for what no run could be started with."""
        since, until = self.since.strip(), self.until.strip()
        if bool(since) != bool(until):
            raise Refused("a search has a beginning and an end, or neither", hint=_WRITE)
        if since and _moment(until) <= _moment(since):
            raise Refused("a search ends after its beginning", hint=_WRITE)
        if self.way not in WAYS:
            raise Refused(f"nothing is put back by {self.way!r}", hint=f"one of: {', '.join(WAYS)}")
        tables_named(self.tables)
        return {
            # As a JSON text: what a run is given stands in one line.
            "check": _checked(self.check),
            "tables": self.tables.strip(),
            "since": since,
            "until": until,
            "freeze": "yes" if self.freeze else "no",
            "way": self.way,
            "again": "no" if self.drop_new else "yes",
        }


def _checked(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise Refused("it holds no check", hint="one SELECT that returns one row, true or false")
    written = json.dumps(text, ensure_ascii=False)
    if len(text) > LONGEST_CHECK or len(written) > LONGEST_TEXT:
        raise Refused(
            f"the check is longer than {LONGEST_CHECK} characters, or has too many quotes and line ends",
            hint="put it into a view",
        )
    return written


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"{text[:40]!r} is no time", hint=_WRITE) from None
    if moment.tzinfo is None:
        raise Refused(f"{text[:40]!r} needs its offset from UTC, such as +01:00 or Z", hint=_WRITE)
    return moment
