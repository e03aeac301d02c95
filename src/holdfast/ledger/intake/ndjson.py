"""NDJSON of an importer: records without a number, one a line; they get their numbers here.

    {"job":"4711","kind":"copy","occurred_at":"2026-11-22T12:00:00Z","status":"completed","sheets":{"A4":3}}

One that tells of a person in plain words (`"person":{"login":"ada"}`) becomes one with a pseudonym.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from holdfast.ledger.intake.drafts import Draft
from holdfast.ledger.intake.files import Line
from holdfast.ledger.model import Refusal

_GIVEN_HERE = ("epoch", "seq")


@dataclass(slots=True)
class NumberlessRecords:
    """Reads such files (Reads). A line is a job."""

    tenant: str
    source: str
    takes_persons: bool = True
    """False: there is no key to make pseudonyms with."""

    @property
    def held_back(self) -> int:
        return 0

    def read(self, line: Line) -> Sequence[Draft | Refusal]:
        try:
            return [self._draft(line)]
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            return [Refusal(line.number, str(error))]
        except RecursionError:
            return [Refusal(line.number, "it is nested too deeply")]

    def settled(self, now: datetime | None) -> Sequence[Draft]:
        del now
        return []

    def next_file(self) -> None:
        """Lines know nothing of each other."""

    def _draft(self, line: Line) -> Draft:
        told = msgspec.json.decode(line.content)
        if not isinstance(told, dict):
            raise ValueError("it is no JSON object")  # noqa: TRY004  a refusal of what was sent
        if given := [name for name in _GIVEN_HERE if name in told]:
            raise ValueError(f"it has its own {given[0]}, and an importer's records get theirs here")
        for name, mine in (("tenant", self.tenant), ("source", self.source)):
            if told.get(name, mine) != mine:
                raise ValueError(f"it is of another {name} than {mine!r}")
        person = told.pop("person") if isinstance(told.get("person"), dict) else None
        if person is not None and not self.takes_persons:
            raise ValueError(
                "it tells of a person, and the ledger has no `pseudonym_key` to take that in with"
            )
        if person is not None and "user" in told:
            raise ValueError("it has both a `user` and a `person` in plain")
        return Draft(line.number, line.mark, told, person)
