"""CPU of one HTTP check, beside that of prometheus-blackbox-exporter: same targets, same rate, taking turns.

Each side makes every check on a connection of its own and judges status, body and time. The exporter also
takes in the request for the check and hands out its metrics: that is how one has its judgement. Holdfast
stores what it found, which is measured by `checks`, and is not in here.
"""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.probe_cpu import service
from bench.processes import END_WITHIN_S, cpu_s, require_alive
from bench.subjects import Options
from bench.table import Measurement, at_most, not_measured

PROGRAM = "prometheus-blackbox-exporter"
RATE = 200.0
WINDOW_S = 6.0
READY_WITHIN_S = 30.0
_MODULES = """\
modules:
  http:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      fail_if_body_not_matches_regexp: [ok]
  https:
    prober: http
    timeout: 5s
    http:
      preferred_ip_protocol: ip4
      fail_if_body_not_matches_regexp: [ok]
      tls_config: {{ca_file: {ca_file}}}
"""


@dataclass(frozen=True, slots=True)
class Side:
    """A process that makes checks when told to, and the one whose CPU they cost."""

    driver: subprocess.Popen[str]
    counted: int

    def spent_ms(self, url: str, seconds: float) -> float:
        """CPU for one check, on average over so many seconds of them."""
        assert self.driver.stdin is not None
        assert self.driver.stdout is not None
        before = cpu_s(self.counted)
        self.driver.stdin.write(json.dumps({"url": url, "rate": RATE, "seconds": seconds}) + "\n")
        self.driver.stdin.flush()
        told = self.driver.stdout.readline()
        if not told:
            raise SystemExit("a side of the comparison has ended")
        return 1000 * (cpu_s(self.counted) - before) / int(json.loads(told)["made"])


def measure(options: Options) -> Sequence[Measurement]:
    missing = "" if shutil.which(PROGRAM) else f"sudo apt-get install {PROGRAM}"
    with contextlib.ExitStack() as stack:
        plain, secure, ca_file = stack.enter_context(service())
        urls = {"http": f"http://127.0.0.1:{plain}/", "https": f"https://127.0.0.1:{secure}/"}
        driver = stack.enter_context(_driver("holdfast", ca_file))
        sides = {"holdfast": Side(driver, driver.pid)}
        if not missing:
            port, exporter = stack.enter_context(_exporter(ca_file))
            sides["exporter"] = Side(stack.enter_context(_driver("blackbox", str(port))), exporter)
        spent = _spent(sides, urls, options)
    return [row for scheme in urls for row in _rows(scheme, spent, missing)]


def _spent(
    sides: Mapping[str, Side], urls: Mapping[str, str], options: Options
) -> dict[tuple[str, str], list[float]]:
    """CPU per check by scheme and side, run by run."""
    spent: dict[tuple[str, str], list[float]] = {}
    seconds = WINDOW_S / 3 if options.quick else WINDOW_S
    for warm_up in (True, *(False for _ in range(options.runs_beside_peers))):
        for scheme, url in urls.items():
            for name, side in sides.items():
                milliseconds = side.spent_ms(url, 1.0 if warm_up else seconds)
                if not warm_up:
                    spent.setdefault((scheme, name), []).append(milliseconds)
    return spent


def _rows(
    scheme: str, spent: Mapping[tuple[str, str], Sequence[float]], missing: str
) -> Sequence[Measurement]:
    ours = spent[scheme, "holdfast"]
    rows = [Measurement(f"{scheme} check at {RATE:.0f}/s: CPU", "ms", ours)]
    name, ratio = f"  {PROGRAM}", "  Holdfast by that"
    if missing:
        return [*rows, not_measured(name, missing), not_measured(ratio, missing, at_most(1.5))]
    theirs = spent[scheme, "exporter"]
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return [*rows, Measurement(name, "ms", theirs), Measurement(ratio, "x", ratios, at_most(1.5))]


@contextlib.contextmanager
def _driver(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.paced_process", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=END_WITHIN_S)


@contextlib.contextmanager
def _exporter(ca_file: str) -> Iterator[tuple[int, int]]:
    """The exporter on a port of its own: the port and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config, log = Path(folder) / "modules.yml", Path(folder) / "log"
        config.write_text(_MODULES.format(ca_file=ca_file), encoding="utf-8")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PROGRAM, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"],
                stdout=output,
                stderr=output,
            )
        try:
            _wait_until_ready(process, port, log)
            yield port, process.pid
        finally:
            process.terminate()
            try:
                process.wait(END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        require_alive(process, log)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/-/healthy")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise SystemExit(f"the exporter is not ready after {READY_WITHIN_S:.0f} s")
