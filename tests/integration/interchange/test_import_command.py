"""`holdfast import` and `holdfast export` as an operator uses them, history and all."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from kuma_files import make_kuma
from upptime_repository import Repository

from holdfast.adapters.postgres.conninfo import Role
from holdfast.adapters.postgres.server.embedded import EmbeddedPostgres
from holdfast.availability.conditions import validate
from holdfast.availability.model import State
from holdfast.estate.loader import load_estate
from installation import Installation, Said

GATUS = """\
endpoints:
  - {name: api, group: eu, url: "https://api.example.org/", conditions: ["[STATUS] == 200"]}
  - {name: udp, url: "udp://h:1", conditions: ["[CONNECTED] == true"]}
"""
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)


def _run(installation: Installation, *arguments: str) -> Said:
    """A command, whatever it comes to."""
    return installation.run(*arguments, code=None)


def _stored(installation: Installation) -> dict[str, list[tuple[float, State, bool]]]:
    """The transitions of every check by its key: minutes since START, state, sample."""

    async def read() -> dict[str, list[tuple[float, State, bool]]]:
        server = EmbeddedPostgres(installation.data_dir / "postgres", within=installation.data_dir)
        await server.start()
        try:
            with psycopg.connect(**server.conninfo(Role.OWNER).parameters) as connection:
                rows = connection.execute(
                    "SELECT component.key, at, state, sample FROM availability.transition"
                    " JOIN estate.probe AS checked ON checked.id = check_id"
                    " JOIN estate.component AS component ON component.id = checked.component_id ORDER BY at"
                ).fetchall()
        finally:
            await server.stop()
        found: dict[str, list[tuple[float, State, bool]]] = {}
        for key, at, state, sample in rows:
            found.setdefault(key, []).append(((at - START) / timedelta(minutes=1), State(state), sample))
        return found

    return asyncio.run(read())


def test_nothing_is_written_until_it_is_asked_for(bare: Installation) -> None:
    source = bare.folder / "config.yaml"
    source.write_text(GATUS)

    shown = _run(bare, "import", "gatus", str(source))
    dry = _run(bare, "import", "gatus", str(source), "--to", str(bare.config), "--dry-run")

    assert not bare.config.exists()
    assert shown.code == dry.code == 0
    assert "url: https://api.example.org/" in shown.out
    assert "there is no UDP check" in shown.err
    assert "1 part without a counterpart" in shown.err

    written = _run(bare, "import", "gatus", str(source), "--to", str(bare.config))
    assert written.code == 0
    assert "wrote" in written.out
    assert load_estate(bare.config, validate).clusters["eu"].components["api"].name == "api"
    assert _run(bare, "check", "--no-connect", "--config", str(bare.config)).code == 0


def test_an_estate_that_is_there_stays_unless_forced(bare: Installation) -> None:
    source = bare.folder / "config.yaml"
    source.write_text(GATUS)
    bare.config.write_text("mine")

    refused = _run(bare, "import", "gatus", str(source), "--to", str(bare.config))

    assert refused.code == 1
    assert "--force" in refused.err
    assert bare.config.read_text() == "mine"
    assert _run(bare, "import", "gatus", str(source), "--to", str(bare.config), "--force").code == 0
    assert bare.config.read_text().startswith("# Imported from Gatus")
    assert not [each for each in bare.folder.iterdir() if each.name.startswith("tmp")]


def test_strict_counts_and_json_says_everything(bare: Installation) -> None:
    source = bare.folder / "config.yaml"
    source.write_text(GATUS)

    said = _run(bare, "import", "gatus", str(source), "--strict", "--json")

    assert said.code == 1
    assert said.json["unsupported"] == 1
    assert said.json["remarks"][0]["path"] == "endpoints[1]"
    assert said.json["components"] == 1
    assert said.json["written"] is None
    source.write_text(GATUS.replace("udp", "tcp"))
    assert _run(bare, "import", "gatus", str(source), "--strict", "--json").code == 0


def test_a_source_of_nothing_says_why_it_is_none(bare: Installation) -> None:
    source = bare.folder / "config.yaml"
    source.write_text("endpoints: [{name: a, url: 'udp://h:1'}]")

    refused = _run(bare, "import", "gatus", str(source))
    as_json = _run(bare, "import", "gatus", str(source), "--json")

    assert refused.code == as_json.code == 1
    assert "there is no UDP check" in refused.err
    assert "Traceback" not in refused.err
    assert as_json.json["remarks"][0]["why"] == "there is no UDP check"
    assert _run(bare, "import", "gatus", str(bare.folder / "missing")).code == 1


def test_the_past_of_uptime_kuma_comes_before_all_other(bare: Installation) -> None:
    kuma = bare.folder / "kuma.db"
    times = [f"{START + timedelta(minutes=n):%Y-%m-%d %H:%M:%S}.000" for n in range(120)]
    beats = [(1, time, 0 if 30 <= n < 40 else 1, "connect ECONNREFUSED") for n, time in enumerate(times)]
    monitors: list[dict[str, object]] = [
        {"name": "Shop", "type": "http", "url": "http://127.0.0.1:1/", "interval": 60},
        {"name": "Silent", "type": "port", "hostname": "127.0.0.1", "port": 1, "interval": 60},
    ]
    make_kuma(kuma, monitors, beats).close()
    command = ("import", "uptime-kuma", str(kuma), "--to", str(bare.config), "--history", "--json")
    where = ("--data-dir", str(bare.data_dir))

    first = _run(bare, *command, *where)
    again = _run(bare, *command, *where)

    assert first.code == 0, first.err
    shop, silent = first.json["history"]
    assert (shop["check"], shop["records"], shop["transitions"], shop["refused"]) == (
        "services/shop/http", 120, 4, None,
    )  # fmt: skip
    assert "no record" in silent["refused"]
    # The estate stays as it is, and so does the past.
    assert again.code == 0
    assert again.json["written"] is None
    assert "history already" in again.json["history"][0]["refused"]
    assert _stored(bare) == {
        "shop": [
            (0, State.OPERATIONAL, False),
            (30, State.MAJOR_OUTAGE, False),
            (40, State.OPERATIONAL, False),
            (120, State.UNKNOWN, False),
        ]
    }


def test_the_past_of_upptime(bare: Installation) -> None:
    repository = Repository(bare.folder / "status")
    repository.record(START, "api", "https://api.example.org", "up", 200)
    repository.record(START + timedelta(hours=1), "api", "https://api.example.org", "down", 0)
    repository.record(START + timedelta(hours=2), "former", "https://former.example.org", "up", 200)

    said = _run(
        bare,
        *("import", "upptime", str(repository.folder), "--to", str(bare.config), "--history", "--json"),
        *("--data-dir", str(bare.data_dir)),
    )

    assert said.code == 0, said.err
    assert [each["records"] for each in said.json["history"]] == [2, 0]
    assert "history/former.yml" in [remark["path"] for remark in said.json["remarks"]]
    assert _stored(bare) == {
        "api": [(0, State.OPERATIONAL, False), (60, State.MAJOR_OUTAGE, False), (1500, State.UNKNOWN, False)]
    }


@pytest.mark.parametrize("arguments", [("--history",), ("--history", "--dry-run", "--to", "x.yaml")])
def test_history_needs_an_estate_to_go_to(bare: Installation, arguments: tuple[str, ...]) -> None:
    make_kuma(bare.folder / "kuma.db", [{"name": "a", "type": "http", "url": "http://h/"}]).close()

    said = _run(bare, "import", "uptime-kuma", str(bare.folder / "kuma.db"), *arguments)

    assert said.code == 1
    assert "--to" in said.err


def test_agreements_go_out_and_come_in(bare: Installation, tmp_path: Path) -> None:
    text = (
        "regions: {r: {name: R}}\n"
        "clusters: {eu: {name: EU, region: r, components: {api: {name: A, checks: {h: {url: 'http://h/'}}}}}}\n"
    )
    base, slo = tmp_path / "base.yaml", tmp_path / "slo.yaml"
    base.write_text(text)
    bare.config.write_text(
        text + "customers: {acme: {name: Acme}}\n"
        "agreements: {gold: {customer: acme, name: Gold, components: [eu/api], objective: 99.9}}\n"
    )

    out = _run(bare, "export", "openslo", "--config", str(bare.config), "--to", str(slo))
    twice = _run(bare, "export", "openslo", "--config", str(bare.config), "--to", str(slo))
    shown = _run(bare, "export", "openslo", "--config", str(bare.config), "--json")
    back = _run(bare, "import", "openslo", str(slo), "--base", str(base), "--json")
    none = _run(bare, "export", "openslo", "--config", str(base))

    assert (out.code, twice.code, none.code) == (0, 1, 1)
    assert json.loads(shown.out)["slos"] == 1
    assert back.json["agreements"] == 1
    assert back.json["unsupported"] == 0
