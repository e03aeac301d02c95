"""The two-region lab goes up and down: after a crash midway, among strangers, by the command line."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.two_regions import TwoRegions

from holdfast.lab import PartState
from holdfast.lab.errors import NotRunningError, PortTakenError
from holdfast.lab.regions import layout as at

pytestmark = pytest.mark.timeout(900)  # a busy machine starts a region in minutes

# Comes up as far as the given part, and dies the hard way.
DYING_UP = """
import asyncio, os, signal, sys
from pathlib import Path
from holdfast.lab import RegionsLab

def die(event):
    if (event.part, event.stage.value) == (sys.argv[3], sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

lab = RegionsLab(Path(sys.argv[1]), base_port=int(sys.argv[2]), namespaces=sys.argv[5] == "linked")
asyncio.run(lab.up(die))
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[TwoRegions]:
    """A lab of the test's own, not started yet."""
    found = TwoRegions(tmp_path / "regions")
    try:
        yield found
    finally:
        asyncio.run(found.again().down())
        assert found.processes() == {}


async def dies_at(lab: TwoRegions, part: str, stage: str, mode: str = "plain") -> None:
    up = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DYING_UP, str(lab.directory), str(lab.base_port), part, stage, mode
    )
    assert await up.wait() == -signal.SIGKILL


@pytest.mark.parametrize(("part", "stage"), [("witness", "started"), ("a-node", "started")])
async def test_after_a_lab_that_died_midway_down_leaves_nothing(
    fresh: TwoRegions, part: str, stage: str
) -> None:
    await dies_at(fresh, part, stage)
    assert fresh.processes() != {}
    statuses = await fresh.again().down()
    assert fresh.processes() == {}
    assert {status.state for status in statuses} == {PartState.MISSING}
    assert {status.state for status in await fresh.again().down()} == {PartState.MISSING}, "twice is harmless"


async def test_a_node_that_is_killed_while_it_makes_its_database_leaves_nothing(fresh: TwoRegions) -> None:
    """initdb runs for a second or two after the node was started: in the middle of that everything dies."""
    await dies_at(fresh, "a-node", "starting")
    assert {status.state for status in await fresh.again().down()} == {PartState.MISSING}
    assert fresh.processes() == {}


async def test_what_belongs_to_no_part_is_found_by_its_mark(fresh: TwoRegions) -> None:
    await dies_at(fresh, "dns", "starting")
    mark = {**os.environ, "HOLDFAST_LAB": str(fresh.directory.resolve())}
    stray = await asyncio.create_subprocess_exec("/bin/sleep", "600", env=mark)
    stranger = await asyncio.create_subprocess_exec("/bin/sleep", "600")
    try:
        await fresh.again().down()
        async with asyncio.timeout(60):
            assert await stray.wait() in {-signal.SIGTERM, -signal.SIGKILL}
        assert stranger.returncode is None, "who has nothing to do with the lab is left alone"
    finally:
        stranger.kill()
        await stranger.wait()


async def test_namespaces_die_with_a_lab_that_died(tmp_path: Path) -> None:
    lab = TwoRegions(tmp_path / "regions", namespaces=True)
    before = interfaces()
    await dies_at(lab, "dns", "started", "linked")
    await lab.again().down()
    assert lab.processes() == {}
    assert interfaces() == before


async def test_a_taken_port_is_named_with_its_owner(fresh: TwoRegions) -> None:
    host, port = fresh.lab.layout.outer("w"), fresh.lab.layout.port(at.PATRONI)
    with socket.create_server((host, port)), pytest.raises(PortTakenError) as told:
        await fresh.lab.up()
    assert (told.value.port, told.value.pid) == (port, os.getpid())


async def test_what_does_not_run_cannot_be_broken(fresh: TwoRegions) -> None:
    for name in ("region-a", "a-node", "database", "data", "w-clock"):
        with pytest.raises(NotRunningError):
            await fresh.lab.break_(name)


def interfaces() -> set[str]:
    return {entry.name for entry in Path("/sys/class/net").iterdir()}


def command(data_dir: Path, base_port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOLDFAST_LAB_BASE_PORT": str(base_port)}
    line = [sys.executable, "-m", "holdfast.bootstrap.main", "lab", *arguments, "--data-dir", str(data_dir)]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_by_the_command_line(tmp_path: Path) -> None:
    """Up, broken, healed, down: as a person types it, with the exit codes and the JSON that programs want."""
    data_dir = tmp_path / "holdfast"
    lab = TwoRegions(data_dir / "lab" / "regions")
    try:
        up = command(data_dir, lab.base_port, "up", "--json")
        assert up.returncode == 0, up.stderr
        assert {part["state"] for part in json.loads(up.stdout)} == {"running"}

        broken = command(data_dir, lab.base_port, "break", "b-edge")
        assert (broken.returncode, "broken" in broken.stdout) == (0, True)
        told = json.loads(command(data_dir, lab.base_port, "status", "--json").stdout)
        assert {part["name"] for part in told if part["state"] != "running"} == {"b-edge"}
        assert command(data_dir, lab.base_port, "heal", "b-edge").returncode == 0

        for wrong, words in (
            (("break", "c-edge"), "did you mean"),
            (("break", "b-edge", "--how", "melt"), "there is no damage 'melt'"),
            (("break", "disk", "--how", "cut"), "cannot be broken by cut"),
            (("break", "link"), "no links to cut"),
            (("up", "everything"), "there is no lab 'everything'"),
        ):
            refused = command(data_dir, lab.base_port, *wrong)
            assert refused.returncode != 0
            assert words in refused.stderr, refused.stderr
            assert "Traceback" not in refused.stderr
    finally:
        down = command(data_dir, lab.base_port, "down", "--json")
    assert down.returncode == 0, down.stderr
    assert {part["state"] for part in json.loads(down.stdout)} == {"missing"}
    assert lab.processes() == {}
