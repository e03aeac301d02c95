"""A witness at an address, in a process of its own: it cosigns, refuses and remembers as C2SP asks."""

import asyncio
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.installation import PROGRAM
from tests.ledger_witness import WitnessProcess

from holdfast.adapters.signing.ed25519 import Ed25519Signer, verifies
from holdfast.adapters.witness.http import HttpWitness
from holdfast.ledger.errors import Fork, WitnessAway, WitnessRefused
from holdfast.ledger.log.checkpoint import Checkpoint, verified
from holdfast.ledger.log.notes import COSIGNATURE_V1, Note, Signature, VerifierKey
from holdfast.ledger.log.tree import Edge, Tree, leaf_hashes
from holdfast.ledger.log.witness import Addition

LEDGER = Ed25519Signer("ledger.example", bytes(32))
LOG = Ed25519Signer("ledger.example/acme", bytes(32))


def hashes(size: int, fork_at: int = 1 << 30) -> bytes:
    return leaf_hashes([b"forked" if n >= fork_at else b"%d" % n for n in range(size)])


def addition(old: int, size: int, *, fork_at: int = 1 << 30, log: Ed25519Signer = LOG) -> Addition:
    content = hashes(size, fork_at)
    tree = Tree(size, lambda _level, first, count: content[first * 32 : (first + count) * 32])
    edge, _ = Edge().grown(content)
    note = Checkpoint(log.key.name, size, edge.root).signed(log)
    return Addition(old, tuple(tree.consistency(old)), note.text)


def ask(witness: WitnessProcess, *additions: Addition) -> list[object]:
    """Each one's answer: a signature, a size, or the error."""

    async def asked() -> list[object]:
        found = list[object]()
        async with HttpWitness(witness.url, witness.key, patience_s=20) as client:
            for each in additions:
                try:
                    found.append(await client.cosign(each))
                except (Fork, WitnessRefused, WitnessAway) as error:
                    found.append(type(error))
        return found

    return asyncio.run(asked())


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WitnessProcess]:
    process = WitnessProcess(tmp_path_factory.mktemp("witness"), LEDGER.key)
    process.start()
    yield process
    assert process.end(signal.SIGTERM) == 0


def test_it_cosigns_what_goes_on_and_tells_where_it_stands(started: WitnessProcess) -> None:
    first, repeated, ahead, behind = ask(
        started, addition(0, 5), addition(5, 5), addition(2, 9), addition(5, 9)
    )
    assert ahead == 5
    for answer, size in ((first, 5), (repeated, 5), (behind, 9)):
        assert isinstance(answer, Signature)
        note = Note.parsed(addition(0, size).checkpoint).with_signatures([answer])
        assert verified(note.text, LOG.key, verifies, witnesses=[started.key], quorum=1).witnesses


def test_it_refuses_what_it_must(started: WitnessProcess) -> None:
    other = Ed25519Signer("ledger.example/other", bytes(32))
    assert isinstance(ask(started, addition(0, 20, log=other))[0], Signature)
    forged = Ed25519Signer("ledger.example/other", b"x" * 32)
    unknown = Ed25519Signer("elsewhere.example", bytes(32))
    assert ask(
        started,
        addition(20, 30, fork_at=3, log=other),
        addition(20, 20, fork_at=3, log=other),
        addition(20, 30, log=forged),
        addition(0, 30, log=unknown),
    ) == [Fork, 20, WitnessRefused, WitnessRefused]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"old 0\n\nnothing", 403),
        (b"old 00\n\nx", 400),
        (b"old 0\nAAAA\n\nx", 400),
        (b"\xff\xfe", 413),
        (b"old 0\n\n" + b"x" * 70_000, 413),
        (b"old 0\n" + b"A" * 43 + b"=\n" * 64 + b"\nx", 400),
    ],
)
def test_it_reads_nothing_else(started: WitnessProcess, body: bytes, status: int) -> None:
    assert started.post(body)[0] in {status, 404 if status == 403 else status}


def test_where_it_stands_is_told_in_the_form_of_the_protocol(started: WitnessProcess) -> None:
    log = Ed25519Signer("ledger.example/third", bytes(32))
    status, _, body = started.post(addition(0, 7, log=log).text.encode())
    assert (status, body[:3]) == (200, "\u2014".encode())
    assert started.post(addition(3, 9, log=log).text.encode()) == (409, "text/x.tlog.size", b"7\n")


def test_it_remembers_when_it_was_killed(tmp_path: Path) -> None:
    process = WitnessProcess(tmp_path, LEDGER.key)
    for round_, size in enumerate((10, 40)):
        process.start()
        assert isinstance(ask(process, addition(10 if round_ else 0, size))[0], Signature)
        assert process.end(signal.SIGKILL) == -signal.SIGKILL
    process.start()
    assert ask(process, addition(10, 50), addition(0, 50)) == [40, 40]
    process.end(signal.SIGTERM)
    assert ask(process, addition(40, 50)) == [WitnessAway]


def test_several_ask_at_once_and_one_of_them_goes_first(started: WitnessProcess) -> None:
    log = Ed25519Signer("ledger.example/raced", bytes(32))

    async def race() -> list[Signature | int]:
        async with HttpWitness(started.url, started.key) as witness:
            asked = [witness.cosign(addition(0, size, log=log)) for size in range(3, 11)]
            return await asyncio.gather(*asked)

    answers = asyncio.run(race())
    cosigned = [size for size, answer in enumerate(answers, 3) if isinstance(answer, Signature)]
    assert len(cosigned) == 1
    assert {answer for answer in answers if isinstance(answer, int)} == set(cosigned)


def test_another_key_is_not_believed(started: WitnessProcess) -> None:
    async def ask() -> None:
        key = VerifierKey("witness.example", bytes(32), COSIGNATURE_V1)
        log = Ed25519Signer("ledger.example/believed", bytes(32))
        async with HttpWitness(started.url, key) as witness:
            await witness.cosign(addition(0, 3, log=log))

    with pytest.raises(WitnessRefused, match="another key"):
        asyncio.run(ask())


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "ledger", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_keys_are_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "ledger.key"
    made = run("key", "new", "ledger.example", "--out", path)
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = VerifierKey.parsed(made.stdout)
    assert public.name == "ledger.example"
    kept = path.read_text()
    assert kept.startswith("PRIVATE+KEY+ledger.example+")
    again = run("key", "new", "ledger.example", "--out", path)
    assert (again.returncode, path.read_text()) == (1, kept)
    shown = run("key", "show", path, "--origin", "ledger.example/acme")
    assert VerifierKey.parsed(shown.stdout).public == public.public
    assert VerifierKey.parsed(shown.stdout).name == "ledger.example/acme"

    os.chmod(path, 0o640)  # noqa: PTH101
    refused = run("key", "show", path)
    assert (refused.returncode, "chmod 600" in refused.stderr) == (1, True)
    assert kept.split("+")[-1].strip() not in refused.stderr
    witness = run("witness", "--key-file", path, "--log", public.text, "--state", tmp_path / "state")
    assert witness.returncode == 1
    path.chmod(0o600)
    witness = run("witness", "--key-file", path, "--log", public.text, "--state", tmp_path / "state")
    assert (witness.returncode, "not a witness's" in witness.stderr) == (1, True)
