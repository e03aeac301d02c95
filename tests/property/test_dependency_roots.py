"""Because of: what must hold for whatever happened."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from availability_strategies import at, lines, seconds
from hypothesis import given
from hypothesis import strategies as st

from holdfast.availability.dependencies import TOLERANCE, TROUBLE, Explanations, closure, troubles_of
from holdfast.availability.model import Interval
from holdfast.estate.checks import HttpCheck
from holdfast.estate.model import Cluster, Component, Estate, Region
from holdfast.estate.ports import ComponentIdentity, Registered
from holdfast.estate.scope import dependencies

KEYS = [f"c{number}" for number in range(6)]
PAIRS: list[ComponentIdentity] = [("eu", key) for key in KEYS]
REGISTERED = Registered({pair: number for number, pair in enumerate(PAIRS)}, {}, 1)
histories = st.fixed_dictionaries({number: lines() for number in range(len(KEYS))})


@st.composite
def estates(draw: st.DrawFn) -> Estate:
    """Each component depends on some of those after it: there is no circle."""
    components = {}
    for number, key in enumerate(KEYS):
        following = KEYS[number + 1 :]
        chosen = draw(st.sets(st.sampled_from(following), max_size=3)) if following else set()
        depends_on = tuple(f"eu/{each}" for each in sorted(chosen))
        checks = {"page": HttpCheck(url="http://target/")}
        components[key] = Component(name=key, checks=checks, depends_on=depends_on)
    here = {"here": Region(name="Here")}
    return Estate(regions=here, clusters={"eu": Cluster(name="EU", region="here", components=components)})


@given(estates(), histories)
def test_every_root_is_a_troubled_dependency_that_nothing_else_explains(
    estate: Estate, history: Mapping[int, Sequence[Interval]]
) -> None:
    depends_on = dependencies(estate)
    explanations = Explanations(estate, REGISTERED, history)
    for number, pair in enumerate(PAIRS):
        for interval in history[number]:
            roots = explanations.roots(pair, interval.state, interval.window)
            assert len(set(roots)) == len(roots)
            assert pair not in roots
            assert set(roots) <= set(closure(depends_on, [pair]))
            if interval.state not in TROUBLE:
                assert roots == ()
            for root in roots:
                mine = history[REGISTERED.components[root]]
                assert any(trouble.overlaps(interval.window) for trouble in troubles_of(mine))
            direct = [
                each
                for each in depends_on.get(pair, ())
                if interval.state in TROUBLE
                and any(
                    trouble.overlaps(interval.window) and trouble.start <= interval.window.start + TOLERANCE
                    for trouble in troubles_of(history[REGISTERED.components[each]])
                )
            ]
            assert bool(roots) == bool(direct), "there is a root exactly when a direct dependency explains it"


@given(lines(), seconds)
def test_troubles_are_the_seconds_in_which_the_state_was_trouble(line: list[Interval], second: int) -> None:
    troubled = any(each.contains(at(second)) for each in troubles_of(line))
    assert troubled == any(each.state in TROUBLE and each.window.contains(at(second)) for each in line)
    stretches = troubles_of(line)
    assert all(one.end < following.start for one, following in pairwise(stretches))
