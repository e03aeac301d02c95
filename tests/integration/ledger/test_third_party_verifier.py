"""A verifier that nobody here wrote reads a log of ours: that of the Go project's checksum database."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from holdfast.adapters.memory.ledger.logs import MemoryLogs
from holdfast.adapters.packing.segments import ZstdSegments
from holdfast.adapters.signing.ed25519 import Ed25519Signer
from holdfast.ledger.append.sequencing import Sequencer
from holdfast.ledger.log.tree import leaf_hashes
from holdfast.ledger.model import Numbered, Prepared
from holdfast.ledger.publish.laying_out import laid_out

SOURCE = Path(__file__).parents[2] / "third_party" / "verify_log" / "main.go"
ORIGIN = "ledger.example/acme"
SIGNER = Ed25519Signer(ORIGIN, bytes(32))


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    environment = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
    }
    subprocess.run(
        ["go", "build", "-o", str(folder / "verify_log"), str(SOURCE)], check=True, env=environment
    )
    return folder / "verify_log"


def batch(first: int, count: int) -> Prepared:
    leaves = [b'{"seq":%d}' % number for number in range(first, first + count)]
    return Prepared("acme", leaves, leaf_hashes(leaves), [Numbered("s", 1, first, count)])


def written(folder: Path, sizes: list[int]) -> Path:
    """The log after the last of these sizes; beside it the checkpoint of the first."""

    async def write() -> None:
        packs = ZstdSegments()
        store = MemoryLogs(packs)
        line = Sequencer(store, packs, origin_of=lambda _: ORIGIN, signer_for=lambda _: SIGNER)
        at = 0
        for size in sizes:
            await line.append([batch(at, size - at)])
            at = size
            grown = await store.grown_to(1, size)
            assert grown is not None
            if size == sizes[0]:
                (folder / "old").write_text(grown[2])
        async for file in laid_out(store, 1, at, grown[2]):
            path = folder / "log" / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)

    asyncio.run(write())
    return folder / "log"


def verify(verifier: Path, log: Path, step: int = 1) -> subprocess.CompletedProcess[str]:
    command = [str(verifier), str(log), SIGNER.key.text, str(log.parent / "old"), str(step)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("sizes", [[1], [3, 255, 256], [255, 257], [300, 1000], [256, 65_536 + 300]])
def test_entries_are_proved_and_the_old_checkpoint_too(
    verifier: Path, tmp_path: Path, sizes: list[int]
) -> None:
    found = verify(verifier, written(tmp_path, sizes), step=1 + sizes[-1] // 1_000)
    assert (found.returncode, found.stdout) == (0, f"{sizes[-1]} entries\n"), found.stderr


def test_it_finds_a_flipped_bit_anywhere(verifier: Path, tmp_path: Path) -> None:
    log = written(tmp_path, [300, 700])
    files = sorted(path for path in log.rglob("*") if path.is_file())
    for path in files:
        content = path.read_bytes()
        for at in (0, len(content) // 2, len(content) - 2):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert verify(verifier, log).returncode, f"{path.name} at {at}"
        path.write_bytes(content)
    assert not verify(verifier, log).returncode
