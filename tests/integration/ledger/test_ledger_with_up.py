"""`holdfast up` with a ledger: its process is one of the roles, over a database of Holdfast's own."""

import contextlib
import os
import signal
from pathlib import Path

import httpx
from tests.installation import Installation, eventually, free_port, installed
from tests.ledger_process import SEED, posted, source_token, verifier_key

from holdfast.ledger.log.keys import PrivateKey

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
{ledger}"""
LEDGER = "ledger: {{name: ledger.example, signing_key: env:LEDGER_KEY, listen: '127.0.0.1:{port}'}}\n"


def test_it_runs_with_the_others_and_is_started_again(tmp_path: Path) -> None:
    port = free_port()
    text = ESTATE.format(site=free_port(), console=free_port(), ledger=LEDGER.format(port=port))
    key = PrivateKey("ledger.example", SEED).text(verifier_key().public)
    with installed(tmp_path / "whole", text, LEDGER_KEY=key) as holdfast:
        holdfast.up()
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _ready(url), "the ledger takes records in")
        with contextlib.closing(holdfast.connect()) as connection:
            token = source_token(connection)
        assert _post(url, token, range(3)).json()["size"] == 3
        login = holdfast.query(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'holdfast ledger'"
        )
        assert login == [("holdfast_ledger",)]

        first = holdfast.role("ledger")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: holdfast.role("ledger") not in (None, first) and _ready(url), "it is back")
        told = _post(url, token, range(4)).json()
        assert (told["size"], len(told["repeated"]), len(told["taken"])) == (4, 1, 1)
        _another_name_is_in_force_at_once(holdfast, text, url, token)


def _another_name_is_in_force_at_once(holdfast: Installation, text: str, url: str, token: str) -> None:
    """The port is the same, the process too; the address moves with the estate."""
    port = free_port()
    before = holdfast.role("ledger")
    holdfast.config.write_text(text.replace(url.rpartition(":")[2], str(port)), encoding="utf-8")
    moved = f"http://127.0.0.1:{port}"
    eventually(lambda: _ready(moved), "the ledger answers elsewhere")
    assert _post(moved, token, [4]).json()["size"] == 5
    assert not _ready(url)
    assert holdfast.role("ledger") == before


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def _post(url: str, token: str, seqs: "range | list[int]") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/x-ndjson"}
    return httpx.post(f"{url}/v1/records", content=posted(seqs), headers=headers, timeout=60)
