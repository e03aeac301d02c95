"""The REST API of a whole Holdfast: real PostgreSQL, the console's process and its own database login."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.installation import REPOSITORY, Installation, eventually, free_port, installed

ESTATE = """\
version: 1
site:
  title: Test status
  listen: 127.0.0.1:{site}
console:
  listen: 127.0.0.1:{console}
regions:
  here: {{name: Here}}
clusters:
  eu:
    name: EU
    region: here
    components:
      api:
        name: API
        checks: {{health: {{url: "http://127.0.0.1:{site}/health/live", every: 1s}}}}
      website:
        name: Website
        checks: {{page: {{url: "http://127.0.0.1:{site}/health/live", every: 1s}}}}
  gov:
    name: Government
    region: here
    private: true
    components:
      vault:
        name: Vault
        checks: {{health: {{url: "http://127.0.0.1:{site}/health/live", every: 1s}}}}
customers:
  acme: {{name: ACME}}
agreements:
  premium:
    customer: acme
    name: Premium
    components: ["eu/*"]
    objective: 99.9
recovery: {{}}
"""
SCOPES = ("read", "incidents:write", "maintenance:write", "subscribers:read", "operate", "audit:read")
_EXAMPLES = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Running:
    """An installation that runs, and a token of it with all scopes."""

    def __init__(self, installation: Installation, site: int, console: int) -> None:
        self.installation = installation
        self.site = f"http://127.0.0.1:{site}"
        self.console = f"http://127.0.0.1:{console}"
        said = installation.run(
            "token", "create", "robot", *(part for scope in SCOPES for part in ("--scope", scope)), "--json"
        )
        self.token: str = said.json["token"]

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.console}/api/v1", headers=headers, timeout=60)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site, console = free_port(), free_port()
    folder = tmp_path_factory.mktemp("rest") / "holdfast"
    with installed(folder, ESTATE.format(site=site, console=console)) as installation:
        installation.up()
        yield Running(installation, site, console)


def made(answer: httpx.Response, status: int = 201) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


DECLARED = {"title": "The API is down", "body": "We look into it.", "affected": {"eu/api": "major_outage"}}


def test_an_incident_is_told_on_the_site(running: Running) -> None:
    with running.client() as api:
        incident = made(api.post("/incidents", json=DECLARED))

        def told() -> Any:
            listed = httpx.get(f"{running.site}/api/v2/incidents/unresolved.json").json()["incidents"]
            return [each for each in listed if each["id"] == incident["id"]]

        (found,) = eventually(told, "the incident is on the site")
        assert found["name"] == DECLARED["title"]
        assert found["incident_updates"][0]["affected_components"][0]["name"] == "EU API"
        done = {"phase": "resolved", "body": "Over."}
        assert made(api.post(f"/incidents/{incident['id']}/updates", json=done))["phase"] == "resolved"
        eventually(lambda: not told(), "the incident is over on the site")


def test_what_is_private_stays_private(running: Running) -> None:
    with running.client() as api:
        secret = {"title": "The Vault is down", "body": "Hush.", "affected": {"gov/vault": "major_outage"}}
        hidden = made(api.post("/incidents", json=secret))
        open_one = made(api.post("/incidents", json=DECLARED))
        whole = eventually(
            lambda: (
                text
                if open_one["id"] in (text := httpx.get(f"{running.site}/api/v2/summary.json").text)
                else ""
            ),
            "the public incident is told",
        )
        for word in (hidden["id"], "Vault", "Government"):
            assert word not in whole
        addresses = ("components", "incidents", "incidents/unresolved", f"incidents/{hidden['id']}")
        told = "".join(httpx.get(f"{running.site}/api/v2/{each}.json").text for each in addresses)
        for word in ("Vault", "Government"):
            assert word not in told
        assert [each["component"] for each in api.get("/components").json()["items"]] == [
            "eu/api", "eu/website", "gov/vault",
        ]  # fmt: skip


def test_every_resource_answers_with_the_consoles_login(running: Running) -> None:
    with running.client() as api:
        incident = made(api.post("/incidents", json={**DECLARED, "draft": True}))
        work = {
            "title": "Upgrade",
            "components": ["eu/*"],
            "starts_at": "2031-01-11T02:00:00Z",
            "ends_at": "2031-01-11T04:00:00Z",
        }
        planned = made(api.post("/maintenances", json=work))
        series = made(
            api.post(
                "/maintenance-series",
                json={
                    "title": "Patches",
                    "components": ["eu/website"],
                    "rule": "FREQ=WEEKLY",
                    "first_at": "2031-01-01T03:00:00Z",
                    "lasts_s": 3600,
                },
            )
        )
        for address in (
            "/status",
            "/clusters",
            "/components/eu/api",
            "/incidents",
            f"/incidents/{incident['id']}",
            "/maintenances",
            f"/maintenances/{planned['id']}",
            "/maintenance-series",
            f"/maintenance-series/{series['id']}",
            "/agreements",
            "/agreements/premium/report",
            "/subscribers",
            "/subscribers/counts",
            "/templates",
            "/journal",
        ):
            made(api.get(address), 200)
        moved = {"ends_at": "2031-01-11T05:00:00Z"}
        made(api.patch(f"/maintenances/{planned['id']}", json=moved), 200)
        made(api.post(f"/maintenances/{planned['id']}/cancel", json={"reason": "Not needed."}), 200)
        made(api.post(f"/maintenance-series/{series['id']}/end"), 200)
        made(api.post(f"/incidents/{incident['id']}/publish"), 200)
        missing = api.delete("/subscribers/00000000-0000-4000-8000-000000000001")
        assert missing.status_code == 404
        events = {each["event"] for each in api.get("/journal", params={"limit": 100}).json()["items"]}
        assert {"incident.drafted", "maintenance.cancelled", "series.ended", "token.created"} <= events


def test_a_subscriber_is_removed_for_good(running: Running) -> None:
    ((subscriber,),) = running.installation.query(
        """
        INSERT INTO communication.subscription (channel, address, address_hash, language, topics,
                                                component_ids, cluster_keys, standing, asked)
        VALUES ('mail', '\\x01', sha256('x'), 'de', '{incident}', '{}', '{}', 'active', ARRAY[now()])
        RETURNING id::text
        """
    )
    with running.client() as api:
        assert [each["id"] for each in api.get("/subscribers").json()["items"]] == [subscriber]
        assert made(api.post("/incidents/preview", json=DECLARED), 200)["recipients"]["total"] == 1
        assert api.delete(f"/subscribers/{subscriber}").status_code == 204
        assert api.get("/subscribers").json()["items"] == []
    ((address,),) = running.installation.query(
        "SELECT address FROM communication.subscription WHERE id::text = %s", subscriber
    )
    assert address is None


def test_the_same_key_declares_once_for_many_at_the_same_time(running: Running) -> None:
    told = (
        f"Authorization: Bearer {running.token}",
        "Content-Type: application/json",
        "Idempotency-Key: many-at-once",
    )
    headers = [part for each in told for part in ("-H", each)]
    command = ["curl", "-sS", *headers, "-d", json.dumps(DECLARED), f"{running.console}/api/v1/incidents"]

    def declare(_: int) -> str:
        said = subprocess.run(command, capture_output=True, timeout=120, check=True).stdout
        found: str = json.loads(said)["id"]
        return found

    with ThreadPoolExecutor(8) as several:
        ids = set(several.map(declare, range(8)))
    assert len(ids) == 1


def test_what_the_console_refuses_is_a_problem_too(running: Running) -> None:
    with running.client() as api:
        for headers, path, status in (
            ({"host": "evil.example"}, "/incidents", 421),
            ({}, "/" + "x" * 600, 414),
            ({}, "/incidents/%0a", 404),
            ({"sec-fetch-site": "cross-site", "authorization": "none"}, "/incidents", 401),
        ):
            refused = api.get(path, headers=headers)
            assert refused.status_code == status, path
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json()["type"].startswith("/api/v1/problems/")


def test_a_revoked_token_is_worth_nothing_at_once(running: Running) -> None:
    said = running.installation.run("token", "create", "gone", "--scope", "read", "--json").json
    headers = {"authorization": f"Bearer {said['token']}"}
    address = f"{running.console}/api/v1/incidents"
    assert httpx.get(address, headers=headers).status_code == 200
    running.installation.run("token", "revoke", "gone")
    refused = httpx.get(address, headers=headers)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")


def test_the_examples_of_the_documentation_run(running: Running) -> None:
    text = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    examples = [each for each in _EXAMPLES.findall(text) if not each.startswith("export")]
    assert len(examples) >= 7
    environment = {"PATH": os.environ["PATH"], "HOLDFAST": running.console, "TOKEN": running.token}
    for example in examples:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", example],
            env=environment,
            cwd=Path("/"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (example, done.stdout, done.stderr)
        assert isinstance(json.loads(done.stdout), dict), example


def test_nothing_that_was_called_with_is_in_a_log(running: Running) -> None:
    logs = "".join(
        (running.installation.data_dir / "log" / f"{role}.log").read_text()
        for role in ("console", "site", "controller")
    )
    assert running.token not in logs
