# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether the monitoring watches what it should, and what it says. For verify."""

from __future__ import annotations

from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    PASSED,
    WARNING,
    Finding,
    verdict,
)
from ansible_collections.intranet.mcp.plugins.module_utils.examine.monitoring import (
    UP,
    Monitoring,
    Watcher,
)

NOT_ASKED = "not asked yet"
LISTED = 5
ARGUMENTS = {
    "prometheus": {"type": "str", "required": True},
    "alertmanager": {"type": "str", "required": True},
    "jobs": {"type": "list", "elements": "str", "required": True},
    "prefix": {"type": "str", "required": True},
    "wait_seconds": {"type": "int", "default": 45},
}


def watched(name: str, params: dict[str, Any]) -> list[Finding]:
    """Ask Prometheus and Alertmanager, which may have started a moment ago."""
    found = Watcher(params["prometheus"], params["alertmanager"]).read_until_steady(
        params["wait_seconds"]
    )
    return judge(name, found, params["jobs"], params["prefix"])


def judge(name: str, found: Monitoring, jobs: list[str], prefix: str) -> list[Finding]:
    """Return a row for each question about the monitoring. Pure."""
    return [
        _targets(f"{name} sees every service", found, jobs),
        _rules(f"{name} has its alert rules", found, prefix),
        _alertmanager(f"{name} reaches Alertmanager", found, prefix),
        _watchdog(f"{name} alerts arrive", found, prefix),
        _alerts(f"{name} has no alert", found),
    ]


def _targets(name: str, found: Monitoring, jobs: list[str]) -> Finding:
    missing = sorted(set(jobs) - {target.job for target in found.targets})
    down = [target for target in found.targets if target.health != UP]
    texts = [f"{target.job} on {target.host}: {target.error or NOT_ASKED}" for target in down]
    texts += [f"{job}: not in its configuration" for job in missing]
    count = len(found.targets)
    return Finding(
        name,
        listed(texts) or f"{count} of {count} answer",
        f"an answer of each of {len(jobs)} jobs",
        "make doctor says why each does not answer; run site.yml where one is not configured",
        status=verdict(not texts),
    )


def _rules(name: str, found: Monitoring, prefix: str) -> Finding:
    rules = found.rules or {}
    broken = [f"{rule}: {error}" for rule, error in rules.items() if error]
    broken += [f"{rule}: not evaluated yet" for rule in found.unjudged]
    return Finding(
        name,
        listed(broken) or f"{len(rules)} rules",
        "every rule evaluated",
        f"read docker logs {prefix}prometheus, and run site.yml",
        status=verdict(bool(rules) and not broken),
    )


def _alertmanager(name: str, found: Monitoring, prefix: str) -> Finding:
    is_known = bool(found.alertmanagers)
    text = found.alertmanager or ("it answers" if is_known else "Prometheus knows of none")
    return Finding(
        name,
        text,
        "an Alertmanager that answers",
        f"docker start {prefix}alertmanager",
        status=verdict(is_known and not found.alertmanager),
    )


def _watchdog(name: str, found: Monitoring, prefix: str) -> Finding:
    return Finding(
        name,
        "the watchdog did" if found.has_watchdog else "the watchdog is not there",
        "the alert that never ends, in Alertmanager",
        f"read docker logs {prefix}prometheus and docker logs {prefix}alertmanager",
        status=verdict(found.has_watchdog),
    )


def _alerts(name: str, found: Monitoring) -> Finding:
    """An alert may be older than what was just deployed, so it is shown and fails nothing."""
    texts = [f"{alert.name}: {alert.summary}" for alert in found.alerts]
    action = found.alerts[0].runbook if found.alerts else ""
    status = WARNING if texts else PASSED
    return Finding(name, listed(texts) or "none", "none but the watchdog", action, status=status)


def listed(texts: list[str]) -> str:
    """Return some of the texts on one line, and how many more there are. Pure."""
    more = f"; and {len(texts) - LISTED} more" if len(texts) > LISTED else ""
    return "; ".join(texts[:LISTED]) + more
