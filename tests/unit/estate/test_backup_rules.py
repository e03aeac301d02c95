"""What the estate's rules say of databases and the places of their copies."""

import pytest
from estate_files import VALID, load, problems

KEPT = (
    VALID
    + """
backup:
  stores:
    west: {to: file:///srv/backups}
  encryption:
    key: this-year
    keys: {this-year: env:KEY}
databases:
  main:
    name: Main
    cluster: eu
    connection: {host: db.example.com, password: env:PASSWORD}
    mode: sync
    copies: {west: {keep: {window: 30d}}}
"""
)


def test_a_database_has_sensible_defaults() -> None:
    database = load(KEPT).databases["main"]
    assert database.keep.window.days == 14
    assert database.copies["west"].keep is not None
    assert database.copies["west"].keep.window.days == 30
    assert database.connection.tls == "verify-full"
    assert database.schedule.full_every.days == 7


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    west: {to:", "    wset: {to:", "no region is called `wset`"),
        ("copies: {west:", "copies: {wset:", "region `wset` has no store"),
        ("cluster: eu\n    conn", "cluster: eo\n    conn", "no cluster is called `eo`"),
        ("key: this-year", "key: last-year", "no key is called `last-year`"),
        ("window: 30d", "window: 5m", "is shorter than an hour"),
        ("mode: sync", "mode: sync\n    sync: {regions: 2}", "more regions than it has copies in"),
        ("mode: sync", "engine: pgbackrest", "belongs to pgbackrest"),
        ("mode: sync", "stanza: main", "belongs to pgbackrest"),
        ("mode: sync", "engine: logical\n    mode: sync", "is the native engine's"),
        ("mode: sync", "schedule: {full_every: 1h, incremental_every: 2h}", "is shorter than"),
        ("mode: sync", "schedule: {incremental_every: 1m}", "is shorter than 5 minutes"),
        ("mode: sync", "schedule: {differential_every: 2d}", "belongs to pgbackrest"),
        (
            "mode: sync",
            "engine: pgbackrest\n    stanza: main\n    schedule: {differential_every: 1h}",
            "never comes, or always",
        ),
        ("copies: {west: {keep: {window: 30d}}}", "copies: {west: {repo: 2}}", "belongs to pgbackrest"),
        ("srv/backups}", "srv/backups, lock: compliance}", "only S3 has Object Lock"),
    ],
)
def test_what_does_not_hold_together_is_said(old: str, new: str, complaint: str) -> None:
    assert old in KEPT
    assert any(complaint in each.message for each in problems(KEPT.replace(old, new, 1)))


def test_two_regions_do_not_share_a_store() -> None:
    text = KEPT.replace("regions:", "regions:\n  east: {name: East}", 1)
    text = text.replace("    west: {to:", "    east: {to: file:///srv/backups}\n    west: {to:", 1)
    assert any("store of `east` already" in each.message for each in problems(text))


def test_two_regions_do_not_have_the_same_repository() -> None:
    text = KEPT.replace("regions:", "regions:\n  east: {name: East}", 1)
    text = text.replace("    west: {to:", "    east: {to: file:///srv/others}\n    west: {to:", 1)
    text = text.replace("mode: sync", "engine: pgbackrest\n    stanza: main")
    copies = "copies: {west: {keep: {window: 30d}}}"
    assert copies in text
    both = text.replace(copies, "copies: {west: {}, east: {repo: 1}}")
    assert any("repository 1 is that of `west` already" in each.message for each in problems(both))
    apart = text.replace(copies, "copies: {west: {}, east: {repo: 2}}")
    assert load(apart).databases["main"].copies["east"].repo == 2
