"""What the bench of backups makes of its seconds."""

from bench.backups import CLUSTERED, FULL, PITR, RESTORE, SCATTERED, WARM, measurements
from bench.table import Measurement

SIDES = ("Holdfast", "pgBackRest 2.60", "Barman 3.19", "cp -r")


def told(took: dict[tuple[str, str], list[float]]) -> dict[str, Measurement]:
    return {each.name.strip(): each for each in measurements(took, "2,000 MB")}


def test_a_ratio_is_that_of_the_same_round_and_judged_where_one_is_promised() -> None:
    lines = list(measurements({(FULL, name): [1.0, 3.0, 2.0] for name in SIDES}, "2,000 MB"))
    ratios = [each for each in lines if each.unit == "times"]
    assert [each.name.strip() for each in ratios] == [f"Holdfast to {name}" for name in SIDES[1:]]
    assert [each.ok for each in ratios] == [True, None, True]
    slow = told({(FULL, "Holdfast"): [2.0, 9.0], (FULL, "pgBackRest 2.60"): [1.0, 3.0]})
    assert list(slow["Holdfast to pgBackRest 2.60"].values) == [2.0, 3.0]
    assert slow["Holdfast to pgBackRest 2.60"].ok is False


def test_what_was_promised_has_its_bound() -> None:
    both = {(what, name): [1.0] for what in (FULL, CLUSTERED, RESTORE, PITR) for name in SIDES[:2]}
    judged = [each.ok for each in measurements(both, "") if each.unit == "times" and each.target]
    assert judged == [True, False, True, True]


def test_a_warm_copy_is_compared_with_a_fresh_one() -> None:
    lines = told({(PITR, "Holdfast"): [4.0], (WARM, "Holdfast"): [0.5]})
    assert list(lines["warm to fresh"].values) == [0.125]
    assert lines["warm to fresh"].ok is True


def test_what_is_not_here_is_said() -> None:
    lines = told({(FULL, "Holdfast"): [1.0]})
    assert lines["pgBackRest"].missing
    assert lines["Barman"].missing
    assert lines[SCATTERED].median is None
