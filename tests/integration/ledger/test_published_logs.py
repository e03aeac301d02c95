"""Posted, cosigned, published, read and verified: every part as it runs, the verifier somebody else's."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from tests.installation import PROGRAM, eventually
from tests.ledger_process import LedgerProcess, ledger_process, posted, source_token, verifier_key
from tests.ledger_witness import WitnessProcess

from holdfast.adapters.signing.ed25519 import verifies
from holdfast.ledger.log.checkpoint import Checkpoint, verified
from holdfast.ledger.log.keys import named
from holdfast.ledger.log.notes import Note
from holdfast.ledger.log.proof import Proof
from holdfast.ledger.sources import fresh_token, sha256_of

if TYPE_CHECKING:
    from conftest import Database

LOG = named(verifier_key(), "ledger.example/acme")


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[WitnessProcess]:
    process = WitnessProcess(tmp_path / "witness", verifier_key())
    yield process
    process.remove()


@pytest.fixture
def served(migrated_database: "Database", tmp_path: Path, witness: WitnessProcess) -> Iterator[LedgerProcess]:
    witness.start()
    declared = {"witness": witness.declared, "public_key": verifier_key().text}
    with ledger_process(tmp_path / "one", migrated_database.conninfo().dsn, declared) as process:
        yield process


@pytest.fixture
def connection(migrated_database: "Database") -> Iterator[psycopg.Connection]:
    with migrated_database.connect() as connection:
        yield connection


def reader_token(connection: psycopg.Connection, tenant: str = "acme") -> str:
    token = fresh_token()
    connection.execute(
        "INSERT INTO ledger.token (tenant, source, scope, sha256) VALUES (%s, NULL, 'read', %s)",
        [tenant, sha256_of(token)],
    )
    return token


def get(served: LedgerProcess, path: str, token: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"{served.url}{path}", headers=headers, timeout=30)


def published(served: LedgerProcess, size: int, path: str = "/v1/logs/acme/checkpoint") -> str:
    """The checkpoint, once so many leaves are published."""

    def there() -> str:
        answer = httpx.get(served.url + path, timeout=30)
        if answer.status_code == 200:
            return answer.text if Checkpoint.parsed(Note.parsed(answer.text).body).size >= size else ""
        assert answer.status_code == 404, answer.text
        return ""

    return eventually(there, f"{size} leaves are published")


def holdfast(served: LedgerProcess, *arguments: object, code: int = 0) -> str:
    return served.installation.run("ledger", *map(str, arguments), code=code).out


def test_a_log_is_verified_over_http_by_somebody_elses_verifier(
    served: LedgerProcess, witness: WitnessProcess, connection: psycopg.Connection, tmp_path: Path
) -> None:
    token, reader = source_token(connection), reader_token(connection)
    assert served.post(posted(range(1, 301)), token).status_code == 200
    old = published(served, 300)
    (tmp_path / "old").write_text(old)
    for first in range(301, 2701, 800):
        assert served.post(posted(range(first, first + 800)), token).status_code == 200
    new = published(served, 2700)
    found = verified(new, LOG, verifies, witnesses=[witness.key], quorum=1)
    assert list(found.witnesses) == ["witness.example"]

    verifier = tmp_path / "verify_log"
    source = Path(__file__).parents[2] / "third_party" / "verify_log" / "main.go"
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(tmp_path / "cache"),
        "GOFLAGS": "",
        "LOG_TOKEN": reader,
    }
    subprocess.run(["go", "build", "-o", str(verifier), str(source)], check=True, env=environment)
    command = [str(verifier), f"{served.url}/v1/logs/acme", LOG.text, str(tmp_path / "old"), "37"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, "2700 entries\n"), done.stderr
    connection.execute(
        "UPDATE ledger.tile SET hashes = set_byte(hashes, 99, get_byte(hashes, 99) # 1) WHERE quarter = 29"
    )
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1


def test_who_may_read_what(served: LedgerProcess, connection: psycopg.Connection) -> None:
    token, reader = source_token(connection), reader_token(connection)
    source_token(connection, "other")
    foreign = reader_token(connection, "other")
    assert get(served, "/v1/logs/acme/checkpoint").status_code == 404
    served.post(posted(range(1, 601)), token)
    published(served, 600)
    for path in ("tile/0/000", "tile/entries/002.p/88", "tile/1/000.p/2", "proofs/599"):
        address = f"/v1/logs/acme/{path}"
        codes = [get(served, address, each).status_code for each in (reader, "", token, foreign, "hfl_x")]
        assert codes == [200, 401, 403, 403, 401], path
    for path in (
        "0/002",
        "0/003.p/1",
        "0/002.p/89",
        "1/000",
        "9/000",
        "entries/003",
        "0/0",
        "../x",
        "0/000.p/0",
    ):
        assert get(served, f"/v1/logs/acme/tile/{path}", reader).status_code == 404, path
    for leaf in ("600", "-1", "x", "99999999999999999999", "\u0661"):
        assert get(served, f"/v1/logs/acme/proofs/{leaf}", reader).status_code == 404, leaf
    trail = "SELECT who, way, act, first_leaf, end_leaf FROM ledger.access ORDER BY id LIMIT 1"
    [(who, *rest)] = connection.execute(trail).fetchall()
    assert ("token" in who, rest) == (True, ["api", "read", 512, 600])
    full = get(served, "/v1/logs/acme/tile/0/000", reader)
    assert (len(full.content), "immutable" in full.headers["cache-control"]) == (8192, True)
    assert get(served, "/v1/logs/other/checkpoint").status_code == 404

    proof = Proof.parsed(get(served, "/v1/logs/acme/proofs/431", reader).text)
    entry = json.loads(holdfast(served, "verify", "--tenant", "acme", "--leaf", 431, "--json"))
    assert proof.verify(entry["entry"].encode(), LOG, verifies).checkpoint.size == 600
    assert holdfast(served, "proof", 431, "--tenant", "acme") == proof.text

    over_all = published(served, 1, "/v1/checkpoint")
    assert verified(over_all, verifier_key(), verifies).checkpoint.size == 1
    listed = get(served, "/v1/logs/acme/listed", reader).text
    body, _, text = listed.partition("\nc2sp.org/")
    Proof.parsed(f"c2sp.org/{text}").verify(body.encode(), verifier_key(), verifies)
    assert Checkpoint.parsed(body).origin == "ledger.example/acme"


def test_verified_bundled_and_verified_elsewhere(
    served: LedgerProcess, witness: WitnessProcess, connection: psycopg.Connection, tmp_path: Path
) -> None:
    token = source_token(connection)
    for first in (1, 1001, 2001):
        served.post(posted(range(first, first + 1000)), token)
    served.post(posted([5], job="another"), token)
    kept = published(served, 3001)
    found = json.loads(holdfast(served, "verify", "--json"))
    assert (found["holds"], found["witness"]) == (True, "agrees")
    [log] = [each for each in found["logs"] if each["tenant"] == "acme"]
    assert (log["entries"], log["tiles"], log["findings"]) == (3001, 11, [])
    (tmp_path / "kept").write_text(kept)
    told = holdfast(served, "verify", "--tenant", "acme", "--since", tmp_path / "kept")
    assert "goes on from the checkpoint of 3,001 leaves" in told

    key = holdfast(served, "key", "show").strip()
    assert key == verifier_key().text
    for name, chosen, entries in (
        ("all.bundle", (), 3001),
        ("all.bundle.gz", (), 3001),
        ("some.bundle", ("--leaf", "17", "--leaf", "1000-1009"), 11),
        ("none.bundle", ("--received-to", "2000-01-01"), 0),
        ("found.bundle", ("--device", "mfp-3", "--device", "mfp-4"), 120),
        ("one.bundle", ("--job", "spooler-18", "--leaf", "0-100"), 1),
        ("other.bundle", ("--job", "spooler-18", "--leaf", "90-100"), 0),
    ):
        made = tmp_path / name
        holdfast(served, "bundle", "--tenant", "acme", "--out", made, *chosen)
        told = elsewhere(tmp_path, made, key, "--key", witness.key.text, "--json")
        assert json.loads(told.stdout)["entries"] == entries, told.stderr
        printed = elsewhere(tmp_path, made, key, "--entries").stdout
        assert len([json.loads(line) for line in printed.splitlines()]) == entries
    trail = connection.execute(
        "SELECT a.first_leaf, a.end_leaf, e.entries FROM ledger.access AS a"
        " LEFT JOIN ledger.access_ended AS e ON e.access_id = a.id WHERE a.tenant = 'acme' ORDER BY a.id"
    ).fetchall()
    whole = (0, 3001, 3001)
    assert trail[:4] == [whole, whole, (17, 18, 1), (1000, 1010, 10)]
    assert holdfast(served, "bundle", "--tenant", "acme", "--out", tmp_path / "all.bundle", code=1) == ""
    assert elsewhere(tmp_path, made, witness.key.text).returncode == 1
    content = (tmp_path / "some.bundle").read_bytes()
    (tmp_path / "bad.bundle").write_bytes(content.replace(b'"job":"spooler-18"', b'"job":"spooler-19"'))
    refused = elsewhere(tmp_path, tmp_path / "bad.bundle", key)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "do not lead to the root" in refused.stderr


def elsewhere(tmp_path: Path, bundle: Path, key: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Verified where there is neither estate nor database."""
    away = tmp_path / "away"
    away.mkdir(exist_ok=True)
    command = [*PROGRAM, "ledger", "verify", "--bundle", str(bundle), "--key", key, *more]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True, check=False)


def test_leaves_that_the_witness_has_seen_and_the_database_has_lost(
    served: LedgerProcess, witness: WitnessProcess, connection: psycopg.Connection
) -> None:
    """As after a failover to a region that lacked them: nothing is published any more, and it is said why."""
    token = source_token(connection)
    served.post(posted(range(1, 11)), token)
    published(served, 10)
    served.post(posted(range(11, 21)), token)
    published(served, 20)
    served.kill()
    connection.execute("SET session_replication_role = replica")
    for statement in (
        "DELETE FROM ledger.growth WHERE from_size = 10",
        "DELETE FROM ledger.segment WHERE first = 10",
        "DELETE FROM ledger.run WHERE leaf = 10",
        "DELETE FROM ledger.published WHERE size = 20",
    ):
        connection.execute(statement)
    served.start()
    served.post(posted(range(31, 41)), token)
    figure = 'holdfast_ledger_publishing_waits{reason="fork"} 1'
    eventually(lambda: figure in httpx.get(f"{served.url}/metrics").text, "the fork is told")
    assert Checkpoint.parsed(Note.parsed(published(served, 10)).body).size == 10
    found = json.loads(holdfast(served, "verify", "--json", code=1))
    assert found["witness"] == "differs"
    told = [each["text"] for log in found["logs"] for each in log["findings"] if each["what"] == "witness"]
    assert told
    events = "SELECT facts FROM holdfast.journal WHERE event = 'ledger.publishing_waits'"
    eventually(lambda: connection.execute(events).fetchall(), "the journal has it")
    [(facts,)] = connection.execute(events).fetchall()
    assert "published leaves are missing" in facts["hint"] or "another checkpoint" in facts["text"]

    # They are gone for good: the log is closed, and its sources go on in another one.
    asked = ("tenant", "continue", "acme", "--as", "acme-2", "--reason", "burnt")
    holdfast(served, *asked, code=1)  # nobody is there to say yes
    gone_on = json.loads(holdfast(served, *asked, "--json"))
    assert served.post(posted(range(41, 51)), token).status_code == 401
    answer = served.post(posted(range(11, 21), tenant="acme-2"), gone_on["tokens"]["spooler"])
    assert answer.status_code == 200, answer.text
    published(served, 10, "/v1/logs/acme-2/checkpoint")
    eventually(lambda: figure not in httpx.get(f"{served.url}/metrics").text, "nobody waits for it any more")
    over = "SELECT facts->>'reason' FROM holdfast.journal WHERE event = %s"
    eventually(
        lambda: ("fork",) in connection.execute(over, ["ledger.publishing_goes_on"]).fetchall(), "it is over"
    )
    assert connection.execute(over, ["ledger.tenant_continued"]).fetchall() == [("burnt",)]
    assert "holds" in holdfast(served, "verify", "--tenant", "acme-2")
    assert '"seq":1,' in holdfast(served, "verify", "--tenant", "acme", "--leaf", "0")


def test_while_the_witness_is_away_nothing_is_published(
    served: LedgerProcess, witness: WitnessProcess, connection: psycopg.Connection
) -> None:
    token = source_token(connection)
    witness.end(signal.SIGKILL)
    answer = served.post(posted(range(1, 11)), token)
    assert (answer.status_code, answer.json()["checkpoint"] or "") == (200, "")
    figure = 'holdfast_ledger_publishing_waits{reason="witness_away"} 1'
    eventually(lambda: figure in httpx.get(f"{served.url}/metrics").text, "it is told")
    assert get(served, "/v1/logs/acme/checkpoint").status_code == 404
    assert "was not asked" in json.loads(holdfast(served, "verify", "--json"))["witness"]
    witness.start()
    published(served, 10)
    eventually(lambda: figure not in httpx.get(f"{served.url}/metrics").text, "it is over")


def test_what_is_declared_can_be_tried_beforehand(
    served: LedgerProcess, witness: WitnessProcess, tmp_path: Path
) -> None:
    def tried() -> dict[str, tuple[bool, str]]:
        said = served.installation.run("check", "--json", code=None)
        findings = json.loads(said.out)["findings"]
        return {each["subject"]: (each["ok"], each["text"]) for each in findings}

    found = tried()
    assert found["ledger.signing_key"] == (True, f"signs as {verifier_key().text}")
    assert found["ledger.witness"] == (True, "cosigns, and has seen nothing of this ledger yet")
    witness.end(signal.SIGTERM)
    ok, text = tried()["ledger.witness"]
    assert (ok, "does not answer" in text) == (False, True)
    other = WitnessProcess(tmp_path / "other", named(verifier_key(), "elsewhere.example"))
    other.port, other.url, other.key = witness.port, witness.url, witness.key
    other.start()
    ok, text = tried()["ledger.witness"]
    other.remove()
    assert (ok, "not known here" in text) == (False, True)
