"""Beats after Uptime Kuma's design, for comparison: `kuma_point.mjs` over the libraries of its kind."""

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.processes import END_WITHIN_S, cpu_s
from bench.subjects import FOLDER

LIBRARIES = {"axios": "0.32.0", "knex": "3.1.0", "redbean-node": "0.3.3", "sqlite3": "5.1.7"}
_PROGRAM = Path(__file__).with_name("kuma_point.mjs")


@dataclass(frozen=True, slots=True)
class Beats:
    """The process that beats; or why there is none."""

    process: subprocess.Popen[str] | None
    missing: str = ""

    def read(self) -> tuple[float, int] | None:
        """CPU seconds spent and beats made so far."""
        process = self.process
        if process is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        told = process.stdout.readline()
        if not told:
            raise SystemExit("the process that beats after Uptime Kuma's design has ended")
        return cpu_s(process.pid), int(told)


@contextlib.contextmanager
def beats(url: str, rate: int) -> Iterator[Beats]:
    """`rate` beats a second of `url`, until the block ends."""
    folder, missing = _libraries()
    if folder is None:
        yield Beats(None, missing)
        return
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="beats-") as data:
        process = subprocess.Popen(
            ["node", str(_PROGRAM), f"{data}/beats.db", url, str(rate)],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield Beats(process)
        finally:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def _libraries() -> tuple[Path | None, str]:
    """The folder where the libraries are, installed when they are not; else why not."""
    if not (shutil.which("node") and shutil.which("npm")):
        return None, "needs node 20 and npm"
    folder = FOLDER / "node"
    wanted = json.dumps({"private": True, "dependencies": LIBRARIES})
    done = folder / "installed.json"
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(wanted, encoding="utf-8")
        # Newer npm builds what is native only when it is told to.
        for command in (["npm", "install", "--no-audit", "--no-fund"], ["npm", "rebuild", "sqlite3"]):
            installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if installed.returncode != 0:
                (folder / "failure.log").write_text(installed.stdout + installed.stderr, encoding="utf-8")
                return None, f"{' '.join(command)} failed: see {folder / 'failure.log'}"
        done.write_text(wanted, encoding="utf-8")
    return folder, ""
