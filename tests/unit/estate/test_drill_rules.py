"""What must hold of `recovery.drills` and `recovery.evidence`."""

from datetime import timedelta

import pytest
from estate_files import VALID, load, problems

from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.log.notes import COSIGNATURE_V1

KEPT = (
    VALID
    + """
backup: {stores: {west: {to: file:///srv/backups}}}
databases:
  shop:
    name: Shop
    cluster: eu
    connection: {host: db.example.com, password: env:PASSWORD}
    copies: {west: {}}
recovery:
  drills:
    one: {scenario: restore, subject: shop, every: 7d, valid_for: 30d, agreements: [gold], region: west}
"""
)


LOG_KEY = Ed25519Signer("holdfast/evidence", bytes(32)).key.text
WITNESS_KEY = Ed25519Signer("witness.example", bytes(32), COSIGNATURE_V1).key.text


def test_who_cosigns_and_how_long_runs_are_kept() -> None:
    witness = f"witness: {{url: 'https://witness.example', key: {WITNESS_KEY}}}"
    recovery = load(f"{KEPT}  evidence: {{{witness}}}\n  keep_runs: 30d\n").recovery
    assert recovery is not None
    assert recovery.evidence.witness is not None
    assert recovery.evidence.witness.key == WITNESS_KEY
    assert recovery.keep_runs == timedelta(days=30)
    found = problems(f"{KEPT}  keep_runs: 6d\n")
    assert any("recovery.keep_runs" in str(each) for each in found), found


def test_drills_that_can_be_held() -> None:
    recovery = load(KEPT).recovery
    assert recovery is not None
    assert recovery.drills["one"].where == "isolated"
    assert recovery.drills["one"].game_day
    assert recovery.evidence.signing_key is None


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("subject: shop", "subject: shp", "there is no database `shp`"),
        ("subject: shop", "subject: eu", "there is no database `eu`"),
        (
            "scenario: restore, subject: shop",
            "scenario: region-outage, where: lab, subject: shop",
            "no cluster",
        ),
        ("scenario: restore, subject: shop", "scenario: region-outage, where: lab, subject: eu", "is moved"),
        ("scenario: restore", "scenario: region-outage", "apart from everything"),
        ("scenario: restore", "scenario: flood", "scenario"),
        ("region: west", "region: north", "has no copy there"),
        ("region: west", "where: production", "always tried apart"),
        ("agreements: [gold]", "agreements: [gold, silver]", "there is no agreement `silver`"),
        ("every: 7d", "every: 5m", "is too often"),
        ("every: 7d", "every: 31d", "longer than `valid_for`"),
        ("valid_for: 30d", "valid_for: 0s", "would prove nothing"),
        ("region: west}", "public: [everything]}", "public"),
    ],
)
def test_drills_that_cannot(old: str, new: str, complaint: str) -> None:
    assert old in KEPT
    found = problems(KEPT.replace(old, new))
    assert any(complaint in str(each) for each in found), found


@pytest.mark.parametrize(
    ("evidence", "complaint"),
    [
        ("{name: Not A Name}", "name"),
        ("{signing_key: in the file}", "by reference"),
        ("{old_keys: [nonsense]}", "old_keys"),
        ("{name: ledger.example.com}", "that is the ledger's"),
        (f"{{witness: {{url: 'http://127.0.0.1:9', key: {LOG_KEY}}}}}", "is not a witness's key"),
        ("{witness: {url: 'http://127.0.0.1:9'}}", "key"),
    ],
)
def test_evidence_that_cannot_be_kept_so(evidence: str, complaint: str) -> None:
    ledger = "ledger: {name: ledger.example.com, signing_key: env:LEDGER_KEY}\n"
    found = problems(f"{KEPT}  evidence: {evidence}\n{ledger}")
    assert any(complaint in str(each) for each in found), found
