"""A spool that fills up is told of in time, once, with how long it takes."""

from holdfast.backup.wal.filling import LOOKED_BACK_S, Fill, Filling, Said

LIMIT = 1000


def fill(there: int, limit: int = LIMIT) -> Fill:
    return Fill(there, limit - there)


def said(*there: int) -> list[Said | None]:
    filling = Filling()
    return [filling.look(fill(each), float(number)) for number, each in enumerate(there)]


def test_it_is_told_at_four_fifths_and_over_at_three_and_nothing_between() -> None:
    assert said(0, 799, 800, 990, 801, 700, 799, 600, 799, 800) == [
        *[None, None, Said.FILLING, None, None, None, None, Said.OVER, None],
        Said.FILLING,
    ]


def test_one_that_is_full_already_is_told_as_that() -> None:
    filling = Filling()
    assert filling.look(fill(LIMIT), 0.0, is_full=True) is None
    # It has some room again, and is nearly full still.
    assert filling.look(fill(900), 1.0) is Said.FILLING
    assert filling.look(fill(LIMIT), 2.0, is_full=True) is None
    assert filling.look(fill(0), 3.0) is Said.OVER


def test_a_disk_without_room_fills_it_too() -> None:
    assert Filling().look(Fill(16, 4), 0.0) is Said.FILLING
    assert Filling().look(Fill(0, 0), 0.0) is None


def test_how_long_it_takes_is_what_it_grew_by_lately() -> None:
    filling = Filling()
    for second in range(11):
        filling.look(fill(second * 10), float(second))
    assert filling.full_in_s(fill(100)) == 90.0


def test_nobody_knows_before_a_while_nor_when_it_does_not_grow() -> None:
    filling = Filling()
    filling.look(fill(500), 0.0)
    assert filling.full_in_s(fill(500)) is None
    filling.look(fill(600), 1.0)
    assert filling.full_in_s(fill(600)) is None
    filling.look(fill(400), 30.0)
    assert filling.full_in_s(fill(400)) is None


def test_what_was_long_ago_does_not_count() -> None:
    filling = Filling()
    filling.look(fill(0), 0.0)
    filling.look(fill(500), 100.0)
    filling.look(fill(510), 100.0 + LOOKED_BACK_S)
    assert filling.full_in_s(fill(510)) == 490 * LOOKED_BACK_S / 10
