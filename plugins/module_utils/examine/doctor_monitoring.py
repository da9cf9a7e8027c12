# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules about the monitoring: what it cannot see, cannot keep and cannot tell. Pure.

Where Prometheus's container does not run, the rule about containers reports that.
"""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.examine.doctor import Rule, of_service
from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import Finding
from ansible_collections.intranet.mcp.plugins.module_utils.examine.monitoring import DOWN

# How long Prometheus may go without keeping a measurement: several scrapes.
STALE_SECONDS = 60
UNAUTHORIZED = re.compile(r"HTTP status 40[13]")
# Alertmanager's words for why a receiver did not take an alert.
REASONS = {"clientError": "refuses it (4xx)", "serverError": "fails (5xx)"}


def targets(facts, wanted):
    """Whom Prometheus cannot ask. A container that does not run has its finding already."""
    found = of_service(facts, wanted, "prometheus", "monitoring")
    down = [t for t in (found.targets if found else ()) if t.health == DOWN]
    # An exporter that does not answer hides all that it is asked about.
    for at in dict.fromkeys(target.at for target in down):
        asked = at.removeprefix(wanted["container_prefix"])
        is_here = asked in wanted["services"]
        if is_here and (facts["containers"].get(asked) or {}).get("state") != "running":
            continue
        (first, *others) = [target for target in down if target.at == at]
        jobs = ", ".join(target.job for target in (first, *others))
        action, fix = _remedy(first, asked if is_here else "", wanted)
        yield Finding(
            "monitoring",
            f"Prometheus cannot read {jobs} on {first.host}: {first.error}",
            "its numbers at every scrape",
            action,
            fix,
            asked if fix == "restart" else "prometheus",
        )


def _remedy(target, here: str, wanted) -> tuple[str, str]:
    """What to do about a target, by Prometheus's own words, and what doctor does.

    here: the service of this host that does not answer.
    """
    prefix = wanted["container_prefix"]
    if UNAUTHORIZED.search(target.error):
        return "run the playbook, which gives both the same key", "replace"
    if here:
        return f"docker restart {prefix}{here}", "restart"
    start = f"on {target.host}, docker start {prefix}{target.container or target.service}"
    return f"{start}; if it runs, look what filters between the two hosts", ""


def rules(facts, wanted):
    found = of_service(facts, wanted, "prometheus", "monitoring")
    for name, error in (found.rules or {}).items() if found else ():
        if error:
            yield Finding(
                "monitoring",
                f"the alert rule {name} cannot be evaluated: {error}",
                "a rule that Prometheus understands",
                "correct the prometheus_ option that it holds, and run the playbook",
                service="prometheus",
            )


def alertmanager(facts, wanted):
    found = of_service(facts, wanted, "prometheus", "monitoring")
    container = facts["containers"].get("alertmanager") or {}
    if not found or container.get("state") != "running":
        return
    if found.alertmanager or not found.alertmanagers:
        why = found.alertmanager or "Prometheus knows of none"
        yield Finding(
            "monitoring",
            f"alerts reach nobody, as Alertmanager does not take them: {why}",
            "an Alertmanager that answers",
            f"docker logs {wanted['container_prefix']}alertmanager; then run the playbook",
            "restart",
            "alertmanager",
        )


def storage(facts, wanted):
    """A Prometheus whose disk is full goes on answering, and keeps nothing."""
    found = of_service(facts, wanted, "prometheus", "monitoring")
    if not found or facts["time"] - found.started < STALE_SECONDS:
        return
    age = None if found.stored is None else facts["time"] - found.stored
    if age is None or age > STALE_SECONDS:
        last = "five minutes" if age is None else f"{age:.0f} s"
        yield Finding(
            "monitoring",
            f"Prometheus has kept no measurement for {last}",
            f"one within {STALE_SECONDS} s",
            f"make room on its disk (prometheus_retention_mb bounds what it takes), or read docker "
            f"logs {wanted['container_prefix']}prometheus",
            service="prometheus",
        )


def receivers(facts, wanted):
    found = of_service(facts, wanted, "prometheus", "monitoring")
    for failed in found.undelivered if found else ():
        why = REASONS.get(failed.reason, "cannot be reached")
        yield Finding(
            "monitoring",
            f"alerts do not reach receiver {failed.receiver}: its {failed.integration} {why}",
            "every alert delivered",
            f"read docker logs {wanted['container_prefix']}alertmanager, and correct "
            "prometheus_receivers",
            service="alertmanager",
        )


RULES: list[tuple[str, Rule]] = [
    ("Prometheus's targets", targets),
    ("alert rules", rules),
    ("Alertmanager", alertmanager),
    ("Prometheus's storage", storage),
    ("receivers of alerts", receivers),
]
