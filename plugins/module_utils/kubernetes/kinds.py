# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The kinds of objects that a platform has in a cluster, and where its API has them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Refused


@dataclass(frozen=True)
class Kind:
    """One kind: its version, and what paths of the API call it.

    brought_by: what brings it to a cluster that has it not by itself. keeps_data: whether its data
    go with it, so that it is never removed but with the namespace.
    """

    version: str
    plural: str
    is_namespaced: bool = True
    brought_by: str = ""
    keeps_data: bool = False


MONITORING = "the operator of Prometheus"
# What others need comes first, so that a service's pods start when all of it is there.
KINDS = {
    "Namespace": Kind("v1", "namespaces", is_namespaced=False),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "networkpolicies"),
    "ServiceAccount": Kind("v1", "serviceaccounts"),
    "ConfigMap": Kind("v1", "configmaps"),
    "Secret": Kind("v1", "secrets"),
    "ResourceClaimTemplate": Kind("resource.k8s.io/v1", "resourceclaimtemplates"),
    "PersistentVolumeClaim": Kind("v1", "persistentvolumeclaims", keeps_data=True),
    "Service": Kind("v1", "services"),
    "Cluster": Kind(
        "postgresql.cnpg.io/v1",
        "clusters",
        brought_by="the operator CloudNativePG",
        keeps_data=True,
    ),
    "Job": Kind("batch/v1", "jobs"),
    "Deployment": Kind("apps/v1", "deployments"),
    "StatefulSet": Kind("apps/v1", "statefulsets"),
    "HorizontalPodAutoscaler": Kind("autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": Kind("policy/v1", "poddisruptionbudgets"),
    "Ingress": Kind("networking.k8s.io/v1", "ingresses"),
    "HTTPRoute": Kind("gateway.networking.k8s.io/v1", "httproutes", brought_by="the Gateway API"),
    "ServiceMonitor": Kind("monitoring.coreos.com/v1", "servicemonitors", brought_by=MONITORING),
    "PrometheusRule": Kind("monitoring.coreos.com/v1", "prometheusrules", brought_by=MONITORING),
}
ORDER = tuple(KINDS)


def place_of(found: dict) -> tuple[int, str]:
    """Where an object stands among others."""
    return ORDER.index(found["kind"]), found["metadata"]["name"]


def collection(kind: str, namespace: str) -> str:
    """The path of all objects of a kind."""
    known = KINDS[kind]
    root = "/api" if known.version == "v1" else "/apis"
    inside = f"/namespaces/{quote(namespace)}" if known.is_namespaced else ""
    return f"{root}/{known.version}{inside}/{known.plural}"


def path(found: dict) -> str:
    """The path of an object, which has to be of a known kind and version."""
    kind, metadata = found.get("kind"), found.get("metadata") or {}
    known = KINDS.get(kind or "")
    if known is None or found.get("apiVersion") != known.version or not metadata.get("name"):
        raise Refused(
            f"an object is {kind} {found.get('apiVersion')} {metadata.get('name')!r}",
            f"a name, and one of {', '.join(f'{k} {v.version}' for k, v in KINDS.items())}",
            "correct it, or apply it by other means",
        )
    if known.is_namespaced and not metadata.get("namespace"):
        raise Refused(f"{label(found)} has no namespace", "one", "add metadata.namespace")
    return f"{collection(kind, metadata.get('namespace', ''))}/{quote(metadata['name'])}"


def label(found: dict) -> str:
    """An object as people call it."""
    return f"{found['kind']} {found['metadata']['name']}"
