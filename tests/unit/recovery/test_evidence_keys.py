"""The key that signs evidence: declared by reference, or made once; and what `holdfast check` says of it."""

import stat
import threading
from pathlib import Path

import pytest

from holdfast.adapters.signing.ed25519 import new_key, signer_of
from holdfast.bootstrap.recovery.evidence_keys import evidence_keys, evidence_signer
from holdfast.bootstrap.recovery.terms import origin_of_evidence
from holdfast.bootstrap.recovery.trying import evidence_findings
from holdfast.estate.drills import EvidenceKeeping
from holdfast.estate.ledger import Ledger
from holdfast.estate.model import Estate
from holdfast.estate.recovery import Recovery
from holdfast.interfaces.cli.ports import Place
from holdfast.recovery.errors import EvidenceRefused


def estate(*, ledger: str | None = None, **evidence: object) -> Estate:
    found = Estate.model_validate(
        {
            "regions": {"a": {"name": "A"}},
            "clusters": {
                "eu": {
                    "name": "EU",
                    "region": "a",
                    "components": {"web": {"name": "Web", "checks": {"page": {"url": "http://127.0.0.1:1"}}}},
                }
            },
        }
    )
    keeping = EvidenceKeeping.model_validate(evidence)
    declared = None if ledger is None else Ledger.model_validate({"name": ledger, "signing_key": "env:KEY"})
    return found.model_copy(update={"recovery": Recovery(evidence=keeping), "ledger": declared})


def test_it_is_made_once_for_nobody_else_to_read(tmp_path: Path) -> None:
    one = evidence_signer(estate(), tmp_path / "holdfast.yaml", tmp_path / "data")
    again = evidence_signer(estate(), tmp_path / "holdfast.yaml", tmp_path / "data")

    assert one.key == again.key
    assert one.key.name == "holdfast/evidence"
    path = tmp_path / "data" / "keys" / "evidence.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["evidence.key"]


def test_made_by_several_at_once_it_is_one(tmp_path: Path) -> None:
    found, begin = [], threading.Barrier(8)

    def make() -> None:
        begin.wait()
        found.append(evidence_signer(estate(), tmp_path / "holdfast.yaml", tmp_path / "data").key)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    ("declared", "origin"),
    [
        (estate(), "holdfast/evidence"),
        (estate(ledger="ledger.example"), "ledger.example/evidence"),
        (estate(ledger="ledger.example", name="other.example"), "other.example"),
    ],
)
def test_the_log_has_a_name(declared: Estate, origin: str) -> None:
    assert origin_of_evidence(declared) == origin


def test_a_declared_key_signs_and_old_ones_verify(tmp_path: Path) -> None:
    key, old = new_key("any"), signer_of(new_key("holdfast/evidence")).key
    (tmp_path / "key").write_text(key.text(signer_of(key).key.public))
    (tmp_path / "key").chmod(0o600)
    declared = estate(signing_key="file:key", old_keys=[old.text])

    keys = evidence_keys(declared, tmp_path / "holdfast.yaml", tmp_path / "data")

    assert [each.public for each in keys] == [signer_of(key).key.public, old.public]
    assert keys[0].name == "holdfast/evidence"
    assert not (tmp_path / "data").exists()
    [told] = evidence_findings(declared, Place(tmp_path / "holdfast.yaml", tmp_path / "data"))
    assert (told.ok, told.text) == (True, f"signs as {keys[0].text}")


@pytest.mark.parametrize("content", ["", "PRIVATE+KEY+x", "secret words"])
def test_what_is_no_key_is_refused_and_never_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    (tmp_path / "key").chmod(0o600)
    declared = estate(signing_key="file:key")
    [told] = evidence_findings(declared, Place(tmp_path / "holdfast.yaml", tmp_path / "data"))

    assert not told.ok
    assert "secret words" not in told.text
    if content:
        with pytest.raises(EvidenceRefused, match="is no private key"):
            evidence_signer(declared, tmp_path / "holdfast.yaml", tmp_path / "data")


def test_without_a_declared_key_check_makes_none(tmp_path: Path) -> None:
    assert evidence_findings(estate(), Place(tmp_path / "holdfast.yaml", tmp_path / "data")) == []
    assert not (tmp_path / "data").exists()
