"""History survives any sequence of edits: a database in memory applies the plans of random estates."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from holdfast.estate.model import Estate
from holdfast.estate.registry import CheckRow, ComponentRow, Known, Plan, plan

KEYS = [f"k{number}" for number in range(6)]
keys = st.sampled_from(KEYS)
START = datetime(2026, 1, 1, tzinfo=UTC)
Was = dict[str, list[str]]


def estate(clusters: dict[str, Was], cluster_was: Was | None = None) -> Estate:
    """Clusters of components with what they were. Each component has one check that is called like it."""
    parts: dict[str, Any] = {
        cluster: {
            "name": cluster,
            "region": "r",
            "was": (cluster_was or {}).get(cluster, []),
            "components": {
                key: {"name": key, "was": was, "checks": {key: {"url": "http://x", "was": was}}}
                for key, was in components.items()
            },
        }
        for cluster, components in clusters.items()
    }
    return Estate.model_validate({"regions": {"r": {"name": "R"}}, "clusters": parts})


class Database:
    """Applies plans as an adapter does, and refuses what a constraint would refuse."""

    def __init__(self) -> None:
        self.components: dict[int, ComponentRow] = {}
        self.checks: dict[int, CheckRow] = {}
        self.at = START

    @property
    def known(self) -> Known:
        return Known(list(self.components.values()), list(self.checks.values()))

    def apply(self, changes: Plan) -> None:
        self.at += timedelta(days=1)
        components, checks = changes.components, changes.checks
        for gone in components.remove:
            self.components[gone.id] = replace(self.components[gone.id], removed_at=self.at)
        for kept in (*components.rename, *components.revive, *components.update):
            cluster, key = kept.identity
            self.components[kept.id] = ComponentRow(kept.id, cluster, key, kept.name, None, kept.formerly)
        for new in components.add:
            row_id = len(self.components) + 1
            self.components[row_id] = ComponentRow(row_id, *new.identity, new.name, None, new.formerly)
        ids = self.alive()
        for gone_check in checks.remove:
            self.checks[gone_check.id] = replace(self.checks[gone_check.id], removed_at=self.at)
        for kept_check in (*checks.rename, *checks.revive, *checks.update):
            before = self.checks[kept_check.id]
            assert before.component_id == ids[kept_check.component]
            self.checks[kept_check.id] = CheckRow(
                before.id, before.component_id, kept_check.key, None, kept_check.formerly
            )
        for new_check in checks.add:
            row_id = len(self.checks) + 1
            self.checks[row_id] = CheckRow(
                row_id, ids[new_check.component], new_check.key, None, new_check.formerly
            )

    def alive(self) -> dict[tuple[str, str], int]:
        living = [row for row in self.components.values() if row.removed_at is None]
        found = {row.identity: row.id for row in living}
        assert len(found) == len(living), "two living components share a key"
        return found

    def alive_checks(self) -> dict[tuple[int, str], int]:
        living = [row for row in self.checks.values() if row.removed_at is None]
        found = {(row.component_id, row.key): row.id for row in living}
        assert len(found) == len(living), "two living checks share a key"
        return found


@st.composite
def estates(draw: st.DrawFn) -> Estate:
    """Any estate at all, claims that contradict each other included."""
    clusters = draw(
        st.dictionaries(
            st.sampled_from(["eu", "us"]),
            st.dictionaries(keys, st.lists(keys, max_size=2, unique=True), min_size=1, max_size=4),
            min_size=1,
        )
    )
    was = draw(st.fixed_dictionaries({}, optional={"eu": st.just(["us"]), "us": st.just(["eu"])}))
    return estate(clusters, was)


@given(st.lists(estates(), min_size=1, max_size=8))
def test_whatever_is_applied_becomes_true_and_stays_true(sequence: list[Estate]) -> None:
    database = Database()
    for wanted in sequence:
        known_before = set(database.components)
        database.apply(plan(database.known, wanted))
        declared = {(c, k) for c, cluster in wanted.clusters.items() for k in cluster.components}
        alive = database.alive()
        assert set(alive) == declared
        assert {check_key for _, check_key in database.alive_checks()} == {k for _, k in declared}
        assert set(database.alive_checks()) == {(row_id, key) for (_, key), row_id in alive.items()}
        assert known_before <= set(database.components)
        assert plan(database.known, wanted).is_empty


@given(st.lists(estates(), max_size=4), estates())
def test_a_plan_is_complete_and_names_every_row_once(sequence: list[Estate], wanted: Estate) -> None:
    database = Database()
    for before in sequence:
        database.apply(plan(database.known, before))
    changes = plan(database.known, wanted).components
    kept = [k.id for k in (*changes.rename, *changes.revive, *changes.update, *changes.unchanged)]
    ids = [*kept, *(gone.id for gone in changes.remove)]
    assert len(ids) == len(set(ids))
    assert set(database.alive().values()) <= set(ids)
    assert all(database.components[gone.id].removed_at is None for gone in changes.remove)
    assert all(database.components[k.id].removed_at is not None for k in changes.revive)
    assert all(database.components[k.id].removed_at is None for k in (*changes.rename, *changes.unchanged))


class EditsOfAnOperator(RuleBasedStateMachine):
    """Sensible edits, each with a known meaning: who keeps which id is worked out beside the plan."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database()
        self.file: Was = {}
        self.expected: dict[str, int] = {}
        self.retired: dict[str, int] = {}

    @initialize()
    def begin(self) -> None:
        self.file = {"k0": [], "k1": []}
        self.expected = {"k0": 1, "k1": 2}
        self._apply()

    @rule(key=keys, keep_was=st.booleans())
    def add(self, key: str, *, keep_was: bool) -> None:
        if key in self.file:
            return
        self._forget_claims(keep_was=keep_was, but=key)
        self.file[key] = []
        # The same key again is the same component; a key that was renamed away is a new one.
        self.expected[key] = self.retired.pop(key, len(self.database.components) + 1)
        self._apply()

    @rule(key=keys)
    def remove(self, key: str) -> None:
        if key not in self.file or len(self.file) == 1:
            return
        # Its claims go with it: otherwise a key it once had would count as an undone rename.
        self._forget_claims(keep_was=False)
        self._apply()
        del self.file[key]
        self.retired[key] = self.expected.pop(key)
        self._apply()

    @rule(old=keys, new=keys, chain=st.booleans())
    def rename(self, old: str, new: str, *, chain: bool) -> None:
        if old not in self.file or new in self.file:
            return
        history = [former for former in self.file[old] if former not in (old, new)] if chain else []
        self._forget_claims(keep_was=True, but=old)
        del self.file[old]
        self.file[new] = [old, *history]
        self.expected[new] = self.expected.pop(old)
        self._apply()

    @rule(one=keys, other=keys)
    def swap(self, one: str, other: str) -> None:
        if one == other or one not in self.file or other not in self.file:
            return
        self._forget_claims(keep_was=False)
        self._apply()
        self.file[one], self.file[other] = [other], [one]
        self.expected[one], self.expected[other] = self.expected[other], self.expected[one]
        self._apply()

    @rule()
    def tidy_up(self) -> None:
        self._forget_claims(keep_was=False)
        self._apply()

    def _forget_claims(self, *, keep_was: bool, but: str = "") -> None:
        """Drop the claims that the file's own rules would refuse after this edit, or all of them."""
        for key, was in self.file.items():
            self.file[key] = [
                former for former in was if keep_was and former != but and former not in self.file
            ]

    def _apply(self) -> None:
        self.database.apply(plan(self.database.known, estate({"eu": self.file})))

    @invariant()
    def everybody_keeps_their_id(self) -> None:
        assert self.database.alive() == {("eu", key): row_id for key, row_id in self.expected.items()}


TestEditsOfAnOperator = EditsOfAnOperator.TestCase
