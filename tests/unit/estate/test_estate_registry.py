from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from holdfast.estate.model import Estate
from holdfast.estate.registry import CheckRow, ComponentRow, Known, plan, plan_text

THEN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 2, 1, tzinfo=UTC)


def estate(
    clusters: Mapping[str, Mapping[str, Sequence[str]]],
    *,
    cluster_was: Mapping[str, Sequence[str]] | None = None,
    checks: Mapping[str, Sequence[str]] | None = None,
) -> Estate:
    """Clusters of components with what they were; every component has the same checks."""
    written: dict[str, Any] = {
        key: {"url": "http://x", "was": list(was)} for key, was in (checks or {"ping": ()}).items()
    }
    return Estate.model_validate(
        {
            "regions": {"r": {"name": "R"}},
            "clusters": {
                cluster_key: {
                    "name": cluster_key,
                    "region": "r",
                    "was": list((cluster_was or {}).get(cluster_key, ())),
                    "components": {
                        key: {"name": key.upper(), "was": list(was), "checks": written}
                        for key, was in components.items()
                    },
                }
                for cluster_key, components in clusters.items()
            },
        }
    )


def row(
    row_id: int,
    key: str,
    *formerly: str,
    cluster: str = "eu",
    removed_at: datetime | None = None,
) -> ComponentRow:
    return ComponentRow(row_id, cluster, key, key.upper(), removed_at, tuple(("eu", was) for was in formerly))


def check(
    row_id: int, component_id: int, key: str = "ping", *, removed_at: datetime | None = None
) -> CheckRow:
    return CheckRow(row_id, component_id, key, removed_at)


def text(known: Known, wanted: Estate) -> list[str]:
    return plan_text(plan(known, wanted)).splitlines()


def test_everything_is_new_to_an_empty_database() -> None:
    changes = plan(Known(), estate({"eu": {"a": (), "b": ["z"]}}))
    assert [(new.identity, new.name, new.formerly) for new in changes.components.add] == [
        (("eu", "a"), "A", ()),
        (("eu", "b"), "B", (("eu", "z"),)),
    ]
    assert [(new.component, new.key) for new in changes.checks.add] == [
        (("eu", "a"), "ping"),
        (("eu", "b"), "ping"),
    ]
    assert plan_text(changes) == "+ eu/a\n+ eu/b"


def test_what_is_as_declared_stays() -> None:
    changes = plan(Known([row(1, "a")], [check(5, 1)]), estate({"eu": {"a": ()}}))
    assert changes.is_empty
    assert [kept.id for kept in changes.components.unchanged] == [1]
    assert [kept.id for kept in changes.checks.unchanged] == [5]
    assert plan_text(changes) == "nothing changes"


def test_a_new_name_is_an_update() -> None:
    known = Known([ComponentRow(1, "eu", "a", "Old name")], [check(5, 1)])
    assert text(known, estate({"eu": {"a": ()}})) == ["~ eu/a: A"]


def test_without_was_a_new_key_is_a_new_component() -> None:
    changes = plan(Known([row(1, "a")], [check(5, 1)]), estate({"eu": {"b": ()}}))
    assert plan_text(changes) == "+ eu/b\n- eu/a (its history is kept)"
    assert [(gone.id, gone.component) for gone in changes.checks.remove] == [(5, ("eu", "a"))]


def test_was_carries_the_id_over() -> None:
    changes = plan(Known([row(1, "a")], [check(5, 1)]), estate({"eu": {"b": ["a"]}}))
    (kept,) = changes.components.rename
    assert (kept.id, kept.before, kept.identity, kept.name, kept.formerly) == (
        1,
        ("eu", "a"),
        ("eu", "b"),
        "B",
        (("eu", "a"),),
    )
    assert [kept_check.id for kept_check in changes.checks.unchanged] == [5]
    assert plan_text(changes) == "> eu/a becomes eu/b"


def test_a_chain_finds_the_newest_key_that_is_known() -> None:
    wanted = estate({"eu": {"c": ["b", "a"]}})
    assert text(Known([row(1, "a")], [check(5, 1)]), wanted) == ["> eu/a becomes eu/c"]
    assert text(Known([row(1, "a", removed_at=THEN), row(2, "b")], [check(5, 2)]), wanted) == [
        "> eu/b becomes eu/c"
    ]
    assert text(Known([row(1, "a"), row(2, "b", removed_at=THEN)], [check(5, 1)]), wanted) == [
        "> eu/a becomes eu/c"
    ]


def test_two_components_change_names_once() -> None:
    swap = estate({"eu": {"a": ["b"], "b": ["a"]}})
    changes = plan(Known([row(1, "a"), row(2, "b")], [check(5, 1), check(6, 2)]), swap)
    assert {(kept.id, kept.identity) for kept in changes.components.rename} == {
        (2, ("eu", "a")),
        (1, ("eu", "b")),
    }
    assert not changes.components.remove
    after = Known([row(2, "a", "b"), row(1, "b", "a")], [check(5, 1), check(6, 2)])
    assert plan(after, swap).is_empty


def test_names_move_along_a_row() -> None:
    known = Known([row(1, "a"), row(2, "b")], [check(5, 1), check(6, 2)])
    changes = plan(known, estate({"eu": {"a": ["z"], "b": ["a"], "c": ["b"]}}))
    assert [(kept.id, kept.identity[1]) for kept in changes.components.rename] == [(1, "b"), (2, "c")]
    assert [new.identity[1] for new in changes.components.add] == ["a"]


def test_a_new_claim_comes_before_the_key() -> None:
    known = Known([row(1, "a"), row(2, "b")], [check(5, 1), check(6, 2)])
    assert text(known, estate({"eu": {"a": ["b"]}})) == [
        "> eu/b becomes eu/a",
        "- eu/a (its history is kept)",
    ]


def test_a_claim_that_has_acted_does_not_act_again() -> None:
    known = Known([row(1, "a", "b"), row(2, "b", removed_at=THEN)], [check(5, 1)])
    assert plan(known, estate({"eu": {"a": ["b"]}})).is_empty


def test_what_comes_back_is_revived() -> None:
    known = Known(
        [row(1, "a", removed_at=THEN), row(2, "a", removed_at=LATER), row(3, "b")],
        [check(5, 1, removed_at=THEN), check(6, 2, removed_at=LATER), check(7, 3)],
    )
    changes = plan(known, estate({"eu": {"a": (), "b": ()}}))
    assert [kept.id for kept in changes.components.revive] == [2]
    assert [kept.id for kept in changes.checks.revive] == [6]
    assert plan_text(changes) == "< eu/a is back\n< eu/a: check ping is back"


def test_a_removed_component_can_come_back_under_another_key() -> None:
    known = Known([row(1, "a", removed_at=THEN)], [check(5, 1, removed_at=THEN)])
    assert text(known, estate({"eu": {"b": ["a"]}})) == [
        "< eu/b is back (it was eu/a)",
        "< eu/b: check ping is back",
    ]


def test_undoing_a_rename_gives_the_history_back() -> None:
    assert text(Known([row(1, "b", "a")], [check(5, 1)]), estate({"eu": {"a": ()}})) == [
        "> eu/b becomes eu/a"
    ]
    # but not while the one that came from there is still declared
    both = estate({"eu": {"a": (), "b": ()}})
    assert text(Known([row(1, "b", "a")], [check(5, 1)]), both) == ["+ eu/a", "~ eu/b: B"]


def test_a_cluster_takes_its_components_along() -> None:
    known = Known([row(1, "a"), row(2, "b"), row(3, "c")], [check(n + 10, n) for n in (1, 2, 3)])
    wanted = estate({"west": {"a": (), "d": ["b"], "e": ()}}, cluster_was={"west": ["europe", "eu"]})
    assert text(known, wanted) == [
        "+ west/e",
        "> eu/a becomes west/a",
        "> eu/b becomes west/d",
        "- eu/c (its history is kept)",
    ]


def test_clusters_change_names() -> None:
    known = Known([row(1, "a"), row(2, "a", cluster="us")], [check(5, 1), check(6, 2)])
    swap = estate({"eu": {"a": ()}, "us": {"a": ()}}, cluster_was={"eu": ["us"], "us": ["eu"]})
    changes = plan(known, swap)
    assert {(kept.id, kept.identity[0]) for kept in changes.components.rename} == {(1, "us"), (2, "eu")}


def test_a_cluster_changes_its_name_after_its_components_did() -> None:
    wanted = estate({"west": {"a": ["b"], "b": ["a"]}}, cluster_was={"west": ["eu"]})
    checks = [check(5, 1), check(6, 2)]
    before = plan(Known([row(1, "a"), row(2, "b")], checks), wanted)
    assert {(kept.id, kept.identity[1]) for kept in before.components.rename} == {(1, "b"), (2, "a")}
    after = plan(Known([row(2, "a", "b"), row(1, "b", "a")], checks), wanted)
    assert {(kept.id, kept.identity[1]) for kept in after.components.rename} == {(1, "b"), (2, "a")}


def test_checks_live_and_move_within_their_component() -> None:
    known = Known(
        [row(1, "a")], [check(5, 1, "old"), check(6, 1, "gone"), check(7, 1, "back", removed_at=THEN)]
    )
    changes = plan(known, estate({"eu": {"a": ()}}, checks={"new": ["old"], "back": (), "extra": ()}))
    assert plan_text(changes).splitlines() == [
        "+ eu/a: check extra",
        "> eu/a: check old becomes new",
        "< eu/a: check back is back",
        "- eu/a: check gone (its history is kept)",
    ]
    assert changes.components.is_empty
    assert not changes.is_empty


def test_checks_of_what_was_removed_long_ago_stay_removed() -> None:
    known = Known([row(1, "a"), row(2, "b", removed_at=THEN)], [check(5, 1), check(6, 2, removed_at=THEN)])
    assert plan(known, estate({"eu": {"a": ()}})).is_empty
