# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a Prometheus of the cluster finds a service's numbers. Pure."""

from __future__ import annotations

import base64

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import Service
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    ANNOTATIONS,
    SERVICE_MONITOR,
    KubernetesError,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    Unit,
    port_name,
)

# Alerts name the host, as they do where there are no pods.
HOST = {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "host"}


def measured(unit: Unit) -> list[Service]:
    """The ports of a service that tell numbers to a Prometheus of the cluster."""
    return [port for port in unit.ports if port.metrics]


def annotations(unit: Unit) -> dict:
    """The annotations by which Prometheus finds pods where it knows no ServiceMonitor."""
    ports = measured(unit)
    if not ports or unit.target.site.metrics.get("kind") != ANNOTATIONS:
        return {}
    if len(ports) > 1 or ports[0].metrics_secret:
        raise KubernetesError(
            f"{unit.place} cannot tell its numbers by annotations",
            "a ServiceMonitor: annotations name one port, and no secret that it asks for",
            f"set kubernetes_metrics.kind to {SERVICE_MONITOR}, or to none",
        )
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(ports[0].inside_port),
        "prometheus.io/path": ports[0].metrics,
    }


def objects(unit: Unit) -> list[dict]:
    """The ServiceMonitor of a service that has numbers, and the Secret with what it asks for."""
    if not (ports := _monitored(unit)):
        return []
    metadata = unit.meta()
    metadata["labels"] |= unit.target.site.metrics.get("labels_of_monitor", {})
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata,
        "spec": {
            "selector": {"matchLabels": unit.selector},
            "endpoints": [_endpoint(unit, port) for port in ports],
        },
    }
    return [*_secrets(unit, ports), monitor]


def needed_secret(unit: Unit) -> dict | None:
    """Name and keys of the Secret that has to be there for Prometheus."""
    names = [port.metrics_secret for port in _monitored(unit) if port.metrics_secret]
    if not names or unit.target.with_secrets:
        return None
    return {"service": unit.service.name, "name": _secret_name(unit), "keys": sorted(names)}


def _monitored(unit: Unit) -> list[Service]:
    is_wanted = unit.target.site.metrics.get("kind") == SERVICE_MONITOR
    return measured(unit) if is_wanted else []


def _endpoint(unit: Unit, port: Service) -> dict:
    interval = unit.target.site.metrics.get("interval_seconds", 15)
    endpoint = {
        "port": port_name(port),
        "path": port.metrics,
        "interval": f"{interval}s",
        "relabelings": [HOST],
    }
    if port.metrics_secret:
        credentials = {"name": _secret_name(unit), "key": port.metrics_secret}
        endpoint["authorization"] = {"credentials": credentials}
    return endpoint


def _secret_name(unit: Unit) -> str:
    """One of its own: Prometheus may read it, and nothing else of the service."""
    return f"{unit.name}-metrics"


def _secrets(unit: Unit, ports: list[Service]) -> list[dict]:
    names = [port.metrics_secret for port in ports if port.metrics_secret]
    if not names or not unit.target.with_secrets:
        return []
    values = {name: unit.target.metrics_secrets[name].encode() for name in names}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": unit.meta(_secret_name(unit)),
            "type": "Opaque",
            "data": {name: base64.b64encode(value).decode() for name, value in values.items()},
        }
    ]
