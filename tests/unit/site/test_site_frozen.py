"""When a page has to say that the frozen figure is another than its own."""

from fractions import Fraction

from site_estates import frozen_chain

from holdfast.interfaces.site.frozen import differs


def test_a_figure_that_is_the_frozen_one_is_not_told_apart() -> None:
    newest = frozen_chain(1)
    hours = 31 * 24 + 1  # summer time ends in October
    assert not differs(newest, 1 - Fraction(1, hours))
    assert differs(newest, 1 - Fraction(2, hours))
    assert differs(newest, None)
    assert not differs([], None)
