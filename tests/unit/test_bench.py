"""The benches' own logic. What they measure is not judged here: that is for a quiet machine."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bench.controlled import percentile, start_delays
from bench.estates import LINK_FILE, Wanted, estate_text
from bench.machine import is_busy
from bench.subjects import SUBJECTS
from bench.table import Measurement, at_least, at_most, not_measured, number, table
from bench.year import DAYS, END, LINK, transitions_of

from holdfast.availability.model import State
from holdfast.availability.schedule import Schedule
from holdfast.availability.sharing import share_of
from holdfast.bootstrap.estates import read_estate, report_links

ROOT = Path(__file__).parents[2]


def test_a_figure_is_judged_by_its_median_against_its_target() -> None:
    values = [0.9, 5.0, 1.0]
    assert Measurement("a", "ms", values, at_most(1.0)).ok is True
    assert Measurement("a", "ms", values, at_most(0.99)).ok is False
    assert Measurement("a", "/s", values, at_least(1.0)).ok is True
    assert Measurement("a", "/s", values, at_least(1.01)).ok is False
    assert Measurement("a", "ms", values).ok is None


def test_nothing_measured_is_no_figure() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Measurement("a", "ms", [])


def test_what_could_not_be_measured_says_why_and_holds_no_target() -> None:
    missing = not_measured("a peer", "needs node", at_most(0.2))
    assert missing.ok is None
    assert missing.as_json()["median"] is None
    assert words(table([missing]).splitlines()[1]) == "a peer <= 0.2 not measured needs node"


def words(line: str) -> str:
    return " ".join(line.split())


def test_the_table_shows_target_median_spread_and_verdict_in_columns() -> None:
    text = table(
        [
            Measurement("short", "ms", [3.0, 1.0, 2.0], at_most(1.5), "a note"),
            Measurement("quick enough", "/s", [12_345.0], at_least(1500)),
            Measurement("for information", "s", [0.25, 0.75]),
        ]
    )
    heading, short, enough, information = text.splitlines()
    assert words(heading) == "target median min .. max"
    assert words(short) == "short <= 1.50 ms 2.00 ms 1.00 .. 3.00 SHORT a note"
    assert words(enough) == "quick enough >= 1,500 /s 12,345 /s ok"
    assert words(information) == "for information 0.5 s 0.25 .. 0.75"
    assert short.index("2.00 ms") + len("2.00 ms") == information.index("0.5 s") + len("0.5 s")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0.0"), (0.0699, "0.0699"), (1, "1.00"), (9.996, "10.00"), (35.04, "35.0"), (1499.6, "1,500")],
)
def test_numbers_show_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_a_machine_is_busy_when_others_use_a_quarter_of_it() -> None:
    assert not is_busy(0.5, 2)
    assert is_busy(0.51, 2)


@pytest.mark.parametrize("every", [10.0, 60.0])
def test_start_delays_are_measured_against_the_schedules_own_rhythm(every: float) -> None:
    began = datetime(2026, 10, 1, tzinfo=UTC)
    schedule = Schedule()
    for check_id in range(1, 51):
        schedule.put(check_id, every, 0.0)
    schedule.take_due(every)
    late = {(7, 1): 0.25, (8, 2): 1.5, (9, 0): 3.0}
    runs = []
    for period in range(4):
        for due in schedule.take_due((period + 2) * every - 1e-9):
            delay = late.get((due.check_id, period), 0.0)
            # Each share has a monitor of its own, which took the lead at a moment of its own.
            moment = began + timedelta(seconds=due.at + delay + 0.7 * share_of(due.check_id))
            runs.append((due.check_id, moment, delay))
    runs.sort(key=lambda run: run[1])
    measured = start_delays([(check_id, at) for check_id, at, _ in runs], every)
    assert measured == pytest.approx([delay for _, _, delay in runs], abs=1e-3)
    assert sorted(measured)[-3:] == pytest.approx([0.25, 1.5, 3.0], abs=1e-3)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 0.5) == 50.0
    assert percentile([7.0], 0.99) == 7.0


def test_the_estate_is_valid_and_as_large_as_wanted(tmp_path: Path) -> None:
    config = tmp_path / "holdfast.yaml"
    config.write_text(estate_text(Wanted(120, agreed=50)), encoding="utf-8")
    link = tmp_path / LINK_FILE
    link.touch(0o600)
    link.write_text(LINK, encoding="utf-8")
    estate = read_estate(config)
    assert sum(len(cluster.components) for cluster in estate.clusters.values()) == 120
    assert report_links(estate, config) == {"gold": LINK}
    assert len(estate.agreements["gold"].components) == 5


def test_a_years_transitions_grow_within_the_year_and_end_well() -> None:
    for check_id in range(1, 200):
        line = list(transitions_of(check_id))
        moments = [at for at, _ in line]
        assert moments == sorted(set(moments))
        assert moments[0] == END - timedelta(days=DAYS)
        assert moments[-1] < END
        assert 11 <= len(line) <= 21
        assert [state for _, state in line[::2]] == [State.OPERATIONAL] * len(line[::2])
        assert State.OPERATIONAL not in [state for _, state in line[1::2]]
        assert line == list(transitions_of(check_id))


def test_what_can_be_measured_is_listed() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "bench", "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in told.stdout.splitlines()] == [each.name for each in SUBJECTS]


def test_an_unknown_name_is_refused() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "bench", "speed"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "nothing is called speed" in told.stderr
