"""What `holdfast check` says of the standby in the other region, asked of a real primary with a real one."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.installation import eventually
from tests.ledger_process import NAME, verifier_key
from tests.protected import OWNER_PASSWORD
from tests.standby import STANDBY, Regions, two_regions

from holdfast.adapters.postgres.conninfo import Conninfo, Role
from holdfast.bootstrap.estates import read_estate
from holdfast.bootstrap.ledger.trying import ledger_findings
from holdfast.interfaces.cli.ports import Finding, Place
from holdfast.ledger.log.keys import PrivateKey

SEED = b"s" * 32
ESTATE = """\
version: 1
regions: {eu: {name: Europe}}
clusters: {eu: {name: Europe, region: eu, components: {api: {name: API, checks: {
  http: {url: "http://127.0.0.1:9/", every: 1h}}}}}}
"""


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    """Without any table of ours: the file is checked before Holdfast has begun."""
    with two_regions(tmp_path_factory.mktemp("checked")) as found:
        found.until_caught_up()
        yield found


async def asked(folder: Path, regions: Regions | None, login: str = "", **region: str) -> Finding:
    """What is found of the second region."""
    key = folder / "ledger.key"
    key.touch(0o600)
    key.write_text(PrivateKey(NAME, SEED).text(verifier_key().public))
    declared = ", ".join(f"{name}: {value}" for name, value in {"standby": STANDBY, **region}.items())
    lines = [
        ESTATE,
        f"ledger: {{name: {NAME}, signing_key: 'file:ledger.key', second_region: {{{declared}}}}}\n",
    ]
    if regions is not None:
        owner = {name: value for name, value in regions.primary.owner_params.items() if name != "password"}
        secret = folder / "url"
        secret.touch(0o600)
        if login:
            secret.write_text(Conninfo(Role.OWNER, owner | {"user": login}, "x").dsn)
        else:
            secret.write_text(Conninfo(Role.OWNER, owner, OWNER_PASSWORD).dsn)
        lines.append("postgres: {url: 'file:url'}\n")
    config = folder / "holdfast.yaml"
    config.write_text("".join(lines))
    found = await ledger_findings(read_estate(config), Place(config, folder / "data"))
    return next(each for each in found if each.subject == "ledger.second_region")


async def test_a_standby_that_follows_is_told_with_its_lag(regions: Regions, tmp_path: Path) -> None:
    found = await asked(tmp_path, regions)
    assert found.ok
    assert not found.warning
    assert found.text.startswith(f"{STANDBY} follows, ")


async def test_a_standby_that_nobody_knows_fails_and_says_what_that_means(
    regions: Regions, tmp_path: Path
) -> None:
    found = await asked(tmp_path, regions, standby="elsewhere")
    assert (found.ok, found.text.split(":")[0]) == (
        False,
        "no standby follows as elsewhere (nothing is acknowledged)",
    )
    found = await asked(tmp_path, regions, standby="elsewhere", when_away="accept")
    assert "(all is in one region)" in found.text


async def test_one_that_is_cut_off_fails(regions: Regions, tmp_path: Path) -> None:
    with psycopg.connect(**regions.primary.owner_params, autocommit=True) as owner:
        regions.link.cut()
        try:
            # The walsender notices by its timeout; who is asked meanwhile sees it stand.
            owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
            eventually(
                lambda: owner.execute("SELECT 1 FROM pg_stat_replication").fetchone() is None, "it is gone"
            )
            assert not (await asked(tmp_path, regions)).ok
        finally:
            regions.link.mend()
    regions.until_caught_up()


async def test_in_mode_synchronous_commits_must_wait_for_it(regions: Regions, tmp_path: Path) -> None:
    found = await asked(tmp_path, regions, mode="synchronous")
    assert (found.ok, found.text.split(": ")[1]) == (False, "synchronous_standby_names")
    with psycopg.connect(**regions.primary.owner_params, autocommit=True) as owner:
        owner.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        owner.execute("SELECT pg_reload_conf()")
        try:
            eventually(
                lambda: owner.execute(
                    "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
                ).fetchone(),
                "it is waited for",
            )
            assert (await asked(tmp_path, regions, mode="synchronous")).ok
        finally:
            owner.execute("ALTER SYSTEM RESET synchronous_standby_names")
            owner.execute("SELECT pg_reload_conf()")


async def test_a_login_that_may_not_see_it_blames_no_standby(regions: Regions, tmp_path: Path) -> None:
    with psycopg.connect(**regions.primary.owner_params, autocommit=True) as owner:
        owner.execute("CREATE ROLE blind LOGIN PASSWORD 'x'")
        try:
            found = await asked(tmp_path, regions, "blind")
            assert not found.ok
            assert "pg_read_all_stats" in found.text
        finally:
            owner.execute("DROP ROLE blind")


async def test_where_no_holdfast_runs_nothing_is_started_for_it(tmp_path: Path) -> None:
    found = await asked(tmp_path, None)
    assert (found.ok, found.warning) == (True, True)
    assert "no Holdfast is running" in found.text
    assert not (tmp_path / "data").exists()
