"""The lab's jobs as a drill of damaged data sees them, on a real server: the lab's only, and all of them."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from psycopg.conninfo import make_conninfo
from tests.protected import Protected

from holdfast.adapters.postgres.recovery.damaged import DamagedDatabase
from holdfast.adapters.postgres.recovery.lab_jobs import LabJobs
from holdfast.lab.regions.data import DROP, WRONG_UPDATE
from holdfast.recovery.errors import StepFailed

NUMBERS = count(1)
JOB = """
CREATE TABLE job (id uuid PRIMARY KEY, owner text NOT NULL, title text NOT NULL, pages integer NOT NULL,
    via text NOT NULL, status text NOT NULL DEFAULT 'queued', submitted_at timestamptz NOT NULL,
    printed_at timestamptz)
"""


class PrintShop:
    def __init__(self, server: Protected, name: str) -> None:
        self.server, self.name = server, name
        self.params = {**server.owner_params, "dbname": name}
        self.jobs = LabJobs(self.params)

    def sql(self, text: str) -> None:
        self.server.sql(text, self.name)

    def is_well(self, check: str) -> bool | None:
        return DamagedDatabase(self.params).ask(check)


@pytest.fixture
def lab(shared_protected: Protected) -> Iterator[PrintShop]:
    name = f"lab{next(NUMBERS)}"
    shared_protected.sql(f"CREATE DATABASE {name}")
    made = PrintShop(shared_protected, name)
    made.sql(JOB)
    yield made
    shared_protected.sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_another_database_than_the_one_that_the_lab_breaks_is_refused(lab: PrintShop) -> None:
    lab.jobs.see_that_it_is(make_conninfo(**lab.params, connect_timeout="5"))
    with pytest.raises(StepFailed, match="not the database that the lab breaks") as refused:
        lab.jobs.see_that_it_is(make_conninfo(**{**lab.params, "dbname": "postgres"}))
    assert "where: lab" in refused.value.hint


def test_the_same_run_adds_its_jobs_once_and_another_its_own(lab: PrintShop) -> None:
    lab.jobs.submit("run1", 7)
    until = lab.jobs.submit("run1", 7)
    assert lab.jobs.seen(until).rows == 7
    assert lab.jobs.seen(lab.jobs.submit("run2", 3)).rows == 10
    assert lab.jobs.seen(until).rows == 7, "what came later is not part of it"


@pytest.mark.parametrize("damage", [WRONG_UPDATE, DROP])
def test_the_check_is_true_until_the_lab_does_its_damage(lab: PrintShop, damage: str) -> None:
    check = lab.jobs.seen(lab.jobs.submit("run1", 7)).check
    lab.jobs.submit("run2", 7)
    assert lab.is_well(check)
    lab.sql(damage)
    assert not lab.is_well(check)


def test_a_table_that_the_service_makes_anew_does_not_pass_for_the_one_that_was_dropped(
    lab: PrintShop,
) -> None:
    check = lab.jobs.seen(lab.jobs.submit("run1", 7)).check
    lab.sql(DROP)
    lab.sql(JOB)
    assert lab.is_well(check) is False


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE job SET title = title || '.' WHERE title = 'page 3'",
        "UPDATE job SET pages = pages + 1 WHERE title = 'page 3'",
        "DELETE FROM job WHERE title = 'page 3'",
        "INSERT INTO job SELECT md5(id::text)::uuid, owner, title, pages, via, status, submitted_at FROM job",
    ],
)
def test_each_change_of_a_job_is_seen_and_printing_it_is_none(lab: PrintShop, change: str) -> None:
    before = lab.jobs.seen(lab.jobs.submit("run1", 7))
    lab.sql("UPDATE job SET status = 'printed', printed_at = now()")
    assert lab.jobs.seen(before.until) == before
    lab.sql(change)
    after = lab.jobs.seen(before.until)
    assert after != before
    assert replace(after, rows=before.rows) != before, "the rows alone would not tell"


def test_without_the_services_table_it_says_what_to_do(lab: PrintShop) -> None:
    lab.sql("DROP TABLE job")
    with pytest.raises(StepFailed, match="no table of jobs"):
        lab.jobs.submit("run1", 1)
