"""What Statuspage's v2 pages really answer: every field, its kind, and the words that it may hold.

Recorded from the answers of public pages (GitHub, Discord, Cloudflare, 2022 to 2026): names and kinds only.
A kind is one of: id (12 letters and digits), text, address, moment, date, number, flag, null; a tuple of
words; `[X]` a list of X; `(X,)` such a list or null; `{...}` an object; a set of kinds, one or the other.
"""

from typing import Any

STATES = ("operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance")
INDICATORS = ("none", "minor", "major", "critical", "maintenance")
PHASES = ("investigating", "identified", "monitoring", "resolved", "postmortem")
STAGES = ("scheduled", "in_progress", "verifying", "completed")

PAGE = {"id": "id", "name": "text", "url": "address", "time_zone": "text", "updated_at": "moment"}
STATUS = {"indicator": INDICATORS, "description": "text"}
COMPONENT = {
    "id": "id",
    "name": "text",
    "status": STATES,
    "created_at": "moment",
    "updated_at": "moment",
    "position": "number",
    "description": frozenset({"text", "null"}),
    "showcase": "flag",
    "start_date": frozenset({"date", "null"}),
    "group_id": frozenset({"id", "null"}),
    "page_id": "id",
    "group": "flag",
    "only_show_if_degraded": "flag",
}
GROUP = {**COMPONENT, "components": ["id"]}
AFFECTED = {"code": "id", "name": "text", "old_status": STATES, "new_status": STATES}


def _update(words: tuple[str, ...]) -> dict[str, Any]:
    return {
        "id": "id",
        "status": words,
        "body": "text",
        "incident_id": "id",
        "created_at": "moment",
        "updated_at": "moment",
        "display_at": "moment",
        "affected_components": (AFFECTED,),
        "deliver_notifications": "flag",
        "custom_tweet": "null",
        "tweet_id": "null",
    }


def _told(words: tuple[str, ...], impacts: tuple[str, ...]) -> dict[str, Any]:
    return {
        "id": "id",
        "name": "text",
        "status": words,
        "created_at": "moment",
        "updated_at": "moment",
        "monitoring_at": frozenset({"moment", "null"}),
        "resolved_at": frozenset({"moment", "null"}),
        "impact": impacts,
        "shortlink": "address",
        "started_at": "moment",
        "page_id": "id",
        "incident_updates": [_update(words)],
        "components": [COMPONENT],
        "reminder_intervals": "null",
    }


INCIDENT = _told(PHASES, INDICATORS)
MAINTENANCE = {
    **_told(STAGES, ("maintenance",)),
    "scheduled_for": "moment",
    "scheduled_until": "moment",
}

ANSWERS: dict[str, dict[str, Any]] = {
    "summary": {
        "page": PAGE,
        "components": [COMPONENT],
        "incidents": [INCIDENT],
        "scheduled_maintenances": [MAINTENANCE],
        "status": STATUS,
    },
    "status": {"page": PAGE, "status": STATUS},
    "components": {"page": PAGE, "components": [COMPONENT]},
    "incidents": {"page": PAGE, "incidents": [INCIDENT]},
    "incidents/unresolved": {"page": PAGE, "incidents": [INCIDENT]},
    "scheduled-maintenances": {"page": PAGE, "scheduled_maintenances": [MAINTENANCE]},
    "scheduled-maintenances/upcoming": {"page": PAGE, "scheduled_maintenances": [MAINTENANCE]},
    "scheduled-maintenances/active": {"page": PAGE, "scheduled_maintenances": [MAINTENANCE]},
    "components/ID": {"page": PAGE, "component": COMPONENT},
    "incidents/ID": {"page": PAGE, "incident": INCIDENT},
    "scheduled-maintenances/ID": {"page": PAGE, "scheduled_maintenance": MAINTENANCE},
}
