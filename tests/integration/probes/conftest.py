"""Every test of the probes runs on both event loops; afterwards nothing may be left open."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import real_servers
import uvloop
from probe_targets import Authority, open_descriptors, resolve_secret, settled

from holdfast.adapters.probes import Probes


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


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


@pytest.fixture(scope="session")
def name_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_servers.NameServers]:
    with real_servers.name_servers(tmp_path_factory.mktemp("dns")) as servers:
        yield servers


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[real_servers.Broker]:
    with real_servers.rabbitmq(tmp_path_factory.mktemp("rabbitmq"), authority) as broker:
        yield broker


@pytest.fixture(scope="session")
def health_server(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[real_servers.HealthServer]:
    with real_servers.grpc_health(tmp_path_factory.mktemp("grpc"), authority) as server:
        yield server


@pytest.fixture(scope="session")
def prometheus_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with real_servers.prometheus(tmp_path_factory.mktemp("prometheus")) as port:
        yield port
