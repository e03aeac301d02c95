"""What Patroni and a witness answer, read: as it is, and as it should never be."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.patroni.answers import (
    Regions,
    ends_of_timelines,
    told_by_node,
    told_by_witness,
)
from holdfast.recovery.outage import Seen
from holdfast.recovery.region_ports import WITNESS, Lock

NOW = datetime(2026, 11, 23, 7, tzinfo=UTC)
# As Patroni 4.1.5 answered in the lab.
STANDBY = {
    "state": "running",
    "role": "replica",
    "xlog": {
        "received_location": 50735672,
        "replayed_location": 50735600,
        "replayed_timestamp": "2026-11-23 07:05:03.410329+00:00",
        "paused": False,
    },
    "sync_standby": True,
    "timeline": 1,
    "patroni": {"version": "4.1.5", "scope": "print", "name": "b"},
}
PRIMARY = {
    "state": "running",
    "role": "primary",
    "xlog": {"location": 50735672},
    "timeline": 1,
    "patroni": {"version": "4.1.5", "scope": "print", "name": "a"},
}
LIST = {
    "members": [
        {"name": "a", "role": "leader", "state": "running", "timeline": 1},
        {"name": "b", "role": "sync_standby", "state": "streaming", "timeline": 1, "replay_lsn": "0/3062A38"},
    ],
    "scope": "print",
}
VIEW = {
    "quorum": True,
    "raft": {"a": False, "b": True, "w": True},
    "leader": {"name": "a", "index": 129, "expires_in_s": 17.8},
    "members": [{"name": "a", "role": "primary", "state": "running", "timeline": 1, "xlog_location": 7}],
    "sync": {"leader": "a", "standby": "b"},
}


def regions() -> Regions:
    return Regions(["a", "b"])


def test_a_standby_tells_of_itself_and_of_the_leader() -> None:
    told = told_by_node("b", NOW, STANDBY, LIST, regions())
    own = told.own()
    assert own is not None
    assert (own.name, own.leads, own.running, own.lsn) == ("b", False, True, 50735600)
    assert own.replayed_at == datetime(2026, 11, 23, 7, 5, 3, 410329, tzinfo=UTC)
    assert told.lock == Lock("a", "a", None)
    assert told.waits_for == ["b"]
    assert (told.quorum, told.paused) == (None, False)
    assert [member.name for member in told.members] == ["b", "a"]


def test_a_primary_tells_what_it_has_written() -> None:
    own = told_by_node("a", NOW, PRIMARY, {**LIST, "pause": True}, regions()).own()
    assert own is not None
    assert (own.leads, own.lsn, own.replayed_at) == (True, 50735672, None)
    assert told_by_node("a", NOW, PRIMARY, {**LIST, "pause": True}, regions()).paused is True


def test_a_standby_in_the_list_has_the_place_that_is_written_in_two_numbers() -> None:
    told = told_by_node("a", NOW, PRIMARY, LIST, regions())
    assert next(member.lsn for member in told.members if member.name == "b") == 0x3062A38


def test_the_witness_tells_of_the_lock_and_whom_it_sees() -> None:
    told = told_by_witness(NOW, VIEW, regions())
    assert told.place == WITNESS
    assert told.lock == Lock("a", "a", 129)
    assert told.connected == {"a": Seen.DOWN, "b": Seen.UP, "w": Seen.UP}
    assert (told.quorum, told.waits_for) == (True, ["b"])
    assert told_by_witness(NOW, {**VIEW, "leader": None}, regions()).lock is None


@pytest.mark.parametrize(
    ("member", "region"), [("a", "a"), ("a-2", "a"), ("b.one", "b"), ("ab", ""), ("", "")]
)
def test_a_member_that_never_answered_is_where_its_name_says(member: str, region: str) -> None:
    assert regions().of(member) == region


def test_what_a_node_said_of_itself_counts_more_than_its_name() -> None:
    known = regions()
    known.learn("a-2", "b")
    assert known.of("a-2") == "b"


def test_the_ends_of_timelines() -> None:
    history = [[1, 50735672, "no recovery target specified", "2026-11-23", "b"], [2, 99, "x"]]
    assert ends_of_timelines(history) == {1: 50735672, 2: 99}
    for wrong in (None, {}, [1], [["1", 2]], [[1]], [[True, 2]]):
        assert ends_of_timelines(wrong) == {}


_NAMES = (
    "members name role state xlog patroni leader index sync standby raft quorum timeline lsn location "
    "replayed_timestamp"
)
_keys = st.sampled_from(_NAMES.split())
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(_keys, anything, max_size=6)


@given(node=objects, cluster=objects, view=objects)
def test_whatever_is_answered_nothing_breaks_and_no_quorum_is_made_up(
    node: dict[str, object], cluster: dict[str, object], view: dict[str, object]
) -> None:
    assert told_by_node("a", NOW, node, cluster, regions()).quorum is None
    told = told_by_witness(NOW, view, regions())
    assert (told.quorum is True) == (view.get("quorum") is True)
