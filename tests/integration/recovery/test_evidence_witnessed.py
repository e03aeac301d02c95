"""Evidence under a real witness, on a whole Holdfast: cosigned, away, back, and lost entries found out."""

import contextlib
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.installation import Installation, eventually, fetch, free_port, installed
from tests.ledger_witness import WitnessProcess

from holdfast.adapters.signing.ed25519 import new_key, signer_of
from holdfast.recovery.model import Playbook, Run, Step

ESTATE = """\
version: 1
site: {{listen: "127.0.0.1:{site}"}}
console: {{listen: "127.0.0.1:{console}"}}
regions: {{eu: {{name: Europe}}}}
clusters:
  eu:
    name: Europe
    region: eu
    components:
      api:
        name: API
        checks: {{http: {{url: "http://127.0.0.1:9/", every: 1h}}}}
recovery:
  listen: "127.0.0.1:{listen}"
  evidence:
    signing_key: "file:evidence.key"
    witness: {{url: "{url}", key: "{key}"}}
"""
NAME = "holdfast/evidence"

pytestmark = pytest.mark.timeout(600)  # many commands, one after the other


@dataclass
class Witnessed:
    """A Holdfast that runs, and the witness of its log of evidence, which runs too."""

    holdfast: Installation
    witness: WitnessProcess
    key: str
    ports: dict[str, int]

    def record(self, run_id: str) -> None:
        """A run that sets a mark, as a console on another machine would begin it; its evidence is kept."""
        step = Step(name="mark", title="Mark", action="practice.set", given={"mark": run_id, "seconds": "0"})
        run = Run(
            id=run_id,
            playbook=Playbook(name="practice", title="Practice", stages=[step]),
            subject="eu",
            started_by="ada",
            started_at=datetime.now(UTC),
        )
        with contextlib.closing(self.holdfast.connect()) as connection:
            connection.execute(
                "INSERT INTO recovery.run (id, subject, playbook, moves_traffic, state, run)"
                " VALUES (%s, 'eu', 'practice', false, 'running', %s::jsonb)",
                [run_id, msgspec.json.encode(run).decode()],
            )
            connection.execute("SELECT pg_notify('holdfast_recovery', %s)", [run_id])
        evidence = "SELECT count(*) FROM recovery.evidence WHERE run = %s"
        eventually(lambda: self.holdfast.query(evidence, run_id) == [(1,)], "its evidence is kept")

    def cosigned(self) -> int:
        [(found,)] = self.holdfast.query("SELECT coalesce(max(leaf) + 1, 0) FROM recovery.evidence_cosigned")
        return int(found)

    def figures(self) -> str:
        return fetch(f"http://127.0.0.1:{self.ports['listen']}/metrics")[1]


@pytest.fixture
def witnessed(tmp_path: Path) -> Iterator[Witnessed]:
    folder = tmp_path / "whole"
    folder.mkdir()
    key = new_key(NAME)
    public = signer_of(key).key
    file = folder / "evidence.key"
    file.touch(0o600)
    file.write_text(key.text(public.public))
    witness = WitnessProcess(tmp_path / "witness", public)
    ports = {name: free_port() for name in ("site", "console", "listen")}
    text = ESTATE.format(**ports, url=witness.url, key=witness.key.text)
    witness.start()
    try:
        with installed(folder, text) as holdfast:
            holdfast.up()
            yield Witnessed(holdfast, witness, public.text, ports)
    finally:
        witness.remove()


def test_a_witness_vouches_for_evidence_and_what_it_does_not_is_said(witnessed: Witnessed) -> None:
    holdfast, witness = witnessed.holdfast, witnessed.witness
    assert "cosigns, and has seen no evidence yet" in holdfast.run("check", code=None).out
    witnessed.record("first")
    eventually(lambda: witnessed.cosigned() == 1, "it is cosigned")
    holdfast.run("evidence", "export", "--json", "--to", "first.json")
    assert "cosigned up to entry 1, the newest" in holdfast.run("evidence", "list").out
    said = holdfast.run("evidence", "verify").out
    assert "cosigned up to entry 1 of 1 by witness.example" in said
    assert "the witness agrees" in said

    witness.end(signal.SIGTERM)
    witnessed.record("second")
    witnessed.record("third")
    _waits(witnessed, "witness_away")
    told = holdfast.run("evidence", "list", "--json").json["log"]
    assert (told["size"], told["cosigned"], told["waits"]["reason"]) == (3, 1, "witness_away")
    assert "2 not cosigned since" in holdfast.run("evidence", "list").out
    said = holdfast.run("evidence", "verify").out
    assert "it holds" in said
    assert "not cosigned by a witness whose key is known: 2 of 3 entries: " in said
    assert "the witness was not asked: the witness does not answer" in said
    assert 'holdfast_recovery_evidence_waits{reason="witness_away"} 1' in witnessed.figures()
    holdfast.run("evidence", "export", "--json", "--to", "second.json")
    _proven_elsewhere(witnessed)

    witness.start()
    eventually(lambda: witnessed.cosigned() == 3, "what was kept meanwhile is cosigned", 120)
    eventually(lambda: holdfast.query("SELECT 1 FROM recovery.evidence_waiting") == [], "nothing waits")
    assert "cosigned up to entry 3, the newest" in holdfast.run("evidence", "list").out
    assert "has cosigned 3 entries" in holdfast.run("check", code=None).out

    _the_api_tells_the_same(witnessed)
    _what_is_gone_is_found(witnessed)


def _waits(witnessed: Witnessed, reason: str) -> None:
    waiting = "SELECT reason FROM recovery.evidence_waiting"
    eventually(lambda: witnessed.holdfast.query(waiting) == [(reason,)], f"it waits: {reason}", 120)


def _proven_elsewhere(witnessed: Witnessed) -> None:
    """By who has the files and the two keys, and nothing else."""
    elsewhere = Installation(witnessed.holdfast.folder / "elsewhere")
    elsewhere.folder.mkdir()
    for name in ("first.json", "second.json"):
        (elsewhere.folder / name).write_bytes((witnessed.holdfast.folder / name).read_bytes())
    log, witness = ("--key", witnessed.key), ("--key", witnessed.witness.key.text)
    verify = ("evidence", "verify", "--offline")

    said = elsewhere.run(*verify, "first.json", *log, *witness).out
    assert "1 of 1 entries looked at: it holds" in said
    assert "cosigned up to entry 1 of 1 by witness.example" in said
    said = elsewhere.run(*verify, "first.json", *log).out
    assert "not cosigned by a witness whose key is known" in said
    said = elsewhere.run(*verify, "second.json", *log, *witness, code=1).out
    assert "no witness whose key was given has cosigned leaf 1, 2" in said
    assert "it does NOT hold" in said
    assert "it holds" in elsewhere.run(*verify, "second.json", *log, "--continues", "first.json").out
    shrunk = elsewhere.run(*verify, "first.json", *log, *witness, "--continues", "second.json", code=1).out
    assert "tells of 3 entries, and the log has 1" in shrunk


def _the_api_tells_the_same(witnessed: Witnessed) -> None:
    token = witnessed.holdfast.run("token", "create", "auditor", "--scope", "read", "--json").json["token"]
    url = f"http://127.0.0.1:{witnessed.ports['console']}"
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
        page = client.get("/api/v1/evidence", params={"limit": "2"}).json()
        assert [each["run"] for each in page["items"]] == ["third", "second"]
        assert (page["log"]["cosigned"], page["log"]["waits"]) == (3, None)
        assert client.get(f"/api/v1/evidence/{page['items'][0]['id']}").json()["cosigned"] is True
        bundle = client.get("/api/v1/evidence/bundle").content
        figures = client.get("/metrics").text
    assert json.loads(bundle)["cosigned"] == 3
    assert "holdfast_evidence_entries 3" in figures
    assert "holdfast_evidence_not_cosigned 0" in figures
    assert 'holdfast_recovery_runs{state="done"} 3' in figures


def _what_is_gone_is_found(witnessed: Witnessed) -> None:
    """The database is as it was before the newest entry: from a backup, or somebody took it away."""
    holdfast = witnessed.holdfast
    with contextlib.closing(holdfast.connect()) as owner:
        owner.execute("ALTER TABLE recovery.evidence_cosigned DISABLE TRIGGER append_only")
        owner.execute("ALTER TABLE recovery.evidence DISABLE TRIGGER append_only")
        owner.execute("DELETE FROM recovery.evidence_cosigned WHERE leaf = 2")
        owner.execute("DELETE FROM recovery.evidence WHERE leaf = 2")
        owner.execute("DELETE FROM recovery.evidence_cosigned WHERE leaf = 1")
    said = holdfast.run("evidence", "verify", code=1)
    assert "the witness: it has cosigned" in said.out
    # The run whose evidence was taken is recorded again: at another time, and so it is another entry.
    _waits(witnessed, "fork")
    assert 'holdfast_recovery_evidence_waits{reason="fork"} 1' in witnessed.figures()
    said = holdfast.run("evidence", "verify", code=1)
    assert "the witness: " in said.out
    assert "it does NOT hold" in said.out
