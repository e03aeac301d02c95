"""`holdfast up`, with everything that is done to it while it runs."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from estates import estate, put_link, with_web_renamed, without_api
from holdfast.availability.model import State
from installation import Installation, Started, eventually, fetch, free_port, installed
from targets import Target, answering


class Running:
    """An installation that is up, with its one target."""

    def __init__(self, installation: Installation, target: Target, port: int, up: Started) -> None:
        self.installation = installation
        self.target = target
        self.port = port
        self.up = up
        self.text = installation.config.read_text()

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put_in_force(self, text: str) -> None:
        """Write the estate file, and wait until the controller has applied it."""
        before = self.revisions()
        self.installation.config.write_text(text)
        eventually(lambda: self.revisions() > before, "the changed estate is in force")

    def revisions(self) -> int:
        return int(self.installation.query("SELECT count(*) FROM estate.revision")[0][0])

    def components(self) -> dict[str, tuple[int, bool]]:
        """Each component's id, and whether it is in force, by its key."""
        rows = self.installation.query("SELECT key, id, removed_at IS NULL FROM estate.component")
        return {key: (each, in_force) for key, each, in_force in rows}

    def results(self, component_id: int) -> int:
        rows = self.installation.query(
            "SELECT count(*) FROM availability.result r JOIN estate.probe p ON p.id = r.check_id "
            "WHERE p.component_id = %s",
            component_id,
        )
        return int(rows[0][0])

    def shown(self) -> dict[str, str]:
        """Each component's state on the site, by its key."""
        import json  # noqa: PLC0415

        status, body = fetch(f"{self.site}/api/v1/status.json")
        if status != 200:
            return {}
        return {each["key"]: each["state"] for each in json.loads(body)["clusters"][0]["components"]}

    def report(self, agreement: str) -> dict[str, Any]:
        found: dict[str, Any] = self.installation.run("sla", "report", agreement, "--json").json
        return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Shared by the tests of this module, each of which leaves the estate as it found it."""
    port = free_port()
    with (
        answering() as target,
        installed(tmp_path_factory.mktemp("running"), estate(port, target.url)) as installation,
    ):
        put_link(installation.folder, "x" * 40)
        running = Running(installation, target, port, installation.up())
        eventually(lambda: set(running.shown().values()) == {"operational"}, "both components are well")
        yield running


def test_a_second_up_in_the_same_place_is_refused(running: Running) -> None:
    refused = running.installation.run("up", code=1)

    assert "another `holdfast up` is running" in refused.err
    assert "--data-dir" in refused.err
    assert running.up.process.poll() is None
    assert running.shown()["web"] == "operational"


def test_a_busy_port_is_said_before_anything_is_started(running: Running, tmp_path: Path) -> None:
    with installed(tmp_path, estate(running.port, running.target.url)) as other:
        refused = other.run("up", code=1)

        assert f"cannot listen on 127.0.0.1:{running.port}" in refused.err
        assert "site.listen" in refused.err
        assert not other.database.data.exists()


def test_maintenance_leaves_counted_time_only_where_its_notice_was_kept(running: Running) -> None:
    run = running.installation.run
    begins = datetime.now(UTC) + timedelta(seconds=5)
    planned = run(
        *("maintenance", "plan", "main/web", "--title", "New paper", "--json"),
        *("--from", begins.isoformat(), "--to", (begins + timedelta(hours=1)).isoformat()),
    ).json

    listed = {each["id"]: each for each in run("maintenance", "list", "--json").json}
    assert listed[planned["id"]]["components"] == ["main/web"]
    assert listed[planned["id"]]["title"] == "New paper"
    assert "New paper" in run("maintenance", "list").out

    eventually(lambda: running.shown()["web"] == "under_maintenance", "the site shows the maintenance")
    assert running.shown()["api"] == "operational"
    excluded = eventually(
        lambda: running.report("without-notice")["components"]["main/web"]["excluded_maintenance_s"],
        "the maintenance leaves counted time",
    )
    assert 0 < excluded < 3600
    assert running.report("without-notice")["components"]["main/api"]["excluded_maintenance_s"] == 0
    assert running.report("with-notice")["total"]["excluded_maintenance_s"] == 0

    assert run("maintenance", "show", planned["id"], "--json").json["stage"] == "in_progress"
    over = run("maintenance", "cancel", planned["id"], "--reason", "It went wrong.", "--json").json
    assert over["stage"] == "completed", "under way, it ends early"
    eventually(lambda: running.shown()["web"] == "operational", "the site shows no maintenance any more")
    left = running.report("without-notice")["components"]["main/web"]["excluded_maintenance_s"]
    assert 0 < left < 3600
    assert running.report("without-notice")["components"]["main/web"]["excluded_maintenance_s"] == left
    again = run("maintenance", "cancel", planned["id"], code=1)
    assert "it is completed" in again.err


def test_planned_work_is_tried_dry_then_planned_changed_and_cancelled(running: Running) -> None:
    run = running.installation.run
    begins = datetime.now(UTC) + timedelta(days=2)
    plan = (
        *("maintenance", "plan", "main/web", "--title", "New paper", "--remind", "24h"),
        *("--from", begins.isoformat(), "--to", (begins + timedelta(hours=1)).isoformat()),
    )
    before = run("maintenance", "list", "--json").json
    dry = run(*plan, "--dry-run", "--json").json
    assert {each["agreement"]: each["suffices"] for each in dry["agreements"]} == {
        "with-notice": False,
        "without-notice": True,
    }
    assert dry["dry_run"]
    assert "TOO SHORT" in run(*plan, "--dry-run").out
    assert run("maintenance", "list", "--json").json == before

    planned = run(*plan, "--json").json
    longer = (begins + timedelta(hours=3)).isoformat()
    said = run("maintenance", "extend", planned["id"], "--to", longer).out
    assert "suffices" in said
    assert "TOO SHORT" in said
    run("maintenance", "change", planned["id"], "--title", "Newest paper", "--start-by-hand")
    run("maintenance", "post", planned["id"], "The paper is *here*.")
    shown = run("maintenance", "show", planned["id"])
    assert "Newest paper" in shown.out
    assert "starts by hand, ends by the clock" in shown.out
    assert "title New paper -> Newest paper" in shown.out
    gone = run("maintenance", "cancel", planned["id"], "--reason", "No paper.", "--json").json
    assert (gone["stage"], gone["told"]["event"]) == ("cancelled", "maintenance.cancelled")
    assert planned["id"] not in {each["id"] for each in run("maintenance", "list", "--coming", "--json").json}


def test_recurring_work_is_planned_ahead_and_ended(running: Running) -> None:
    run = running.installation.run
    first = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    repeat = (
        *("maintenance", "repeat", "main/web", "--rule", "FREQ=WEEKLY", "--from", first, "--lasts", "2h"),
        *("--time-zone", "Europe/Berlin"),
    )
    dry = run(*repeat, "--dry-run", "--json").json
    assert (dry["id"], len(dry["planned"])) == (None, 5)
    series = run(*repeat, "--json").json
    assert len(run("maintenance", "list", "--coming", "--json").json) == 5
    assert "FREQ=WEEKLY" in run("maintenance", "series", "list").out
    run("maintenance", "series", "change", series["id"], "--title", "Patches")
    assert {each["title"] for each in run("maintenance", "list", "--coming", "--json").json} == {"Patches"}
    run("maintenance", "series", "end", series["id"])
    assert run("maintenance", "list", "--coming", "--json").json == []
    refused = run(*repeat[:4], "FREQ=HOURLY", *repeat[5:], code=1)
    assert "more often than once a day" in refused.err


def test_maintenance_of_a_component_that_is_not_there_names_those_that_are(running: Running) -> None:
    refused = running.installation.run(
        *("maintenance", "plan", "main/wab"),
        *("--from", "2030-01-01T00:00Z", "--to", "2030-01-01T01:00Z"),
        code=1,
    )

    assert "main/web" in refused.err


def test_a_report_on_an_agreement_that_is_not_there_names_those_that_are(running: Running) -> None:
    refused = running.installation.run("sla", "report", "acme", code=1)

    assert "with-notice" in refused.err


def test_a_report_for_people_says_the_formula_and_the_budget(running: Running) -> None:
    told = running.installation.run("sla", "report", "with-notice").out

    assert "holdfast-1" in told
    assert "error budget left" in told
    assert "main/web" in told


def test_a_renamed_component_keeps_its_id_and_its_history(running: Running) -> None:
    web, _ = running.components()["web"]
    before = running.results(web)

    running.put_in_force(with_web_renamed(running.text))

    assert running.components()["portal"] == (web, True)
    assert "web" not in running.components()
    eventually(lambda: running.results(web) > before, "the renamed component is checked under its old id")
    eventually(lambda: running.shown().get("portal") == "operational", "the site shows the new name")
    assert fetch(f"{running.site}/en/clusters/main/portal")[0] == 200

    running.put_in_force(running.text.replace("name: Web\n", "name: Web\n        was: [portal]\n"))
    assert running.components()["web"] == (web, True)
    running.put_in_force(running.text)


def test_a_removed_component_keeps_its_history_and_gets_its_id_back(running: Running) -> None:
    api, _ = running.components()["api"]
    before = running.results(api)

    running.put_in_force(without_api(running.text, running.target.url))

    assert running.components()["api"] == (api, False)
    assert running.results(api) >= before
    newest = "SELECT state FROM availability.transition t JOIN estate.probe p ON p.id = t.check_id WHERE p.component_id = %s ORDER BY at DESC LIMIT 1"  # noqa: E501
    eventually(
        lambda: running.installation.query(newest, api) == [(State.RETIRED.value,)], "its check is retired"
    )
    eventually(lambda: "api" not in running.shown(), "the site shows it no more")

    running.put_in_force(running.text)
    assert running.components()["api"] == (api, True)
    eventually(lambda: running.shown().get("api") == "operational", "it is checked again")


def test_a_broken_file_leaves_the_old_estate_in_force(running: Running) -> None:
    revisions = running.revisions()
    said = running.installation.log("controller").count("estate_refused")

    running.installation.config.write_text(running.text.replace("region: here", "region: elsewhere"))
    eventually(
        lambda: running.installation.log("controller").count("estate_refused") > said,
        "the controller says what is wrong",
    )

    assert "elsewhere" in running.installation.log("controller")
    assert running.revisions() == revisions
    assert running.shown() == {"web": "operational", "api": "operational"}
    web, _ = running.components()["web"]
    before = running.results(web)
    eventually(lambda: running.results(web) > before, "the checks go on")
    running.installation.config.write_text(running.text)


def test_a_secret_that_was_changed_counts_from_the_next_sighup_on(running: Running) -> None:
    page = f"{running.site}/en/agreements/"
    assert fetch(page + "x" * 40)[0] == 200

    put_link(running.installation.folder, "y" * 40)
    os.kill(running.up.pid, signal.SIGHUP)

    eventually(lambda: fetch(page + "y" * 40)[0] == 200, "the new link opens")
    assert fetch(page + "x" * 40)[0] == 404


@pytest.mark.parametrize("role", ["controller", "site"])
def test_a_killed_role_is_started_again(running: Running, role: str) -> None:
    killed = running.installation.role(role)
    assert killed is not None
    os.kill(killed, signal.SIGKILL)

    eventually(lambda: running.installation.role(role) not in {None, killed}, f"the {role} is there again")
    web, _ = running.components()["web"]
    before = running.results(web)
    eventually(lambda: running.results(web) > before, "results arrive again")
    eventually(lambda: running.shown().get("web") == "operational", "the site answers again")


def test_no_secret_shows_in_arguments_environments_or_logs(running: Running) -> None:
    installation = running.installation
    secrets = [path.read_text().strip() for path in installation.database.secrets.iterdir()]
    secrets.append((installation.folder / "link").read_text())
    assert len(secrets) >= 4
    assert all(len(secret) >= 32 for secret in secrets)

    seen = {f"log {path.name}": path.read_bytes() for path in (installation.data_dir / "log").iterdir()}
    for pid, command in installation.processes().items():
        with contextlib.suppress(FileNotFoundError):
            seen[f"environment of {command}"] = Path(f"/proc/{pid}/environ").read_bytes()
        seen[f"arguments of {pid}"] = command.encode()
    for path in installation.database.log.iterdir():
        seen[f"log {path.name}"] = path.read_bytes()
    seen["supervisor's words"] = running.up.said.err.encode()

    assert any("serve controller" in name for name in seen)
    for name, content in seen.items():
        for secret in secrets:
            assert secret.encode() not in content, name


def test_the_data_directory_is_nobody_elses_business(running: Running) -> None:
    data_dir = running.installation.data_dir

    assert data_dir.stat().st_mode & 0o077 == 0
    for folder in ("log", "run", "site", "postgres"):
        assert (data_dir / folder).stat().st_mode & 0o077 == 0, folder


def test_the_site_and_its_database_listen_on_this_machine_only(running: Running) -> None:
    """The address of another interface of this machine does not answer on the site's port."""
    own = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in own - {"127.0.0.1"}:
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((str(address), running.port)) != 0, address


def test_it_ends_as_a_whole_and_soon(running: Running) -> None:
    """The last of this module: it ends what the others share."""
    said = running.up.stop()

    assert said.code == 0, said
    assert "Traceback" not in said.err
    assert not running.installation.processes()
    assert not list((running.installation.data_dir / "run").glob("*.pid"))
