"""Reports of a whole Holdfast: posted, summed up by its follower, told, compared with the log, made anew."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
from tests.installation import Installation, eventually, free_port, installed
from tests.ledger_process import NAME, NDJSON, SEED, posted, verifier_key

from holdfast.bootstrap.ledger.following import NICENESS
from holdfast.ledger.log.keys import PrivateKey

ESTATE = """\
version: 1
site: {{title: Test, listen: "127.0.0.1:{site}"}}
console: {{listen: "127.0.0.1:{console}"}}
regions: {{here: {{name: Here}}}}
clusters:
  eu:
    name: EU
    region: here
    components:
      api: {{name: API, checks: {{http: {{url: "http://127.0.0.1:{site}/health/live", every: 1h}}}}}}
ledger:
  name: {name}
  listen: "127.0.0.1:{ledger}"
  signing_key: env:LEDGER_KEY
"""
COUNT = 3000


class Running:
    """An installation in which acme has posted COUNT records."""

    def __init__(self, installation: Installation, console: int, ledger: int) -> None:
        self.installation = installation
        self.console, self._ledger = console, ledger
        self.run("tenant", "add", "acme")
        source = self.run("source", "add", "spooler", "--tenant", "acme", "--kind", "client", "--json")
        self._token: str = json.loads(source)["token"]
        self.post(range(COUNT))

    def post(self, numbers: range) -> None:
        headers = {"authorization": f"Bearer {self._token}", "content-type": NDJSON}
        answer = httpx.post(
            f"http://127.0.0.1:{self._ledger}/v1/records",
            content=posted(numbers),
            headers=headers,
            timeout=60,
        )
        assert answer.status_code == 200, answer.text

    def run(self, *arguments: str, code: int = 0) -> str:
        return self.installation.run("ledger", *arguments, code=code).out

    def report(self, *arguments: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.run("report", "2026", "--json", *arguments))
        return told

    def summed(self, count: int) -> None:
        eventually(
            lambda: (
                self.installation.query("SELECT position FROM ledger.followed WHERE fold = 'rollups'")
                == [(count,)]
            ),
            "everything is summed up",
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site, console, ledger = free_port(), free_port(), free_port()
    estate = ESTATE.format(site=site, console=console, ledger=ledger, name=NAME)
    key = PrivateKey(NAME, SEED).text(verifier_key().public)
    folder = tmp_path_factory.mktemp("reports") / "holdfast"
    with installed(folder, estate, LEDGER_KEY=key) as installation:
        installation.up()
        eventually(
            lambda: httpx.get(f"http://127.0.0.1:{ledger}/health/ready").status_code == 200,
            "it takes records",
        )
        yield Running(installation, console, ledger)


def test_reports_on_the_command_line_and_over_the_api(running: Running, tmp_path: Path) -> None:
    running.summed(COUNT)
    told = running.report("--tenant", "acme", "--by", "device")
    assert told["total"]["jobs"] == sum(row["jobs"] for row in told["rows"]) == COUNT
    assert (told["members"], told["behind"]) == (len(told["rows"]), 0)
    shown = running.run("report", "2026-11", "--tenant", "acme", "--by", "cost-centre")
    assert "total" in shown
    book = tmp_path / "year.xlsx"
    running.run("report", "2026", "--by", "tenant", "--per", "month", "-o", str(book))
    rows = list(openpyxl.load_workbook(book).worksheets[0].iter_rows(values_only=True))
    assert rows[1][1:3] == ("acme", COUNT)
    failed = running.installation.run("ledger", "report", "--tenant", "nobody", code=1)
    assert "there is no tenant 'nobody'" in failed.err

    said = running.installation.run("token", "create", "robot", "--scope", "ledger:read", "--json")
    headers = {"authorization": f"Bearer {said.json['token']}"}
    answer = httpx.get(
        f"http://127.0.0.1:{running.console}/api/v1/ledger/report",
        params={"since": "2026-01-01", "until": "2027-01-01", "by": "device", "tenant": "acme"},
        headers=headers,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == told["rows"]


def test_sums_are_compared_with_the_log_and_made_anew(running: Running) -> None:
    running.summed(COUNT)
    before = running.report("--by", "device", "--per", "day")
    assert "the roll-ups are what the logs come to" in running.run("verify", "--rollups")
    running.installation.query(
        "UPDATE ledger.sums SET sheets = sheets + 1 WHERE dimension = 1 AND grain = 0 RETURNING 1"
    )
    differs = running.installation.run("ledger", "verify", "--tenant", "acme", "--rollups", code=1)
    assert "roll-ups: acme: device over" in differs.err
    assert "the sums of acme were made anew" in running.run("rebuild", "--tenant", "acme")
    assert "the roll-ups are what the logs come to" in running.run("verify", "--rollups")
    assert running.report("--by", "device", "--per", "day") == before
    assert running.installation.run("ledger", "rebuild", "--tenant", "nobody", code=1).err


def test_a_follower_that_was_killed_is_started_again_and_counts_nothing_twice(running: Running) -> None:
    running.summed(COUNT)
    killed = _follower(running)
    os.kill(killed, signal.SIGKILL)
    running.post(range(COUNT - 10, COUNT + 50))
    running.summed(COUNT + 50)
    assert running.report()["total"]["jobs"] == COUNT + 50
    assert _follower(running) != killed


def _follower(running: Running) -> int:
    """The child of the ledger's process that is nicer than it."""
    role = running.installation.role("ledger")
    assert role is not None
    _, nice = _parent_and_niceness(role)
    found = list[int]()
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if _parent_and_niceness(int(each.name)) == (role, min(nice + NICENESS, 19)):
                found.append(int(each.name))
    assert len(found) == 1
    return found[0]


def _parent_and_niceness(pid: int) -> tuple[int, int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), int(fields[16])
