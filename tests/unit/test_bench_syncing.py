"""What the bench of sync mode makes of its transactions."""

from bench.syncing import ALONE, ASYNC, LOADS, PEER, ROW, SPOOLED, STORED, Cost, measurements
from bench.table import Measurement

SIDES = {ALONE: 1000.0, ASYNC: 900.0, SPOOLED: 700.0, STORED: 600.0, PEER: 350.0}


def told(sides: dict[str, float]) -> list[Measurement]:
    """Of three rounds: in the second everything is twice as quick."""
    costs = {
        (load, side): [Cost(tps * speed, 10.0, 301.0) for speed in (1, 2, 1)]
        for load in LOADS
        for side, tps in sides.items()
    }
    return list(measurements(costs, "PostgreSQL 18"))


def test_a_share_is_that_of_the_same_round_and_judged_where_one_is_promised() -> None:
    shares = [each for each in told(SIDES) if each.unit == "x"]
    expected = [0.9, 0.7, 2.0, 0.6, 0.35]
    assert [list(each.values) for each in shares] == [[each] * 3 for each in expected * len(LOADS)]
    assert LOADS[-1] is ROW
    promised, worst = shares[:-5], shares[-5:]
    assert [each.ok for each in promised] == [None, True, None, False, None] * (len(LOADS) - 1)
    assert all(each.ok is None for each in worst)


def test_the_memory_of_our_receiver_has_its_bound() -> None:
    judged = {each.name.split(", ", 1)[1]: each.ok for each in told(SIDES) if each.unit == "MB"}
    assert judged == {ASYNC: False, SPOOLED: False, STORED: False, PEER: None}


def test_a_peer_that_is_not_here_is_named() -> None:
    lines = told({side: tps for side, tps in SIDES.items() if side != PEER})
    assert [each.name for each in lines if each.missing] == [PEER]
