# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Alert rules for the cluster's Prometheus: those about numbers that services in it tell. Pure.

They are the rules of hosts. A cluster's Prometheus reads the numbers of others, too, so each
expression is about the platform's namespace alone.
"""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import SERVICE_MONITOR
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    NAME,
    SHARED,
    Target,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring import rules

ALERTS = "alerts"
# How the numbers of a service begin.
NUMBERS = {"gateway": "mcp_gateway_", "litellm": "litellm_"}
# Those of a process are told by every program.
_NUMBER = re.compile(r"\b((?:mcp_gateway|litellm|process)_\w+)(?:\{([^}]*)\})?")
_LOGS = "docker logs <prefix>"


def objects(target: Target) -> list[dict]:
    """The rules, where the site has the operator and one of those services runs in the cluster."""
    site = target.site
    told = tuple(NUMBERS[s.name] for s in target.services if s.name in NUMBERS)
    if not told or site.metrics.get("kind") != SERVICE_MONITOR:
        return []
    groups = [
        {"name": f"{site.namespace} {name}", "rules": [_rendered(rule, target) for rule in chosen]}
        for name, group in rules.GROUPS.items()
        if (chosen := [rule for rule in group if any(number in rule.expr for number in told)])
    ]
    metadata = target.meta(ALERTS, SHARED, site.metrics.get("labels_of_monitor"))
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata,
            "spec": {"groups": groups},
        }
    ]


def _rendered(rule: rules.Rule, target: Target) -> dict:
    made = rules.rendered(rule, target.alerts | {"prefix": "<prefix>"})
    expr = _NUMBER.sub(lambda found: _ours(found, target.site.namespace), made["expr"])
    logs = f"kubectl --namespace {target.site.namespace} logs --selector {NAME}="
    texts = {name: text.replace(_LOGS, logs) for name, text in made["annotations"].items()}
    return {**made, "expr": expr, "annotations": texts}


def _ours(number: re.Match, namespace: str) -> str:
    labels = [f'namespace="{namespace}"', *filter(None, [number[2]])]
    return f"{number[1]}{{{','.join(labels)}}}"
