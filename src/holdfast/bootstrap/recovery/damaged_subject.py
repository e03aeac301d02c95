"""A database whose data was damaged, as actions reach it: its owner's login, and the run's good copy."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.postgres.recovery.damaged import DamagedDatabase, Wanted
from holdfast.bootstrap.backup.sources import params_for
from holdfast.bootstrap.recovery.good_copies import GoodCopies, GoodCopy
from holdfast.bootstrap.recovery.surroundings import Surroundings
from holdfast.recovery.errors import StepFailed
from holdfast.recovery.salvage import tables_named

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class OnDamaged:
    """What works on a damaged database."""

    around: Surroundings

    def damaged(self, given: Mapping[str, str]) -> DamagedDatabase:
        return DamagedDatabase(self.params(given))

    def params(self, given: Mapping[str, str]) -> dict[str, str]:
        """Raises StepFailed where the estate names no owner."""
        estate, subject = self.around.estate, given["subject"]
        declared = None if estate.recovery is None else estate.recovery.databases.get(subject)
        if declared is None:
            raise StepFailed(
                f"nobody told who owns the tables of {subject!r}",
                hint=f"declare `recovery.databases.{subject}.owner` in the estate",
            )
        return params_for(declared.owner, self.around.place.config)

    def copies(self, given: Mapping[str, str]) -> GoodCopies:
        return GoodCopies(self.around.place, given["run"], self.bin_dir(given))

    def bin_dir(self, given: Mapping[str, str]) -> Path | None:
        declared = self.around.estate.databases.get(given["subject"])
        if declared is None:
            raise StepFailed(f"the estate has no database {given['subject']!r}")
        wanted = declared.verification.bin_dir
        return None if wanted is None else Path(wanted)

    async def copy(self, given: Mapping[str, str]) -> GoodCopy:
        """That of the run. Raises StepFailed when it is gone."""
        found = await self.copies(given).found(self.params(given)["dbname"])
        if found is None:
            raise StepFailed("the good copy does not answer any more", hint="retry: it is made again")
        return found

    def wanted(self, given: Mapping[str, str], copy: GoodCopy) -> Wanted:
        tables = tables_named(given.get("tables", "")) or copy.tables
        if not tables:
            raise StepFailed("it is not known which tables were damaged", hint="name them: --tables a,b")
        return Wanted(
            copy.conninfo,
            tables,
            copy.bad,
            replace=given.get("way") == "replace",
            again=given.get("again", "yes") == "yes",
        )


def check_of(given: Mapping[str, str]) -> str:
    """The SQL of a JSON text, or as it is. Raises StepFailed."""
    try:
        text = json.loads(given["check"])
    except ValueError:
        text = given["check"]
    if not isinstance(text, str) or not text.strip():
        raise StepFailed("the check is no SQL", hint="one SELECT that returns one row, true or false")
    return text
