"""The jobs of the lab's print service, as a drill of damaged data sees them, over the login of their owner.

Blocking; each method opens and closes its connection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg

from holdfast.adapters.postgres.recovery.damaged_sessions import Connection, connected, copy_at
from holdfast.recovery.errors import StepFailed

TABLE = "public.job"
_CHECK = """
SELECT count(*) FILTER (WHERE owner = 'nobody' AND title = 'untitled') = 0
       AND (count(*) >= {rows} OR coalesce(pg_last_xact_replay_timestamp() <= '{until}', pg_is_in_recovery()))
FROM public.job
"""
_IDENTITY = "SELECT system_identifier, pg_catalog.current_database() FROM pg_catalog.pg_control_system()"
# Printed already: a printer that changed one after the damage would be somebody who meant it.
_JOBS = """
INSERT INTO public.job (id, owner, title, pages, via, status, submitted_at, printed_at)
SELECT md5(%(run)s || ' ' || n)::uuid, 'drill', 'page ' || n, 1 + n %% 9, 'drill', 'printed', now(), now()
FROM generate_series(1, %(count)s) n ON CONFLICT (id) DO NOTHING
"""
# What users and printers change of a job afterwards is not part of it.
_PRINT = """
SELECT count(*), coalesce(sum(('x' || substr(md5((id, owner, title, pages, via, submitted_at)::text), 1, 12))
                              ::bit(48)::bigint), 0)::text
FROM public.job WHERE submitted_at <= %(until)s
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """All jobs until a moment: how many, and a sum over what they are."""

    until: datetime
    rows: int
    total: str

    @property
    def check(self) -> str:
        """True while what `lab break data` does has not been done.

        The service makes a table that was dropped anew, without a job: so their number counts as well, but on
        a copy that has not come to where they were counted.
        """
        return " ".join(_CHECK.format(rows=self.rows, until=self.until.isoformat()).split())


class LabJobs:
    """`params`: libpq's, of the owner; they hold the password."""

    def __init__(self, params: Mapping[str, str]) -> None:
        self._params = params

    def see_that_it_is(self, lab: str) -> None:
        """The database that `lab`, a conninfo, leads to. Raises StepFailed for any other one."""
        with copy_at(lab) as session:
            broken = _identity(session)
        with connected(self._params) as session:
            if _identity(session) != broken:
                raise StepFailed(
                    "this is not the database that the lab breaks",
                    hint="a drill with where: lab puts back the lab's own jobs, and nothing else",
                )

    def submit(self, run: str, count: int) -> datetime:
        """Some jobs, the same ones for the same run; by the database's clock, when they were there."""
        with connected(self._params) as session:
            try:
                session.execute(_JOBS, {"run": run, "count": count})
            except psycopg.errors.UndefinedTable as error:
                hint = "holdfast lab status; the service makes its tables when it is used first"
                raise StepFailed("the lab's service has no table of jobs", hint=hint) from error
            row = session.execute("SELECT clock_timestamp()").fetchone()
            return row[0]  # type: ignore[index,no-any-return]

    def seen(self, until: datetime) -> Seen:
        """Raises StepFailed where the jobs cannot be read."""
        with connected(self._params) as session:
            rows, total = session.execute(_PRINT, {"until": until}).fetchone() or (0, "0")
            return Seen(until, rows, total)


def _identity(session: Connection) -> tuple[object, ...] | None:
    return session.execute(_IDENTITY).fetchone()
