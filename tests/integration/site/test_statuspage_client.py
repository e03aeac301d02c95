"""A public program that reads Statuspage's pages reads ours: the Prometheus exporter for Statuspage.

It is run as its users run it, in a process of its own, and what it wrote for Prometheus is looked at.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from site_estates import overview
from site_served import ServedSite
from site_told import news

from holdfast.availability.model import State

EXPORTER = Path(sys.executable).with_name("statuspage-prometheus-exporter")
Measured = dict[str, list[tuple[dict[str, str], float]]]


async def exported(url: str, folder: Path) -> Measured:
    """What the exporter makes of one look at the page."""
    services = folder / "services.json"
    services.write_text(
        json.dumps({"printcloud": {"url": f"{url}/api/v2/summary.json", "name": "Printcloud"}})
    )
    told = folder / "statuspage.prom"
    environment = {
        "PATH": os.environ["PATH"],
        "RUN_MODE": "once",
        "SERVICES_JSON_PATH": str(services),
        "METRICS_TEXTFILE_PATH": str(told),
        "NO_PROXY": "*",
    }
    process = await asyncio.create_subprocess_exec(
        EXPORTER,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    found: Measured = {}
    for family in text_string_to_metric_families(told.read_text()):
        found |= {family.name: [(dict(each.labels), each.value) for each in family.samples]}
    return found


async def test_the_exporter_for_statuspage_reads_our_page(served: ServedSite, tmp_path: Path) -> None:
    told = news()
    served.reader.now_overview = overview(10, states={("eu", "api"): State.MAJOR_OUTAGE})
    served.news.incidents, served.news.works = list(told.incidents), list(told.maintenance)
    await served.site.publisher.turn()
    found = await exported(served.url, tmp_path)
    assert found["statuspage_probe_check"] == [({"service_name": "Printcloud"}, 1.0)]
    assert found["statuspage_service_status"] == [({"service_name": "Printcloud"}, 0.0)]
    ((incident, _),) = found["statuspage_incident_info"]
    assert (incident["incident_id"], incident["impact"]) == ("openincident", "major")
    assert incident["incident_name"] == "Printing is slow"
    works = {labels["maintenance_id"] for labels, _ in found["statuspage_maintenance_info"]}
    assert works == {"maintenance3", "maintenance4"}
    components = {labels["component_name"] for labels, up in found["statuspage_component_status"] if up == 0}
    assert "EU API" in components
    assert not components & {"EU2 API", "USA API"}


async def test_the_exporter_says_that_all_is_well_when_it_is(served: ServedSite, tmp_path: Path) -> None:
    served.reader.now_overview = overview(10)
    await served.site.publisher.turn()
    found = await exported(served.url, tmp_path)
    assert found["statuspage_service_status"] == [({"service_name": "Printcloud"}, 1.0)]
    assert {up for _, up in found["statuspage_component_status"]} == {1.0}
    assert {up for _, up in found["statuspage_incident_info"]} == {0.0}


async def test_every_address_answers_over_the_wire_and_to_other_sites(served: ServedSite) -> None:
    told = news()
    served.news.incidents, served.news.works = list(told.incidents), list(told.maintenance)
    await served.site.publisher.turn()
    async with httpx.AsyncClient(base_url=f"{served.url}/api/v2") as client:
        summary = await client.get("/summary.json")
        addresses = [
            "status",
            "components",
            f"components/{summary.json()['components'][1]['id']}",
            "incidents",
            "incidents/unresolved",
            "incidents/openincident",
            "scheduled-maintenances",
            "scheduled-maintenances/upcoming",
            "scheduled-maintenances/active",
            "scheduled-maintenances/maintenance4",
        ]
        for address in addresses:
            answer = await client.get(f"/{address}.json", headers={"origin": "https://elsewhere.example"})
            assert answer.status_code == 200, address
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
            again = await client.get(f"/{address}.json", headers={"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304, address
        for address in ("incidents/nothing00000.json", "subscribers.json", "..%2f..%2fetc", "status.json/x"):
            answer = await client.get(f"/{address}")
            assert (answer.status_code, answer.json()) == (404, {"error": "not found"}), address
            assert answer.headers["access-control-allow-origin"] == "*"
