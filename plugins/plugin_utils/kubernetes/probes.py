# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""When a pod gets requests, and when it is restarted. Pure.

`ready` of the catalog decides on requests, or `ready_command` of a definition's health, and
`health` on restarts. A service without paths is asked by the command of its definition, which
decides on requests alone: a database that recovers for an hour does not answer either, and would
never end if it were restarted.
"""

from __future__ import annotations

import math

from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    Unit,
    port_name,
)

# As a balancer does on hosts: it checks every two seconds, and two failed checks remove a replica.
CHECK_SECONDS = 2
FAILED_CHECKS = 2
# Where none is ready, a balancer asks those that are alive; a Service sends requests to nobody. So
# what takes them all at once, a database on its way to another node, is borne for as long as a pod
# that is not alive is before it is restarted.


def of(unit: Unit) -> dict:
    """The probes of a service's container."""
    health = unit.definition["health"]
    interval = int(health.get("interval_seconds", 5))
    timeout = int(health.get("timeout_seconds", 5))
    if not (path := unit.service.ready or unit.service.health):
        return {"readinessProbe": _run(health["command"], timeout, interval)}
    retries = int(health.get("retries", 12))
    bad_answers = FAILED_CHECKS
    if unit.service.ready and unit.service.health:
        bad_answers = math.ceil(retries * interval / CHECK_SECONDS)
    found = {
        "readinessProbe": {
            **_get(unit, path, timeout),
            "periodSeconds": CHECK_SECONDS,
            "failureThreshold": bad_answers,
        }
    }
    if words := health.get("ready_command"):
        found["readinessProbe"] = _run(words, timeout, interval)
    if unit.service.health:
        alive = _get(unit, unit.service.health, timeout)
        patience = int(health.get("start_seconds", 30)) + retries * interval
        found["livenessProbe"] = {
            **alive,
            "periodSeconds": interval,
            "failureThreshold": retries,
        }
        found["startupProbe"] = {
            **alive,
            "periodSeconds": CHECK_SECONDS,
            "failureThreshold": math.ceil(patience / CHECK_SECONDS),
        }
    return found


def _run(command: list, timeout: int, interval: int) -> dict:
    asked = {"exec": {"command": [str(word) for word in command]}, "timeoutSeconds": timeout}
    return {**asked, "periodSeconds": interval, "failureThreshold": FAILED_CHECKS}


def _get(unit: Unit, path: str, timeout: int) -> dict:
    return {
        "httpGet": {"path": path, "port": port_name(unit.service)},
        "timeoutSeconds": timeout,
    }
