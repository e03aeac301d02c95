"""`lab up` and `lab down`: alone, twice at once, after a crash midway, and among strangers."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from conversation import ask, say
from running_lab import RunningLab, processes_of

from holdfast.lab import Lab, LabEvent, PartState, PartStatus, Stage
from holdfast.lab.errors import LabBusyError, PartFailedError, PortTakenError

# Comes up as far as the given number of finished parts, and dies the hard way.
CRASHING_UP = """
import asyncio, os, signal, sys
from pathlib import Path
from holdfast.lab import Lab, Stage

def crash(event):
    if (event.stage.value, event.done) == (sys.argv[3], int(sys.argv[4])):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(Lab(Path(sys.argv[1]), base_port=int(sys.argv[2])).up(crash))
"""

LISTENING = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
time.sleep(600)
"""


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any lab."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def states(statuses: tuple[PartStatus, ...]) -> set[PartState]:
    return {status.state for status in statuses}


async def test_down_leaves_no_process_and_keeps_the_jobs(own: RunningLab) -> None:
    events: list[LabEvent] = []
    assert states(await own.lab.up(events.append)) == {PartState.RUNNING}
    assert [event.done for event in events if event.stage is Stage.STARTED] == list(range(1, 11))
    said = await say(
        own.port("usa", "messaging"), b'PUBLISH {"owner": "ada", "title": "Keep this"}', answers=1
    )
    assert processes_of(own.directory) != []

    assert states(await own.again().down()) == {PartState.MISSING}
    assert processes_of(own.directory) == []
    assert states(await own.again().down()) == {PartState.MISSING}, "down twice is harmless"

    await own.again().up()
    assert (await ask(own.port("usa", "api"), f"/jobs/{said[1][3:]}")).status == 200


async def test_nothing_secret_is_readable_by_others_or_on_a_command_line(own: RunningLab) -> None:
    links = own.lab.environment()
    await own.lab.up()
    secrets = [
        *links.values(),
        *((own.directory / "secrets" / f"printcloud_{c}").read_text().strip() for c in ("eu", "eu2", "usa")),
    ]
    assert all(len(secret) >= 32 for secret in secrets)
    lines = processes_of(own.directory)
    assert len(lines) > 9
    assert not [line for line in lines for secret in secrets if secret in line]
    for path in (own.directory, *own.directory.iterdir(), *own.directory.glob("*/*")):
        inside_private = path.parent.name == "postgres"
        assert inside_private or path.stat().st_mode & 0o077 == 0, path
    assert own.again().environment() == links


@pytest.mark.parametrize(("stage", "done"), [("starting", 1), ("started", 5)])
async def test_after_a_crash_midway_down_leaves_nothing(own: RunningLab, stage: str, done: int) -> None:
    await crash_at(own, stage, done)
    await own.lab.down()
    assert processes_of(own.directory) == []


@pytest.mark.parametrize("after_s", [0.2, 0.35, 0.5, 0.65, 0.8])
async def test_after_a_crash_at_any_moment_down_leaves_nothing(own: RunningLab, after_s: float) -> None:
    up = await start_up(own, "never", 0)
    await asyncio.sleep(after_s)
    up.kill()
    await up.wait()
    await own.lab.down()
    assert processes_of(own.directory) == []
    assert states(await own.lab.up()) == {PartState.RUNNING}


async def test_after_a_crash_midway_up_goes_on_from_there(own: RunningLab) -> None:
    await crash_at(own, "started", 4)
    assert states(await own.lab.up()) == {PartState.RUNNING}
    assert (await ask(own.port("usa", "api"), "/health")).status == 200


async def test_a_process_that_was_never_recorded_is_adopted_and_ended(own: RunningLab) -> None:
    before = await own.lab.up()
    record = own.directory / "state" / "eu-api.json"
    record.unlink()
    after = await own.again().up()
    assert [status.pid for status in after] == [status.pid for status in before]
    record.write_text("{ half")
    await own.again().down()
    assert processes_of(own.directory) == []


async def test_two_ups_at_once_start_everything_once(own: RunningLab) -> None:
    events: list[LabEvent] = []
    first, second = await asyncio.gather(own.lab.up(events.append), own.again().up(events.append))
    assert [status.pid for status in first] == [status.pid for status in second]
    assert [event.stage for event in events].count(Stage.WAITING) == 1
    assert len([line for line in processes_of(own.directory) if " printcloud " in line]) == 9


async def test_impatience_with_another_command_names_it(own: RunningLab) -> None:
    hasty = Lab(own.directory, base_port=own.base_port, patience_s=0)
    working = asyncio.Event()
    up = asyncio.create_task(own.lab.up(lambda _: working.set()))
    await working.wait()
    with pytest.raises(LabBusyError, match=str(os.getpid())):
        await hasty.down()
    await up


async def test_a_taken_port_is_named_with_its_owner(own: RunningLab) -> None:
    port = own.port("eu2", "website")
    stranger = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LISTENING, str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert stranger.stdout
        await stranger.stdout.readline()
        with pytest.raises(
            PortTakenError, match=rf"port {port} of eu2-website .* process {stranger.pid}"
        ) as caught:
            await own.lab.up()
        assert (caught.value.port, caught.value.pid) == (port, stranger.pid)
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()
    assert states(await own.lab.up()) == {PartState.RUNNING}


async def test_several_failures_are_told_in_one_error(own: RunningLab) -> None:
    with (
        socket.create_server(("127.0.0.1", own.port("eu", "api"))),
        socket.create_server(("127.0.0.1", own.port("usa", "api"))),
    ):
        with pytest.raises(PartFailedError) as caught:
            await own.lab.up()
        assert "eu-api" in str(caught.value)
        assert "usa-api" in str(caught.value)


@pytest.mark.parametrize("name", ["eu-api", "database"])
async def test_a_recycled_pid_is_never_signalled(
    own: RunningLab, stranger: subprocess.Popen[bytes], name: str
) -> None:
    await own.lab.up()
    await own.lab.down()
    if name == "database":
        # What a crashed server leaves behind, with a pid that somebody else has by now.
        (own.directory / "postgres/data/postmaster.pid").write_text(f"{stranger.pid}\n\n\n5432\n\n\n\n\n")
    else:
        (own.directory / "state/eu-api.json").write_text(
            f'{{"since": "2026-01-01T00:00:00+00:00", "damage": null, "process": '
            f'{{"pid": {stranger.pid}, "start_ticks": 1, "boot_id": "another boot"}}}}'
        )
    assert states(await own.again().status()) == {PartState.MISSING}
    await own.again().down()
    assert states(await own.again().up()) == {PartState.RUNNING}
    (broken,) = await own.again().break_(name)
    assert broken.state is PartState.BROKEN
    assert stranger.poll() is None


async def crash_at(own: RunningLab, stage: str, done: int) -> None:
    up = await start_up(own, stage, done)
    assert await up.wait() == -signal.SIGKILL


async def start_up(own: RunningLab, stage: str, done: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", CRASHING_UP, str(own.directory), str(own.base_port), stage, str(done)
    )
