"""The replicas of a region, by the HTTP API of whoever sees to them.

GET  URL                                        {"wanted": 2, "ready": 2}, or which ones are: "ready": [1, 2]
PUT  URL  {"wanted": 4, "fence": [7, 31]}       200; 409 when the fence is older than the newest that was seen
"""

import base64
import json
from collections.abc import Mapping

from holdfast.adapters.service.asking import document, exchange
from holdfast.recovery.errors import ComesLate, StepFailed
from holdfast.recovery.ports import Fence
from holdfast.recovery.region_ports import Replicas


class HttpFleet:
    """Fleet."""

    def __init__(
        self, url: str, *, login: str = "", password: str | None = None, within_s: float = 2.0
    ) -> None:
        self._url = url
        self._headers: Mapping[str, str] = {}
        if password is not None:
            told = base64.b64encode(f"{login}:{password}".encode()).decode()
            self._headers = {"authorization": f"Basic {told}"}
        self._within_s = within_s

    async def replicas(self) -> Replicas:
        status, body = await exchange("GET", self._url, self._within_s, headers=self._headers)
        told = document(body)
        wanted, ready = told.get("wanted"), told.get("ready")
        if isinstance(ready, list):  # which ones, instead of how many
            ready = len(ready)
        if status != 200 or type(wanted) is not int or type(ready) is not int:
            raise StepFailed(f"{self._url} does not tell of replicas ({status})")
        return Replicas(wanted, ready)

    async def scale(self, wanted: int, fence: Fence) -> None:
        content = json.dumps({"wanted": wanted, "fence": [fence.epoch, fence.turn]})
        status, body = await exchange(
            "PUT", self._url, self._within_s, content=content, headers=self._headers
        )
        if status == 409:
            raise ComesLate(f"{self._url} has heard of a later attempt")
        if status not in (200, 202, 204):
            raise StepFailed(
                f"{self._url} refuses {wanted} replicas: {body[:200].decode(errors='replace')} ({status})"
            )
