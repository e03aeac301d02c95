"""A real `holdfast ledger witness`, started and killed."""

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.installation import PROGRAM, free_port

from holdfast.adapters.signing.ed25519 import new_key, signer_of
from holdfast.ledger.log.notes import COSIGNATURE_V1, VerifierKey


class WitnessProcess:
    """One witness, for the ledger of that key. Not started yet."""

    def __init__(self, folder: Path, ledger: VerifierKey) -> None:
        folder.mkdir(exist_ok=True)
        key = new_key("witness.example", COSIGNATURE_V1)
        self.key = signer_of(key).key
        self.state = folder / "state"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = [f"--log={ledger.text}"]
        self._file = folder / "witness.key"
        self._file.touch(0o600)
        self._file.write_text(key.text(self.key.public))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def declared(self) -> dict[str, str]:
        """For the estate's `ledger.witness`."""
        return {"url": self.url, "key": self.key.text}

    def start(self) -> None:
        arguments = ("--key-file", self._file, *self._arguments, "--state", self.state)
        command = [*PROGRAM, "ledger", "witness", *map(str, arguments)]
        self._process = subprocess.Popen([*command, "--listen", f"127.0.0.1:{self.port}"])
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                assert self._process.poll() is None
                time.sleep(0.1)
        raise AssertionError("the witness did not start")

    def change(self, *ledger: VerifierKey) -> None:
        """Begins with another key of its own, over what it has seen, and trusts these keys of a ledger."""
        key = new_key("witness.example", COSIGNATURE_V1)
        self.key = signer_of(key).key
        self._file.write_text(key.text(self.key.public))
        self._arguments = [f"--log={each.text}" for each in ledger]

    def end(self, how: int) -> int:
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(30)

    def remove(self) -> None:
        """End it, however it stands."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)

    def post(self, body: bytes) -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(f"{self.url}/add-checkpoint", body, timeout=20) as answer:
                return answer.status, answer.headers["content-type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["content-type"], error.read()
