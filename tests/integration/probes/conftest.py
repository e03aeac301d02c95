"""Every test of the probes runs on both event loops; afterwards nothing may be left open."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from probe_targets import Authority

from holdfast.adapters.probes import Probes
from holdfast.estate.model import SecretRef

SECRETS = {"TOKEN": "s3cret-token", "BROKEN": "line\r\nX-Injected: yes"}


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def resolve_secret(reference: SecretRef) -> str:
    return SECRETS[reference.name]


@pytest.fixture
async def probes() -> AsyncIterator[Probes]:
    """Probes that hold nothing afterwards: no descriptor, no task."""
    before, tasks = open_descriptors(), len(asyncio.all_tasks())
    subject = Probes(resolve_secret)
    yield subject
    await subject.close()
    await settled(lambda: open_descriptors() <= before and len(asyncio.all_tasks()) <= tasks)
    assert open_descriptors() <= before
    assert len(asyncio.all_tasks()) <= tasks


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def ca_file(authority: Authority) -> Path:
    return authority.ca_file


def open_descriptors() -> int:
    """All but /dev/null, which libuv opens with its first server and keeps for the day when none is left."""
    links = (_link(Path("/proc/self/fd") / name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    return sum(link not in ("", "/dev/null") for link in links)


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that listed the folder
        return ""


async def settled(quiet: Callable[[], bool]) -> None:
    """Give the loop some turns to close what was aborted."""
    for _ in range(200):
        if quiet():
            return
        await asyncio.sleep(0.01)
