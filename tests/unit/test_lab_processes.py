"""Processes and ports, against the real ones of this machine."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.lab import ports, processes
from holdfast.lab.processes import Phase, Process

STUBBORN = (
    "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def known(pid: int) -> Process:
    process = processes.find_process(pid)
    assert process is not None
    return process


def test_a_process_is_known_by_its_start_and_its_boot(sleeper: subprocess.Popen[bytes]) -> None:
    process = known(sleeper.pid)
    assert processes.phase_of(process) is Phase.ACTIVE
    assert processes.phase_of(replace(process, start_ticks=process.start_ticks - 1)) is Phase.GONE
    assert processes.phase_of(replace(process, boot_id="another")) is Phase.GONE


def test_another_process_with_the_same_pid_is_not_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    process = known(sleeper.pid)
    earlier = replace(process, start_ticks=process.start_ticks - 1)
    assert processes.send_signal(earlier, signal.SIGKILL) is False
    assert sleeper.poll() is None
    assert processes.send_signal(process, signal.SIGKILL) is True
    assert sleeper.wait() == -signal.SIGKILL
    assert processes.send_signal(process, signal.SIGKILL) is False
    assert processes.find_process(sleeper.pid) is None


async def test_a_zombie_counts_as_gone(sleeper: subprocess.Popen[bytes]) -> None:
    process = known(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    assert await processes.wait_until(process, Phase.GONE, 60)
    assert processes.find_process(sleeper.pid) == process, "nobody has awaited it yet"


async def test_a_frozen_process_is_seen_and_woken(sleeper: subprocess.Popen[bytes]) -> None:
    process = known(sleeper.pid)
    processes.send_signal(process, signal.SIGSTOP)
    assert await processes.wait_until(process, Phase.FROZEN, 60)
    assert not await processes.wait_until(process, Phase.GONE, 0)
    processes.send_signal(process, signal.SIGCONT)
    assert await processes.wait_until(process, Phase.ACTIVE, 60)


@pytest.mark.parametrize("frozen", [False, True])
async def test_one_that_does_not_listen_is_ended_all_the_same(
    sleeper: subprocess.Popen[bytes], frozen: bool
) -> None:
    process = known(sleeper.pid)
    if frozen:
        processes.send_signal(process, signal.SIGSTOP)
    assert await processes.end(process, grace_s=0.2)
    assert sleeper.wait() == -signal.SIGKILL
    assert await processes.end(process, grace_s=0), "ending what is gone is harmless"


async def test_a_spawned_process_has_its_own_session_and_appends_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    code = "import os,sys; print(os.getsid(0) == os.getpid(), os.environ['WORD']); sys.stderr.write('end\\n')"
    process = processes.spawn([sys.executable, "-c", code], {"WORD": "spoken"}, log)
    assert await processes.wait_until(process, Phase.GONE, 60)
    assert processes.find_process(process.pid) is not None
    processes.reap(process)
    assert processes.find_process(process.pid) is None
    processes.reap(process)
    assert sorted(log.read_text().splitlines()) == ["True spoken", "before", "end"]


async def test_a_process_is_found_by_what_it_was_started_with(tmp_path: Path) -> None:
    environment = {"HOLDFAST_LAB_TEST": str(tmp_path), "OTHER": "a=b"}
    process = processes.spawn(
        [sys.executable, "-c", "import time; time.sleep(600)"], environment, tmp_path / "log"
    )
    try:
        # Between fork and exec it still has our environment.
        while not (found := list(processes.find_by_environment("HOLDFAST_LAB_TEST", str(tmp_path)))):
            assert processes.phase_of(process) is Phase.ACTIVE
        assert [each for each, _ in found] == [process]
        assert found[0][1]["OTHER"] == "a=b"
        assert not list(processes.find_by_environment("HOLDFAST_LAB_TEST", str(tmp_path)[:-1]))
    finally:
        assert await processes.end(process, grace_s=5)
        processes.reap(process)


async def test_a_port_is_free_answers_and_has_an_owner() -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert await ports.answers(port)
        assert ports.owner_of(port) == os.getpid()
    assert ports.is_free(port)
    assert not await ports.answers(port)
    assert ports.owner_of(port) is None


def test_a_command_line_is_shortened() -> None:
    assert 0 < len(processes.command_of(os.getpid())) <= 80
    assert processes.command_of(2**22 + 1) == ""
