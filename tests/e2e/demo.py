"""The demo as a first-time user starts it, on free ports and in a folder of its own."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from holdfast.lab.topology import CLUSTERS, ROLES
from installation import Installation, Started, eventually, fetch

PACE = float(os.environ.get("HOLDFAST_TEST_PACE", "1"))
"""A machine on which everything is slower may stretch the promises' times by this factor."""
PROMISED_S = 15.0 * PACE
"""So soon after a break the page shows it."""
ARTIFACTS = Path(__file__).resolve().parents[1] / ".artifacts"
COMPONENTS = [f"{cluster}/{role}" for cluster in CLUSTERS for role in ROLES]


@dataclass
class Demo:
    """A running demo. Each test leaves it whole."""

    installation: Installation
    up: Started
    told: dict[str, str] = field(default_factory=dict)
    """What was told when it began: pages that stay, by what they are, below their language."""

    @property
    def site(self) -> str:
        """The status site's address, without the slash at its end."""
        address: str = self.up.said.json["site"]
        return address.rstrip("/")

    @property
    def config(self) -> Path:
        """The estate file that the demo made for its ports."""
        return self.installation.data_dir / "lab" / "holdfast.yaml"

    def report_path(self, name: str, language: str = "en") -> str:
        """The path of the report on the agreement of that name."""
        address: str = self.up.said.json["reports"][name]
        return address.removeprefix(self.site).replace("/en/", f"/{language}/", 1)

    def pages(self, language: str) -> dict[str, str]:
        """One address of each kind of page, by what it is."""
        return {
            "overall": f"/{language}/",
            "cluster": f"/{language}/clusters/eu",
            "component": f"/{language}/clusters/eu/api",
            "component, a year": f"/{language}/clusters/usa/website?range=1y",
            "history": f"/{language}/history",
            "incidents": f"/{language}/incidents",
            **{what: f"/{language}/{path}" for what, path in self.told.items()},
            "formula": f"/{language}/formula",
            "agreement": self.report_path("Premium SLA, EU", language),
            "problem": f"/{language}/no-such-page",
        }

    def run(self, *arguments: str) -> Any:
        """What a command answers in JSON."""
        return self.installation.run(*arguments, "--json").json

    def break_(self, part: str, how: str = "kill") -> datetime:
        """Break a part of the lab; returns the moment at which it was done."""
        (broken,) = self.run("lab", "break", part, "--how", how)
        return datetime.fromisoformat(broken["since"])

    def heal(self, part: str) -> None:
        self.run("lab", "heal", part)

    def incident(self, step: str, *arguments: str) -> Any:
        """What `holdfast incident` comes to."""
        return self.run("incident", step, *arguments, "--config", str(self.config))

    def tell(self) -> None:
        """An incident that is over, with an edit in its record, and work that is planned for next week."""
        texts = ("--title", "Anmeldung gestört", "--body", "Wir *suchen* die Ursache.")
        made = self.incident("declare", *texts, "--impact", "minor", "--component", "eu/website=degraded")
        told, first = made["id"], made["updates"][0]["id"]
        self.incident("edit", told, "--update", first, "--body", "Wir **kennen** die Ursache.")
        self.incident("resolve", told, "--body", "Ein Zertifikat war abgelaufen.")
        self.told["incident"] = f"incidents/{told}"
        start = datetime.now(UTC) + timedelta(days=7)
        times = [moment.isoformat(timespec="seconds") for moment in (start, start + timedelta(hours=2))]
        planned = self.run(
            *(
                "maintenance",
                "plan",
                "usa/*",
                "--from",
                times[0],
                "--to",
                times[1],
                "--title",
                "Neue Platten",
            ),
            *("--text", "Sie sind *schneller*.", "--config", str(self.config)),
        )
        self.told["maintenance"] = f"maintenance/{planned['id']}"

    def report(self, agreement: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.run("sla", "report", agreement, "--config", str(self.config))
        return found

    def status(self) -> Mapping[str, Any]:
        """The site's answer for machines; empty while it does not answer."""
        code, body = fetch(f"{self.site}/api/v1/status.json")
        found: Mapping[str, Any] = json.loads(body) if code == 200 else {}
        return found

    def shown(self, what: str = "state") -> dict[str, str]:
        """Each component's state on the site."""
        return {
            f"{cluster['key']}/{each['key']}": each[what]
            for cluster in self.status().get("clusters", ())
            for each in cluster["components"]
        }

    def until_whole(self, what: str = "state") -> None:
        """Wait until every component is operational on the site, and the site is current.

        `what`: as shown (`state`), or as `measured` whatever an open incident tells of it.
        """
        try:
            eventually(
                lambda: (
                    self.shown(what) == dict.fromkeys(COMPONENTS, "operational")
                    and not self.status()["stale"]
                ),
                "all components are operational",
            )
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status()}") from error

    def timeline(self, component: str) -> list[tuple[datetime, int, datetime]]:
        """The measured transitions of a component with one check: at, state, recorded at; oldest first."""
        cluster, key = component.split("/")
        rows = self.installation.query(
            "SELECT t.at, t.state, t.recorded_at FROM availability.transition t "
            "JOIN estate.probe p ON p.id = t.check_id JOIN estate.component c ON c.id = p.component_id "
            "WHERE c.cluster_key = %s AND c.key = %s AND NOT t.sample ORDER BY t.at",
            cluster,
            key,
        )
        return [(at, state, recorded) for at, state, recorded in rows]
