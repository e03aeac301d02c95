"""A running Holdfast keeps a real database: from the estate file to a copy that was restored and tried."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation, eventually, free_port, installed
from tests.protected import LOGIN, LOGIN_PASSWORD, Protected

ESTATE = """
site: {{listen: '127.0.0.1:{site}'}}
agents: {{listen: '127.0.0.1:{agents}'}}
console: {{listen: '127.0.0.1:{console}'}}
regions:
  west: {{name: West}}
  north: {{name: North}}
clusters:
  eu:
    name: Europe
    region: west
    components:
      web:
        name: Website
        checks: {{page: {{type: tcp, host: 127.0.0.1, port: {site}}}}}
backup:
  stores:
    west: {{to: 'file://{folder}/west'}}
    north: {{to: 'file://{folder}/north'}}
databases:
  main:
    name: Main database
    cluster: eu
    connection: {{host: 127.0.0.1, port: {port}, password: env:MAIN_PASSWORD, tls: 'off'}}
    heartbeat: 1s
    copies: {{west: {{}}, north: {{}}}}
    verification:
      checks: {{orders-are-there: SELECT count(*) >= 100 FROM orders}}
  dumped:
    name: The same, dumped
    cluster: eu
    engine: logical
    connection: {{host: 127.0.0.1, port: {port}, password: env:MAIN_PASSWORD, tls: 'off'}}
    copies: {{west: {{}}}}
    verification:
      checks: {{orders-are-there: SELECT count(*) >= 100 FROM orders}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    server = Protected(tmp_path_factory.mktemp("shop")).start()
    server.sql("CREATE TABLE orders (id int PRIMARY KEY, note text)")
    server.sql("INSERT INTO orders SELECT n, 'first' FROM generate_series(1, 100) n")
    server.sql(f"GRANT pg_read_all_data TO {LOGIN}")
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="module")
def keeping(shop: Protected, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("keeping")
    ports = {"site": free_port(), "agents": free_port(), "console": free_port(), "port": shop.port}
    with installed(folder, ESTATE.format(folder=folder, **ports), MAIN_PASSWORD=LOGIN_PASSWORD) as holdfast:
        holdfast.up()
        yield holdfast


def points(holdfast: Installation) -> dict[str, Any]:
    """What each region restores, by its name."""
    said = holdfast.run("backup", "points", "main", "--json", code=None)
    return {each["region"]: each for each in json.loads(said.out)} if said.out else {}


def test_a_declared_database_is_backed_up_watched_and_verified_by_itself(keeping: Installation) -> None:
    eventually(lambda: keeping.role("backup"), "the backup's process runs")
    eventually(
        lambda: len([each for each in points(keeping).values() if each["windows"]]) == 2,
        "both regions have something to restore",
    )
    eventually(
        lambda: keeping.available("SELECT 1 FROM backup.status WHERE document->>'error' = '' LIMIT 1"),
        "pages can tell what is restorable",
    )
    taken = eventually(
        lambda: keeping.available("SELECT facts FROM holdfast.journal WHERE event = 'backup.taken'"),
        "the journal tells of the backup",
    )
    assert taken[0][0]["why"] == "there is no backup that could be restored"
    eventually(
        lambda: list(keeping.folder.glob("*/main/verifications/*.json")), "a copy was restored and looked at"
    )


def test_a_database_of_another_engine_is_kept_beside_it(keeping: Installation) -> None:
    eventually(
        lambda: keeping.available(
            "SELECT 1 FROM backup.status WHERE document->>'database' = 'dumped'"
            " AND document->'verified'->>'standing' = 'passed' AND document->>'covered_until' IS NOT NULL"
        ),
        "a dump was taken, restored and looked at, and pages can tell",
        300,
    )


def test_what_was_written_a_moment_ago_is_restored(
    keeping: Installation, shop: Protected, tmp_path: Path
) -> None:
    eventually(lambda: points(keeping).get("west", {}).get("windows"), "there is something to restore")
    shop.sql("INSERT INTO orders VALUES (101, 'a moment ago')")
    at = shop.value(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    )
    eventually(
        lambda: (points(keeping).get("north", {}).get("covered_until") or "") >= at[:19],
        "the other region has it",
    )
    into = tmp_path / "restored"
    ask = ("restore", "main", "--region", "north", "--to", str(into), "--json")
    expected_s = eventually(
        lambda: keeping.run(*ask, "--dry-run").json["expected_s"], "a verification told how long it takes"
    )
    assert expected_s > 0
    assert not into.exists()
    keeping.run(*ask, "--promote")
    copy = Protected(tmp_path / "server")
    into.rename(copy.data)
    copy.start()
    try:
        assert copy.value("SELECT note FROM orders WHERE id = 101") == "a moment ago"
    finally:
        copy.remove()


def test_a_region_that_was_lost_gets_everything_again(keeping: Installation) -> None:
    eventually(lambda: points(keeping).get("north", {}).get("windows"), "there is something to lose")
    # What is written meanwhile must not be in the way.
    (keeping.folder / "north").rename(keeping.folder / "lost")
    assert "there is no folder" in points(keeping)["north"]["error"]
    # A disk that is missing looks the same: a person says that it is to begin anew.
    (keeping.data_dir / "stores" / "north").unlink()
    eventually(
        lambda: points(keeping).get("north", {}).get("windows"), "it was copied from the other region", 300
    )
