"""What the benches of the ledger make of their seconds, and the records that they post."""

import json

import pytest
from bench import ledger, ledger_proofs, ledger_regions, ledger_repeats, ledger_reports
from bench.ledger_records import SOURCE, TENANT, Records, copied
from bench.table import Measurement

from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.ledger.intake.reading import Form, Sender, read
from holdfast.ledger.model import Numbered
from holdfast.ledger.reports.reporting import Report, Row
from holdfast.ledger.reports.rollups import Sums


def told(lines: list[Measurement], unit: str) -> list[tuple[list[float], bool | None]]:
    return [([round(value, 6) for value in each.values], each.ok) for each in lines if each.unit == unit]


def test_what_is_posted_is_taken_whole_and_copied_as_the_same() -> None:
    records = Records()
    for first in (1, 101):
        body = records.batch(100)
        found = read(body, Form.NDJSON, Sender(TENANT, SOURCE), ZstdSegments())
        assert (found.refused, found.prepared.stretches) == ([], [Numbered(SOURCE, 1, first, 100)])
        rows = [line.split("\t") for line in copied(body).decode().splitlines()]
        assert [(row[2], int(row[3])) for row in rows] == [("1", seq) for seq in range(first, first + 100)]
        assert [json.loads(row[14]) for row in rows] == [
            json.loads(line)["sheets"] for line in body.split(b"\n")
        ]


def test_the_intake_is_judged_by_raw_copy_in_the_same_round() -> None:
    took = {
        ledger.RAW: [0.08, 0.04],
        ledger.SEQUENCED: [0.04, 0.04],
        ledger.END_TO_END: [0.1, 0.05],
        ledger.SEQUENCED_AGAIN: [0.044, 0.04],
    }
    lines = list(ledger.measurements(took))
    assert told(lines, "R") == [([2.0, 1.0], True), ([0.8, 0.8], False)]
    assert told(lines, "%") == [([10.0, 0.0], None)]
    assert told(list(ledger.of_sizes(340.0, 85.0)), "x") == [([0.25], True)]


def test_repeats_are_judged_by_what_is_all_new_in_the_same_round() -> None:
    plain, soon, ever = ledger_repeats.PLAIN, ledger_repeats.SOON, ledger_repeats.EVER
    wall = [{plain: 0.1, soon: 0.102, ever: 0.11}, {plain: 0.2, soon: 0.2, ever: 0.22}]
    cpu = [{plain: 0.1, soon: 0.101, ever: 0.101}, {plain: 0.1, soon: 0.101, ever: 0.101}]
    lines = list(ledger_repeats.measurements(ledger_repeats.Rounds(wall, cpu)))
    assert told(lines, "%") == [
        ([2.0, 0.0], True), ([1.0, 1.0], None), ([10.0, 10.0], False), ([1.0, 1.0], None)
    ]  # fmt: skip


def test_a_share_of_what_is_sent_came_before() -> None:
    stream = ledger_repeats.Stream("acme", 1, 5, within=100)
    first = {json.loads(each)["seq"] for batch in stream.batches(1) for each in batch.split(b"\n")}
    assert len(first) == ledger_repeats.BATCH  # nothing came before
    then = [json.loads(each)["seq"] for batch in stream.batches(2) for each in batch.split(b"\n")]
    again = [each for each in then if each in first]
    assert (len(again), min(again) >= len(first) - 100) == (10, True)


def test_two_regions_are_judged_by_one_in_the_same_round() -> None:
    took = {
        (what, name): seconds
        for what in (ledger_regions.JSON, ledger_regions.PREPARED)
        for name, seconds in ((ledger_regions.LOCAL, [0.04, 0.04]), (ledger_regions.BOTH, [0.05, 0.08]))
    }
    lines = list(ledger_regions.measurements(took, [0.07, 0.08]))
    assert told(lines, "x") == [([0.8, 0.5], False), ([0.8, 0.5], None)]


def test_reports_are_judged_by_rows_and_a_month_by_its_time() -> None:
    took = {each.name: ([0.1, 0.01], [7.0, 0.5]) for each in ledger_reports.QUESTIONS}
    lines = list(ledger_reports.measurements(took, 10))
    verdicts = [False if each.faster else None for each in ledger_reports.QUESTIONS]
    assert told(lines, "x") == [([70.0, 50.0], verdict) for verdict in verdicts]
    assert all(each.faster for each in ledger_reports.QUESTIONS if not each.month)
    months = [each.ok for each in lines if each.unit == "ms" and each.target]
    assert months == [True] * sum(each.month for each in ledger_reports.QUESTIONS)
    other = {each.name: ([0.2], [14.0]) for each in ledger_reports.QUESTIONS}
    assert [
        each.ok for each in ledger_reports.measurements(other, 10) if each.unit == "ms" and each.target
    ] == [False] * len(months)


def test_every_question_is_asked_of_the_rows_too() -> None:
    for question in ledger_reports.QUESTIONS:
        statement = ledger_reports.by_raw(question)
        assert question.asked.since.isoformat() in statement
        assert all(name in statement for name in question.asked.filters.values())


def test_a_proof_is_judged_when_nothing_is_in_memory() -> None:
    cold, warm = ledger_proofs.measurements(1_000, [4.0, 6.0, 5.5], [1.0])
    assert (cold.ok, warm.ok) == (False, None)


def test_a_report_that_says_something_else_ends_the_bench() -> None:
    question = ledger_reports.QUESTIONS[0]
    row = Row(None, TENANT, "", Sums(jobs=2, sheets=3, mono_impressions=4, colour_impressions=5), {"EUR": 6})
    report = Report(question.asked, [row], row, 1, [])
    ledger_reports.compare(question, report, [("x", "y", 2, 3, 4, 5, 6)])
    with pytest.raises(SystemExit, match="another one than the rows"):
        ledger_reports.compare(question, report, [("x", "y", 2, 3, 4, 5, 7)])
