"""What clients hold on to: the API's addresses, its operations' names, and the scopes that they need."""

import json
from pathlib import Path

from typer.testing import CliRunner

from holdfast.bootstrap.main import _commands
from holdfast.interfaces.cli.app import build

STABLE = {
    ("DELETE", "/subscribers/{subscriber_id}", "removeSubscriber", "operate"),
    ("GET", "/agreements", "listAgreements", "read"),
    ("GET", "/agreements/{key}", "getAgreement", "read"),
    ("GET", "/agreements/{key}/report", "getAgreementReport", "read"),
    ("GET", "/clusters", "listClusters", "read"),
    ("GET", "/clusters/{cluster}", "getCluster", "read"),
    ("GET", "/components", "listComponents", "read"),
    ("GET", "/components/{cluster}/{key}", "getComponent", "read"),
    ("GET", "/drills", "listDrills", "read"),
    ("GET", "/drills/{key}", "getDrill", "read"),
    ("GET", "/evidence", "listEvidence", "read"),
    ("GET", "/evidence/bundle", "exportEvidenceLog", "read"),
    ("GET", "/evidence/{evidence_id}", "getEvidence", "read"),
    ("GET", "/evidence/{evidence_id}/bundle", "exportEvidence", "read"),
    ("GET", "/incidents", "listIncidents", "read"),
    ("GET", "/incidents/{incident_id}", "getIncident", "read"),
    ("GET", "/journal", "listJournal", "audit:read"),
    ("GET", "/ledger/accesses", "listLedgerAccesses", "audit:read"),
    ("GET", "/ledger/jobs", "listJobs", "ledger:read"),
    ("GET", "/ledger/jobs/export", "exportJobs", "ledger:read"),
    ("GET", "/ledger/report", "reportJobs", "ledger:read"),
    ("GET", "/ledger/report/export", "exportReport", "ledger:read"),
    ("GET", "/ledger/trace", "traceJobs", "ledger:read"),
    ("GET", "/maintenance-series", "listMaintenanceSeries", "read"),
    ("GET", "/maintenance-series/{series_id}", "getMaintenanceSeries", "read"),
    ("GET", "/maintenances", "listMaintenances", "read"),
    ("GET", "/maintenances/{maintenance_id}", "getMaintenance", "read"),
    ("GET", "/playbooks", "listPlaybooks", "read"),
    ("GET", "/runs", "listRuns", "read"),
    ("GET", "/runs/{run_id}", "getRun", "read"),
    ("GET", "/status", "getStatus", "read"),
    ("GET", "/subscribers", "listSubscribers", "subscribers:read"),
    ("GET", "/subscribers/counts", "countSubscribers", "subscribers:read"),
    ("GET", "/subscribers/waiting", "listWaiting", "subscribers:read"),
    ("GET", "/templates", "listTemplates", "read"),
    ("GET", "/templates/{key}", "getTemplate", "read"),
    ("PATCH", "/incidents/{incident_id}", "changeIncident", "incidents:write"),
    ("PATCH", "/incidents/{incident_id}/updates/{update_id}", "editIncidentUpdate", "incidents:write"),
    ("PATCH", "/maintenance-series/{series_id}", "changeMaintenanceSeries", "maintenance:write"),
    ("PATCH", "/maintenances/{maintenance_id}", "changeMaintenance", "maintenance:write"),
    ("POST", "/incidents", "declareIncident", "incidents:write"),
    ("POST", "/incidents/preview", "previewIncident", "incidents:write"),
    ("POST", "/incidents/{incident_id}/merge", "mergeIncident", "incidents:write"),
    ("POST", "/incidents/{incident_id}/merge/preview", "previewIncidentMerge", "incidents:write"),
    ("POST", "/incidents/{incident_id}/publish", "publishIncident", "incidents:write"),
    ("POST", "/incidents/{incident_id}/publish/preview", "previewIncidentPublication", "incidents:write"),
    ("POST", "/incidents/{incident_id}/updates", "postIncidentUpdate", "incidents:write"),
    ("POST", "/incidents/{incident_id}/updates/preview", "previewIncidentUpdate", "incidents:write"),
    ("POST", "/maintenance-series", "planMaintenanceSeries", "maintenance:write"),
    ("POST", "/maintenance-series/preview", "previewMaintenanceSeries", "maintenance:write"),
    ("POST", "/maintenance-series/{series_id}/end", "endMaintenanceSeries", "maintenance:write"),
    ("POST", "/maintenances", "planMaintenance", "maintenance:write"),
    ("POST", "/maintenances/preview", "previewMaintenance", "maintenance:write"),
    ("POST", "/maintenances/{maintenance_id}/cancel", "cancelMaintenance", "maintenance:write"),
    (
        "POST",
        "/maintenances/{maintenance_id}/cancel/preview",
        "previewMaintenanceCancellation",
        "maintenance:write",
    ),
    ("POST", "/maintenances/{maintenance_id}/extend", "extendMaintenance", "maintenance:write"),
    (
        "POST",
        "/maintenances/{maintenance_id}/extend/preview",
        "previewMaintenanceExtension",
        "maintenance:write",
    ),
    ("POST", "/maintenances/{maintenance_id}/finish", "finishMaintenance", "maintenance:write"),
    ("POST", "/maintenances/{maintenance_id}/finish/preview", "previewMaintenanceEnd", "maintenance:write"),
    ("POST", "/maintenances/{maintenance_id}/preview", "previewMaintenanceChange", "maintenance:write"),
    ("POST", "/maintenances/{maintenance_id}/start", "startMaintenance", "maintenance:write"),
    ("POST", "/maintenances/{maintenance_id}/start/preview", "previewMaintenanceStart", "maintenance:write"),
    ("POST", "/maintenances/{maintenance_id}/updates", "postMaintenanceUpdate", "maintenance:write"),
    (
        "POST",
        "/maintenances/{maintenance_id}/updates/preview",
        "previewMaintenanceUpdate",
        "maintenance:write",
    ),
    ("POST", "/runs", "startRun", "operate"),
    ("POST", "/runs/{run_id}/cancel", "cancelRun", "operate"),
    ("POST", "/runs/{run_id}/resume", "resumeRun", "operate"),
    ("POST", "/templates/{key}/fill", "fillTemplate", "read"),
}
"""Add to it; whoever changes or removes a line breaks somebody's program."""


def test_names_and_addresses_stay(tmp_path: Path) -> None:
    out = tmp_path / "openapi.json"
    said = CliRunner().invoke(build(_commands), ["api", "schema", "--out", str(out)])
    assert said.exit_code == 0, said.output
    document = json.loads(out.read_text(encoding="utf-8"))
    found = {
        (method.upper(), path, operation["operationId"], operation["security"][0]["token"][0])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert found >= STABLE, f"gone: {sorted(STABLE - found)}"
    assert found <= STABLE, f"not written down here yet: {sorted(found - STABLE)}"
    assert document["servers"] == [{"url": "/api/v1"}]


def test_the_document_goes_to_the_screen_too() -> None:
    said = CliRunner().invoke(build(_commands), ["api", "schema"])
    assert said.exit_code == 0
    assert json.loads(said.output)["openapi"].startswith("3.1")
