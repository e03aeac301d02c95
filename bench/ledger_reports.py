"""Reports over 10 million records of a year, out of roll-ups and out of raw rows, taking turns.

The rows stand in the table that the intake is compared with (bench/ledger.py), which PostgreSQL reads with as
many workers as it likes; the roll-ups beside them are summed up from the same rows, in one go. Reports are
read as the console reads them: over its login, with row-level security. What a report says is compared with
what the rows say. HOLDFAST_BENCH_RECORDS says how many there are (300,000 with --quick).
"""

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import uvloop
from tests.protected import Protected

from bench.ledger_line import conninfo, server
from bench.ledger_records import RAW_TABLE
from bench.subjects import Options
from bench.table import Measurement, at_least, at_most
from holdfast.adapters.postgres.connect import open_pool
from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.ledger.reports import PostgresReports
from holdfast.adapters.postgres.migrate import migrate
from holdfast.ledger.reports.reporting import Asked, By, Per, Report

STEP = 500_000
TIMES_FASTER = 70.0
MONTH_MS = 100.0
YEAR = date(2025, 1, 1), date(2026, 1, 1)
MONTH = date(2025, 5, 1), date(2025, 6, 1)


@dataclass(frozen=True, slots=True)
class Question:
    """A report, and how the rows are asked the same."""

    name: str
    asked: Asked
    time: str
    member: str
    month: bool = False
    faster: bool = True
    """Whether it has to be so many times as fast as the rows."""
    only: str = "true"


MONTHLY, DAILY = "date_trunc('month', occurred_at)", "date_trunc('day', occurred_at)"
ONE, DEVICE = f"{7919771003:016x}", "device-2"
"""The pseudonym of one of the people, and a device of theirs."""
QUESTIONS = (
    Question("a year, per month", Asked(*YEAR, "acme", per=Per.MONTH), MONTHLY, "1"),
    Question("a year, by cost centre", Asked(*YEAR, "acme", by=By.COST_CENTRE), "1", "cost_centre"),
    Question("a year, by user", Asked(*YEAR, "acme", by=By.USER), "1", '"user"'),
    Question(
        "a year, per day for one user",
        Asked(*YEAR, "acme", user=ONE, per=Per.DAY),
        DAILY,
        "1",
        only=f"\"user\" = '{ONE}'",
    ),
    Question(
        "a year, by user of one device",
        Asked(*YEAR, "acme", by=By.USER, device=DEVICE),
        "1",
        '"user"',
        only=f"device = '{DEVICE}'",
    ),
    Question("a month, by user", Asked(*MONTH, "acme", by=By.USER), "1", '"user"', month=True),
    # Thousands of rows are told, and most of its time goes into handing them over, however they were found.
    Question(
        "a month, per day by device",
        Asked(*MONTH, "acme", by=By.DEVICE, per=Per.DAY),
        DAILY,
        "device",
        month=True,
        faster=False,
    ),
    Question(
        "a month, per day by kind",
        Asked(*MONTH, "acme", by=By.KIND, per=Per.DAY),
        DAILY,
        "kind",
        month=True,
    ),
)

Took = Mapping[str, tuple[list[float], list[float]]]
"""By question, the seconds out of roll-ups and out of rows."""


def measure(options: Options) -> Sequence[Measurement]:
    records = int(os.environ.get("HOLDFAST_BENCH_RECORDS", "300000" if options.quick else "10000000"))
    return list(uvloop.run(_measure(records, 2 if options.quick else options.runs_beside_peers)))


async def _measure(records: int, rounds: int) -> list[Measurement]:
    took: dict[str, tuple[list[float], list[float]]] = {each.name: ([], []) for each in QUESTIONS}
    with server(autovacuum="off") as found:
        found.sql(f"CREATE ROLE {Role.CONSOLE.value} NOLOGIN")
        await migrate(conninfo(found))
        filled(found, records)
        console = replace(conninfo(found), role=Role.CONSOLE, assume=Role.CONSOLE.value)
        async with open_pool(console, "bench") as pool:
            reports = PostgresReports(pool)
            for number in range(rounds + 1):
                for question in QUESTIONS:
                    began = time.perf_counter()
                    report = await reports.report(question.asked)
                    seconds = time.perf_counter() - began
                    began = time.perf_counter()
                    rows = found.sql(by_raw(question))
                    raw = time.perf_counter() - began
                    compare(question, report, rows)
                    if number:  # the first round warms up
                        took[question.name][0].append(seconds)
                        took[question.name][1].append(raw)
                        told = f"{seconds * 1000:.1f} ms, {raw * 1000:.0f} ms out of rows"
                        print(f"  {question.name}: {told}", file=sys.stderr, flush=True)
        room = found.sql(_statements()["room"])[0][0]
    return [
        *measurements(took, records),
        Measurement("sums beside the log, a record", "bytes", [float(room) / records]),
    ]


def filled(found: Protected, records: int) -> None:
    """The rows, and their sums."""
    statements = _statements()
    found.sql(RAW_TABLE)
    for first in range(1, records + 1, STEP):
        last = min(first + STEP - 1, records)
        found.sql(statements["rows"].format(first=first, last=last))
        print(f"  {last:,} rows", file=sys.stderr, flush=True)
    found.sql("ANALYZE raw")
    found.sql("INSERT INTO ledger.tenant (key, name, time_zone) VALUES ('acme', 'Acme', 'UTC')")
    for name in ("begun", "members", "finest", "months", "coarser", "papers"):
        found.sql("SET work_mem = '512MB'; " + statements[name].format(first=1, last=records))
    print("  summed up", file=sys.stderr, flush=True)
    found.sql("VACUUM ANALYZE")


def compare(question: Question, report: Report, rows: Sequence[tuple[object, ...]]) -> None:
    """Ends the bench when the report says something else than the rows."""
    ours = sorted(
        (
            row.sums.jobs,
            row.sums.sheets,
            row.sums.mono_impressions,
            row.sums.colour_impressions,
            row.amounts.get("EUR", 0),
        )
        for row in report.rows
    )
    theirs = sorted(tuple(map(int, map(str, row[2:]))) for row in rows)
    if ours != theirs:
        raise SystemExit(
            f"{question.name}: the report is another one than the rows: {ours[:2]}, {theirs[:2]}"
        )


def measurements(took: Took, records: int) -> Iterator[Measurement]:
    """Ratios are those of the same round. Pure."""
    for question in QUESTIONS:
        ours, raw = took[question.name]
        target = at_most(MONTH_MS) if question.month else None
        head = f"{records:,} records" if question is QUESTIONS[0] else ""
        yield Measurement(question.name, "ms", [seconds * 1000 for seconds in ours], target, head)
        yield Measurement("  out of raw rows", "ms", [seconds * 1000 for seconds in raw])
        faster = at_least(TIMES_FASTER) if question.faster else None
        pairs = zip(raw, ours, strict=True)
        yield Measurement("  times as fast", "x", [other / mine for other, mine in pairs], faster)


def by_raw(question: Question) -> str:
    return _statements()["by_raw"].format(
        time=question.time,
        member=question.member,
        since=question.asked.since,
        until=question.asked.until,
        only=question.only,
    )


def _statements() -> dict[str, str]:
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    _, *parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))
