"""The lab's parts, and the estate file that describes them."""

from pathlib import Path

import pytest

from holdfast.availability.conditions import validate
from holdfast.estate.checks import HttpCheck, TcpCheck
from holdfast.estate.loader import load_estate
from holdfast.estate.model import Estate
from holdfast.lab import Lab
from holdfast.lab.topology import CLUSTERS, CUSTOMER_LINKS, DEFAULT_BASE_PORT, ROLES, port_of


@pytest.fixture(scope="module")
def estate() -> Estate:
    """Loaded without the secrets that it refers to."""
    return load_estate(Lab().estate_file, validate)


def test_every_name_is_a_part_or_a_group(tmp_path: Path) -> None:
    services = [f"{cluster}-{role}" for cluster in CLUSTERS for role in ROLES]
    assert Lab(tmp_path / "lab").names == ("database", *services, *CLUSTERS)
    assert not (tmp_path / "lab").exists(), "to look is not to build"


def test_the_estate_file_describes_the_lab(estate: Estate) -> None:
    assert set(estate.clusters) == set(CLUSTERS)
    for cluster in CLUSTERS:
        components = estate.clusters[cluster].components
        assert tuple(components) == ROLES
        for role, component in components.items():
            port = port_of(DEFAULT_BASE_PORT, cluster, role)
            for check in component.checks.values():
                assert isinstance(check, HttpCheck | TcpCheck)
                if isinstance(check, HttpCheck):
                    assert check.url.startswith(f"http://127.0.0.1:{port}/")
                else:
                    assert (check.host, check.port) == ("127.0.0.1", port)


def test_the_lab_provides_every_secret_that_the_estate_file_refers_to(estate: Estate, tmp_path: Path) -> None:
    links = [agreement.report_link for agreement in estate.agreements.values()]
    assert {link.name for link in links if link and link.source == "env"} == set(CUSTOMER_LINKS)
    assert len(links) == len(CUSTOMER_LINKS)
    environment = Lab(tmp_path / "lab").environment()
    assert set(environment) == set(CUSTOMER_LINKS)
    assert len(set(environment.values())) == len(CUSTOMER_LINKS)


async def test_a_lab_that_was_never_up_is_down_already(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab", sources=tmp_path / "nowhere")
    assert {status.state.value for status in await lab.down()} == {"missing"}
    assert not (tmp_path / "lab").exists()
