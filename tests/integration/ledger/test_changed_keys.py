"""The ledger and its witness change their keys, by the procedure that the page tells, and nothing is lost."""

import json
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from tests.installation import eventually
from tests.ledger_process import NAME, LedgerProcess, ledger_process, posted, source_token, verifier_key
from tests.ledger_witness import WitnessProcess

from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.log.checkpoint import Checkpoint
from holdfast.ledger.log.keys import PrivateKey
from holdfast.ledger.log.notes import Note, VerifierKey

if TYPE_CHECKING:
    from conftest import Database

OLD = verifier_key()
SEED = b"n" * 32
NEW = Ed25519Signer(NAME, SEED).key


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[WitnessProcess]:
    process = WitnessProcess(tmp_path / "witness", OLD)
    yield process
    process.remove()


@pytest.fixture
def served(migrated_database: "Database", tmp_path: Path, witness: WitnessProcess) -> Iterator[LedgerProcess]:
    witness.start()
    declared = {"witness": witness.declared, "public_key": OLD.text}
    with ledger_process(tmp_path / "one", migrated_database.conninfo().dsn, declared) as process:
        yield process


def published(served: LedgerProcess, size: int) -> Note:
    def there() -> str:
        answer = httpx.get(f"{served.url}/v1/logs/acme/checkpoint", timeout=30)
        if answer.status_code == 200:
            return answer.text if Checkpoint.parsed(Note.parsed(answer.text).body).size >= size else ""
        return ""

    return Note.parsed(eventually(there, f"{size} leaves are published"))


def declare(served: LedgerProcess, former: Sequence[VerifierKey], witness: WitnessProcess) -> None:
    """The ledger's new key, the witness's, and these former ones; the process begins anew with them."""
    config = served.installation.config
    told = json.dumps([each.text for each in former])
    text = re.sub(r"(?m)^  (public_key|witness|former_keys): .*\n", "", config.read_text())
    text += f"  public_key: {NEW.text}\n  former_keys: {told}\n  witness: {json.dumps(witness.declared)}\n"
    config.write_text(text)
    served.installation.environment["LEDGER_KEY"] = PrivateKey(NAME, SEED).text(NEW.public)
    served.start()


def verify(served: LedgerProcess, *arguments: str, code: int = 0) -> str:
    said = served.installation.run("ledger", "verify", *arguments, code=code)
    return said.out + said.err


def test_both_keys_are_changed_and_what_was_signed_before_stays_good(
    served: LedgerProcess, witness: WitnessProcess, migrated_database: "Database", tmp_path: Path
) -> None:
    with migrated_database.connect() as connection:
        token = source_token(connection)
    assert served.post(posted(range(1, 301)), token).status_code == 200
    kept = published(served, 300)
    (tmp_path / "kept").write_text(kept.text)
    first_witness = witness.key

    # The last growth under the old key is signed and nobody has cosigned it.
    assert witness.end(signal.SIGTERM) == 0
    assert served.post(posted(range(301, 401)), token).status_code == 200
    served.stop()

    witness.change(OLD, NEW)
    witness.start()
    declare(served, [OLD, first_witness], witness)
    handed = published(served, 400)
    assert any(each.is_by(VerifierKey(f"{NAME}/acme", OLD.public)) for each in handed.signatures)
    assert any(each.is_by(witness.key) for each in handed.signatures)

    # From now on the new ones sign; who posts notices nothing.
    assert served.post(posted(range(399, 501)), token).json()["repeated"] == [
        {"first": 1, "last": 2, "leaf": 398}
    ]
    handed = published(served, 500)
    assert any(each.is_by(VerifierKey(f"{NAME}/acme", NEW.public)) for each in handed.signatures)
    assert "the witness agrees" in verify(served)
    assert "goes on from the checkpoint of 300 leaves" in verify(
        served, "--tenant", "acme", "--since", str(tmp_path / "kept")
    )
    verify(served, "--tenant", "acme", "--leaf", "17")
    bundle = tmp_path / "acme.bundle"
    served.installation.run("ledger", "bundle", "--tenant", "acme", "--leaf", "17", "--out", str(bundle))
    verify(served, "--bundle", str(bundle), "--key", NEW.text, "--key", witness.key.text)
    verify(served, "--bundle", str(bundle), "--key", OLD.text, code=1)

    # Whom nobody names as a former key signed nothing that counts.
    served.stop()
    declare(served, [first_witness], witness)
    said = verify(served, "--tenant", "acme", code=1)
    assert "the log has not signed it" in said
    verify(served, "--tenant", "acme", "--key", OLD.text)


def test_a_witness_takes_either_key_of_a_ledger_and_no_third_one(
    witness: WitnessProcess, served: LedgerProcess, migrated_database: "Database"
) -> None:
    with migrated_database.connect() as connection:
        token = source_token(connection)
    served.stop()
    assert witness.end(signal.SIGTERM) == 0
    stranger = Ed25519Signer(NAME, b"x" * 32).key
    witness.change(OLD, stranger)
    witness.start()
    declare(served, [OLD], witness)
    with psycopg.connect(served.installation.environment["DATABASE_URL"], autocommit=True) as connection:
        assert served.post(posted(range(1, 11)), token).status_code == 200
        eventually(
            lambda: connection.execute(
                "SELECT 1 FROM holdfast.journal WHERE event = 'ledger.publishing_waits'"
                " AND facts->>'reason' = 'witness_refuses'"
            ).fetchone(),
            "the witness refuses a key that it was not told of",
        )
        assert witness.end(signal.SIGTERM) == 0
        witness.change(stranger, NEW)
        witness.start()
        declare_again = served.installation.config.read_text()
        served.stop()
        served.installation.config.write_text(
            re.sub(r"(?m)^  witness: .*$", f"  witness: {json.dumps(witness.declared)}", declare_again)
        )
        served.start()
        published(served, 10)
