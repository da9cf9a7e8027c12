# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Client of Prometheus's HTTP API: queries, and the alerts it raises."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlencode

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused, Unexpected
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient

# What it answers until then, as plain text.
STARTING = 503


class PrometheusClient:
    """One Prometheus. Series are {labels, points}, a point [seconds, value or None]."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    def __repr__(self) -> str:
        return f"PrometheusClient({self.http.url})"

    def at(self, query: str, time: float) -> list[dict[str, Any]]:
        """Evaluate a query at one time: each series has one point."""
        found = self._get("query", query=query, time=f"{time:.3f}")
        return [_series(item["metric"], [item["value"]]) for item in found["result"]]

    def over(self, query: str, start: float, end: float, step: int) -> list[dict[str, Any]]:
        """Evaluate a query every `step` seconds."""
        found = self._get(
            "query_range", query=query, start=f"{start:.3f}", end=f"{end:.3f}", step=str(step)
        )
        return [_series(item["metric"], item["values"]) for item in found["result"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing."""
        return self._get("alerts")["alerts"]

    def _get(self, path: str, **parameters: str) -> Any:
        text = f"?{urlencode(parameters)}" if parameters else ""
        reply = self.http.request("GET", f"/api/v1/{path}{text}")
        answer = reply.json()
        if reply.status == STARTING and answer is None:
            raise Unexpected(
                f"Prometheus at {self.http.url} has not started yet",
                "one that has read what it measured before",
                "wait a minute and run this again; its log says how far it is",
            )
        if not isinstance(answer, dict) or "status" not in answer:
            raise Unexpected(
                f"{self.http.url} answers {reply.status}, which is not Prometheus's",
                "Prometheus's HTTP API",
                f"correct {self.http.setting}",
            )
        if answer["status"] != "success":
            raise Refused(
                f"Prometheus refuses {parameters.get('query', path)}: {answer.get('error')}",
                "a query that it can answer",
                "correct the query, or ask for a shorter time",
            )
        return answer["data"]


def _series(labels: dict[str, str], values: list[list[Any]]) -> dict[str, Any]:
    return {"labels": labels, "points": [[float(at), _number(text)] for at, text in values]}


def _number(text: str) -> float | None:
    """A value; None for what is no number, as a share of nothing."""
    value = float(text)
    return value if math.isfinite(value) else None
