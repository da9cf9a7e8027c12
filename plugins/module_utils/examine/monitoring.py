# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What Prometheus and Alertmanager say of what they watch, and of themselves."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import (
    ServiceError,
    Unexpected,
)
from ansible_collections.intranet.mcp.plugins.module_utils.common.http import HttpClient

UP, DOWN = "up", "down"
WATCHDOG = "Watchdog"
# When Prometheus last kept one of its own measurements; it looks back five minutes.
STORED = 'timestamp(up{job="prometheus"})'
FAILURES = (
    "sum by (receiver_name, integration, reason)"
    " (increase(alertmanager_notifications_failed_total[3m])) > 0"
)


@dataclass(frozen=True)
class Target:
    """One of which Prometheus reads numbers. at: the name by which it connects, an exporter's too.

    health: up, down, or unknown where it was not asked yet.
    """

    job: str
    service: str
    host: str
    at: str = ""
    health: str = UP
    error: str = ""
    container: str = ""  # the service whose container it is, as of a further port


@dataclass(frozen=True)
class Alert:
    """An alert that is out."""

    name: str
    summary: str = ""
    runbook: str = ""


@dataclass(frozen=True)
class Undelivered:
    """A receiver that did not take an alert lately. reason: Alertmanager's word for why."""

    receiver: str
    integration: str
    reason: str


@dataclass(frozen=True)
class Monitoring:
    """What was read. started: when Prometheus did. stored: when it last kept a measurement, None:
    not in the last five minutes.

    alertmanager: why it does not answer. has_watchdog: whether the alert that never ends got there.
    """

    targets: tuple[Target, ...] = ()
    rules: dict[str, str] | None = None  # name -> why it cannot be evaluated, empty where it can
    unjudged: tuple[str, ...] = ()  # rules that were not evaluated yet
    alertmanagers: int = 0
    alertmanager: str = ""
    has_watchdog: bool = False
    alerts: tuple[Alert, ...] = ()
    started: float = 0
    stored: float | None = None
    undelivered: tuple[Undelivered, ...] = ()

    @property
    def is_steady(self) -> bool:
        """Whether nothing of it would be different a moment later, since it was all seen once."""
        return (
            all(target.health == UP for target in self.targets)
            and not self.unjudged
            and bool(self.alertmanagers)
            and self.has_watchdog
        )


class Watcher:
    """Prometheus and Alertmanager of this host, both on its loopback address."""

    def __init__(self, prometheus: str, alertmanager: str, timeout: float = 8) -> None:
        self._prometheus = HttpClient(prometheus, "Prometheus", "its port", timeout=timeout)
        self._alertmanager = HttpClient(alertmanager, "Alertmanager", "its port", timeout=timeout)

    def read(self) -> Monitoring:
        """Ask both. Raises where Prometheus does not answer."""
        rules = [
            rule for group in self._asked("rules?type=alert")["groups"] for rule in group["rules"]
        ]
        seen, silent = self._seen_alerts()
        return Monitoring(
            targets=tuple(
                map(target_of, self._asked("targets?state=active")["activeTargets"]),
            ),
            rules={rule["name"]: rule.get("lastError", "") for rule in rules},
            unjudged=tuple(rule["name"] for rule in rules if rule["health"] == "unknown"),
            alertmanagers=len(self._asked("alertmanagers")["activeAlertmanagers"]),
            alertmanager=silent,
            has_watchdog=WATCHDOG in seen,
            alerts=tuple(
                Alert(name, texts.get("summary", ""), texts.get("runbook", ""))
                for name, texts in firing(rules)
            ),
            started=seconds_of(self._asked("status/runtimeinfo")["startTime"]),
            stored=self._number(STORED),
            undelivered=tuple(undelivered_of(row["metric"]) for row in self._queried(FAILURES)),
        )

    def read_until_steady(self, seconds: float, pause: float = 2) -> Monitoring:
        """Ask both, again and again for at most so many seconds while it may still get better."""
        ends_at = time.monotonic() + seconds
        while True:
            found = self.read()
            if found.is_steady or time.monotonic() >= ends_at:
                return found
            time.sleep(pause)

    def _asked(self, question: str) -> Any:
        reply = self._prometheus.request("GET", f"/api/v1/{question}")
        data = (reply.json() or {}).get("data") if reply.ok else None
        if data is None:
            raise Unexpected(
                f"Prometheus answers {reply.status} to /api/v1/{question.partition('?')[0]}",
                "200 and data",
                "read its log",
            )
        return data

    def _queried(self, expression: str) -> list[dict]:
        return self._asked(f"query?query={quote(expression)}")["result"]

    def _number(self, expression: str) -> float | None:
        found = self._queried(expression)
        return float(found[0]["value"][1]) if found else None

    def _seen_alerts(self) -> tuple[set[str], str]:
        """Names of the alerts that Alertmanager has, and why it does not say."""
        try:
            reply = self._alertmanager.request("GET", "/api/v2/alerts")
        except ServiceError as error:
            return set(), error.found
        if not reply.ok:
            return set(), f"it answers {reply.status}"
        return {alert["labels"]["alertname"] for alert in reply.json()}, ""


def seconds_of(moment: str) -> float:
    """Return a moment as Prometheus writes it (UTC, to the nanosecond) as seconds. Pure."""
    return calendar.timegm(time.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S"))


def target_of(told: dict) -> Target:
    """Return a target as Prometheus tells of it. Pure."""
    labels = told["labels"]
    return Target(
        labels["job"],
        labels.get("service", labels["job"]),
        labels.get("host", ""),
        urlsplit(told["scrapeUrl"]).hostname or "",
        told["health"],
        told.get("lastError", ""),
        labels.get("container", ""),
    )


def undelivered_of(labels: dict[str, str]) -> Undelivered:
    """Return who did not take an alert, out of the labels of Alertmanager's counter. Pure."""
    return Undelivered(*(labels.get(k, "") for k in ("receiver_name", "integration", "reason")))


def firing(rules: list[dict]) -> list[tuple[str, dict[str, str]]]:
    """Return name and texts of each alert that is out, but the one that never ends. Pure."""
    return [
        (rule["name"], alert.get("annotations", {}))
        for rule in rules
        for alert in rule.get("alerts", [])
        if alert["state"] == "firing" and rule["name"] != WATCHDOG
    ]
