"""Jobs of a whole Holdfast: posted, indexed by its follower, listed, exported, traced, and who read them."""

import csv
import json
import re
import subprocess
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import httpx
import openpyxl
import pytest
from tests.installation import PROGRAM, Installation, eventually, free_port, installed
from tests.ledger_process import NAME, NDJSON, SEED, posted, verifier_key

from holdfast.adapters.packing.segments import ZstdSegments
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
COUNT = 5000
BLOCK = 4096


class Running:
    """An installation with COUNT records of acme, the last of which corrects leaf 7, and one of another's."""

    def __init__(self, installation: Installation, console: int, ledger: int) -> None:
        self.installation = installation
        self.console = f"http://127.0.0.1:{console}"
        for tenant in ("acme", "other"):
            self.run("tenant", "add", tenant)
        for tenant, count in (("acme", COUNT - 1), ("other", 1)):
            source = self.run("source", "add", "spooler", "--tenant", tenant, "--kind", "client", "--json")
            headers = {"authorization": f"Bearer {json.loads(source)['token']}", "content-type": NDJSON}
            body = posted(range(count), tenant=tenant)
            if tenant == "acme":
                fix = {"actor": "ops", "leaf": 7, "reason": "counted twice"}
                body += b"\n" + posted([count], corrects=fix)
            answer = httpx.post(
                f"http://127.0.0.1:{ledger}/v1/records", content=body, headers=headers, timeout=60
            )
            assert answer.status_code == 200, answer.text
        said = installation.run(
            "token", "create", "robot", "--scope", "ledger:read", "--scope", "audit:read", "--json"
        )
        self.token: str = said.json["token"]

    def run(self, *arguments: str, code: int = 0) -> str:
        return self.installation.run("ledger", *arguments, code=code).out

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=f"{self.console}/api/v1/ledger", headers=headers, timeout=60)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site, console, ledger = free_port(), free_port(), free_port()
    estate = ESTATE.format(site=site, console=console, ledger=ledger, name=NAME)
    key = PrivateKey(NAME, SEED).text(verifier_key().public)
    folder = tmp_path_factory.mktemp("jobs") / "holdfast"
    with installed(folder, estate, LEDGER_KEY=key) as installation:
        installation.up()
        eventually(
            lambda: httpx.get(f"http://127.0.0.1:{ledger}/health/ready").status_code == 200,
            "it takes records",
        )
        yield Running(installation, console, ledger)


def test_the_follower_indexes_what_came_in(running: Running) -> None:
    def indexed() -> bool:
        query = "SELECT position FROM ledger.followed WHERE fold = 'finding' ORDER BY position"
        return running.installation.query(query) == [(1,), (COUNT,)]

    eventually(indexed, "everything is indexed")
    [(block, occurred)] = running.installation.query("SELECT block, occurred_from::text FROM ledger.finding")
    assert (block, occurred) == (0, "2026-11-22 12:00:00+00")
    mentions = running.installation.query("SELECT leaf, by, what, void FROM ledger.mention")
    assert mentions == [(7, COUNT - 1, "correction", False)]


def test_jobs_on_the_command_line(running: Running) -> None:
    shown = running.run("jobs", "--tenant", "acme", "--device", "mfp-7", "--limit", "3")
    assert re.findall(r"^(\d+) .*spooler-(\d+)", shown, re.MULTILINE) == [
        ("4957", "4957"),
        ("4907", "4907"),
        ("4857", "4857"),
    ]
    assert "Older ones: --below 4857" in shown
    told = json.loads(running.run("jobs", "--tenant", "acme", "--job", "spooler-7", "--json"))
    assert [(each["leaf"], each["standing"], each["corrected_by"]) for each in told["jobs"]] == [
        (7, "corrected", COUNT - 1)
    ]
    assert "No job is like that" in running.run("jobs", "--tenant", "acme", "--user", "nobody")
    assert (
        "there is no kind 'plot'"
        in running.installation.run("ledger", "jobs", "--tenant", "acme", "--kind", "plot", code=1).err
    )
    assert "has no entries" in running.installation.run("ledger", "jobs", "--tenant", "x", code=1).err


def test_exports_on_the_command_line(running: Running, tmp_path: Path) -> None:
    out = tmp_path / "jobs.csv"
    said = running.run("jobs", "--tenant", "acme", "--out", str(out), "--columns", "leaf,job,sheets")
    assert f"{COUNT:,} jobs written" in said
    rows = list(csv.reader(StringIO(out.read_text(encoding="utf-8"), newline="")))
    assert (rows[0], rows[-1], len(rows)) == (["leaf", "job", "sheets"], ["0", "spooler-0", "0"], COUNT + 1)
    book = tmp_path / "jobs.xlsx"
    running.run("jobs", "--tenant", "acme", "--device", "mfp-7", "-o", str(book))
    cells = list(openpyxl.load_workbook(book).worksheets[0].iter_rows(values_only=True))
    assert len(cells) == 1 + COUNT // 50
    lines = running.run("jobs", "--tenant", "other", "--format", "ndjson").splitlines()
    assert [json.loads(line)["entry"]["tenant"] for line in lines] == ["other"]
    failed = running.installation.run(
        "ledger", "jobs", "--tenant", "nobody", "--out", str(tmp_path / "x.csv"), code=1
    )
    assert "has no entries" in failed.err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["jobs.csv", "jobs.xlsx"]


def test_who_reads_only_the_first_line_ends_an_export(running: Running) -> None:
    installation = running.installation
    command = [*PROGRAM, "ledger", "jobs", "--tenant", "acme", "--format", "ndjson"]
    with subprocess.Popen(
        command, env=installation.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["leaf"] == COUNT - 1
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (1, "holdfast: the rest cannot be written: Broken pipe\n")
    newest = json.loads(running.run("accesses", "--tenant", "acme", "--limit", "1", "--json"))["accesses"][0]
    assert (newest["act"], newest["entries"]) == ("export", None)


def test_a_trace_proves_and_tells_who_read(running: Running) -> None:
    with running.client() as api:
        assert api.get("/jobs", params={"tenant": "acme", "job": "spooler-4711"}).status_code == 200
    shown = running.run("trace", "--tenant", "acme", "--job", "spooler-4711")
    assert "proved in the" in shown
    assert "not checked" not in shown
    assert re.search(r"robot +api +read +1 +job spooler-4711", shown)
    whole = json.loads(running.run("trace", "--tenant", "acme", "--leaf", "7", "--json"))
    assert [each["leaf"] for each in whole["entries"]] == [7, COUNT - 1]
    assert all(each["proof"]["holds"] for each in whole["entries"])
    who = running.run("accesses", "--tenant", "acme")
    assert re.search(r"command line \(\w+\) +cli +trace", who)
    assert running.installation.query("SELECT count(*) FROM ledger.access WHERE who LIKE '%%robot'") == [(1,)]


def test_the_api_reads_one_tenant_at_a_time(running: Running) -> None:
    with running.client() as api:
        other = api.get("/jobs", params={"tenant": "other"}).json()
        assert [each["entry"]["tenant"] for each in other["items"]] == ["other"]
        assert api.get("/trace", params={"tenant": "other", "leaf": 1}).status_code == 404
        assert api.get("/jobs", params={"tenant": "*"}).status_code == 422
        traced = api.get("/trace", params={"tenant": "other", "leaf": 0}).json()["entries"][0]["proof"]
        # The estate declares no public key, and the console has no business with the signing key.
        assert (traced["holds"], traced["reason"]) == (
            True,
            "the checkpoint's signature was not checked: the estate has no ledger.public_key",
        )
        with api.stream("GET", "/jobs/export", params={"tenant": "acme", "format": "csv"}) as answer:
            assert sum(1 for _ in answer.iter_lines()) == COUNT + 1


def test_the_index_is_made_anew(running: Running) -> None:
    def whole() -> bool:
        said = running.run("reindex", "--tenant", "acme", "--check")
        assert "no difference" in said
        return f"{COUNT:,} of {COUNT:,} entries are indexed" in said

    assert "dropped" in running.run("reindex", "--tenant", "acme")
    eventually(whole, "the follower has made it anew")
    running.installation.query("UPDATE ledger.mention SET by = by - 1 RETURNING 1")
    said = running.run("reindex", "--tenant", "acme", "--check", code=1)
    assert "2 differences" in said
    running.run("reindex", "--tenant", "acme")
    eventually(whole, "the follower has made it anew")


def test_a_flipped_bit_is_an_exit_code(running: Running) -> None:
    [(first, entries)] = running.installation.query(
        "SELECT first, entries FROM ledger.segment JOIN ledger.log ON log_id = id WHERE tenant = 'other'"
    )
    assert first == 0
    content = ZstdSegments().unpack(entries, 1 << 20).replace(b'"A4":0', b'"A4":9')
    packed = ZstdSegments().pack(content)
    running.installation.query(
        "UPDATE ledger.segment SET entries = %s WHERE entries = %s RETURNING 1", packed, entries
    )
    shown = running.run("trace", "--tenant", "other", "--leaf", "0", code=1)
    assert "PROOF DOES NOT HOLD" in shown
