"""Damaged data, drilled at the command line on the real lab: damaged in each way, put back, and proven."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.installation import Installation, eventually, fetch, free_port, installed
from tests.two_regions import example_at, free_regions_port

from holdfast.lab.regions import layout as at
from holdfast.lab.regions.layout import REGIONS_OFFSET

PATIENCE_S = 240.0
HOST = "127.0.1.1"
LOGIN = "host: {host}, port: {port}, user: postgres, tls: 'off', password: 'file:{secrets}/regions-superuser'"
BACKUPS = """
console: {{listen: "127.0.0.1:{console}"}}
databases:
  jobs:
    name: Jobs
    cluster: print
    connection: {{{login}}}
    copies: {{a: {{}}, b: {{}}}}
    heartbeat: 1s
    verification: {{every: 300d, dbname: printcloud_print}}
backup:
  stores:
    a: {{to: "file://{regions}/a/objects"}}
    b: {{to: "file://{regions}/b/objects"}}
"""
RECOVERY = """
recovery:
  listen: "127.0.0.1:{recovery}"
  databases:
    jobs: {{owner: {{{login}, dbname: printcloud_print}}}}
  drills:
    jobs-damaged: {{scenario: corruption, subject: jobs, where: lab, target: {{rpo: 5m, rto: 10m}}}}
"""


@dataclass(frozen=True)
class LabWithBackups:
    """The lab, with its database in the backups of both regions."""

    holdfast: Installation
    edge: str

    def submit(self, title: str) -> dict[str, Any]:
        """As a user does, through the edge."""
        body = json.dumps({"owner": "ada", "title": title, "pages": 3}).encode()
        request = Request(f"{self.edge}/jobs", body, {"content-type": "application/json"})
        with urlopen(request, timeout=20) as answer:
            assert answer.status == 201
            job: dict[str, Any] = json.load(answer)
            return job

    def look(self, job: dict[str, Any]) -> dict[str, Any]:
        """As a user does."""
        status, text = fetch(f"{self.edge}/jobs/{job['id']}")
        assert status == 200, text
        seen: dict[str, Any] = json.loads(text)
        return {**seen, "status": "queued", "printed_at": None}


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWithBackups]:
    base = free_regions_port()
    folder = tmp_path_factory.mktemp("d") / "h"  # a socket's path must be short
    regions = folder / "data" / "lab" / "regions"
    port = base + REGIONS_OFFSET
    login = LOGIN.format(host=HOST, port=port + at.POSTGRES, secrets=regions / "secrets")
    listen = f'  listen: "127.0.0.1:{free_port()}"\n'
    estate = example_at(base).replace("  languages: [en, de]\n", listen)
    recovery = RECOVERY.format(login=login, recovery=free_port())
    estate = estate.replace("\nrecovery:\n  drills:\n", recovery, 1)
    estate += BACKUPS.format(login=login, regions=regions, console=free_port())
    with installed(folder, estate, HOLDFAST_LAB_BASE_PORT=str(base)) as holdfast:
        try:
            holdfast.run("lab", "up", within_s=PATIENCE_S)
            yield LabWithBackups(holdfast, f"http://{HOST}:{port + at.EDGE}")
        finally:
            with contextlib.suppress(AssertionError):
                holdfast.run("lab", "down", within_s=PATIENCE_S)


@pytest.mark.timeout(900)
def test_damage_of_each_kind_is_drilled_and_every_job_is_as_it_was(lab: LabWithBackups) -> None:
    holdfast = lab.holdfast
    job = eventually(lambda: _submitted(lab), "the lab takes a job")
    holdfast.up()
    eventually(lambda: holdfast.role("recovery") is not None, "recovery runs", PATIENCE_S)

    for number, how in enumerate(("update", "drop", "flip"), start=1):
        said = holdfast.run("drill", "corruption", "jobs", "--how", how, code=None, within_s=PATIENCE_S)
        assert said.code == 0, (how, said, holdfast.log("recovery")[-3000:])
        evidence = holdfast.run("evidence", "list", "--json").json["evidence"]
        assert len(evidence) == number
        it = evidence[0]
        assert (it["subject"], it["scenario"], it["drill"], it["where"]) == (
            "jobs",
            "corruption",
            True,
            "lab",
        )
        assert it["what"].endswith(f"put back after damage by {how}")
        # What was written into a table that is gone cannot be told: then it is a bound.
        assert it["rpo"]["measured_ms"] <= (it["rpo"]["target_ms"] if how == "drop" else 0), it
        assert 0 < it["rto"]["measured_ms"] < it["rto"]["target_ms"], it
        holds = {each["name"]: each["holds"] for each in it["invariants"]}
        assert holds == {"check": "holds", "every job is as it was": "holds"}
        assert it["passed"], it
        assert lab.look(job) == job, "but for its being printed"
        lab.submit(f"after {how}")
        assert "broken" not in holdfast.run("lab", "status").out
    assert holdfast.run("drill", "list", "--json").json["drills"][0]["expired"] is False
    assert "it holds" in holdfast.run("evidence", "verify").out


def _submitted(lab: LabWithBackups) -> dict[str, Any] | None:
    try:
        return lab.submit("before")
    except OSError:
        return None
