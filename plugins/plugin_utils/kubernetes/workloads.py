# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What keeps a service's pods running, and how many of them. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import pod, storage
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import STATEFUL_SET
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import Unit

APPS, AUTOSCALING, POLICY, RESOURCE = "apps/v1", "autoscaling/v2", "policy/v1", "resource.k8s.io/v1"
KEPT_REVISIONS = 2
# Pods beyond the wanted number while a Deployment is rolled out.
SURGE = 1


def objects(unit: Unit) -> list[dict]:
    """ServiceAccount, Deployment or StatefulSet, and what belongs to several replicas."""
    return [
        _account(unit),
        *_devices(unit),
        _workload(unit),
        *_autoscaler(unit),
        *_disruption_budget(unit),
    ]


def most_pods(said: list[dict], service: str) -> list[str]:
    """Each pod that a service may have at once. said: kubernetes_replicas, _autoscaling."""
    replicas, autoscaling = said
    most = autoscaling.get(service, {}).get("max", replicas.get(service, 1))
    return [f"{service}-{number}" for number in range(int(most) + SURGE)]


def _account(unit: Unit) -> dict:
    """An account of its own, which may do nothing and has no token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": unit.meta(),
        "automountServiceAccountToken": False,
    }


def _workload(unit: Unit) -> dict:
    kind = storage.kind_of(unit)
    spec: dict = {
        "revisionHistoryLimit": KEPT_REVISIONS,
        "selector": {"matchLabels": unit.selector},
        **(_set(unit) if kind == STATEFUL_SET else _deployment()),
        "template": pod.template(unit),
    }
    if not _bounds(unit):
        # Otherwise the autoscaler's field.
        spec = {"replicas": unit.target.site.replicas_of(unit.service.name), **spec}
    return {"apiVersion": APPS, "kind": kind, "metadata": unit.meta(), "spec": spec}


def _deployment() -> dict:
    """A new pod is ready before an old one goes."""
    return {
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": SURGE},
        }
    }


def _set(unit: Unit) -> dict:
    spec: dict = {
        "serviceName": unit.name,
        # In order, a pod that never becomes ready would keep its own repair from being rolled out.
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    }
    if claims := storage.claims(unit):
        spec["volumeClaimTemplates"] = claims
    return spec


def _bounds(unit: Unit) -> dict:
    return unit.target.site.autoscaling.get(unit.service.name, {})


def _autoscaler(unit: Unit) -> list[dict]:
    if not (bounds := _bounds(unit)):
        return []
    metrics = []
    if percent := bounds.get("cpu_percent"):
        target = {"type": "Utilization", "averageUtilization": int(percent)}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    for entry in bounds.get("metrics", []):
        target = {"type": "AverageValue", "averageValue": str(entry["average"])}
        pods = {"metric": {"name": entry["name"]}, "target": target}
        metrics.append({"type": "Pods", "pods": pods})
    spec = {
        "scaleTargetRef": {
            "apiVersion": APPS,
            "kind": storage.kind_of(unit),
            "name": unit.name,
        },
        "minReplicas": unit.target.site.replicas_of(unit.service.name),
        "maxReplicas": unit.most,
        "metrics": metrics,
    }
    kind = "HorizontalPodAutoscaler"
    return [{"apiVersion": AUTOSCALING, "kind": kind, "metadata": unit.meta(), "spec": spec}]


def _disruption_budget(unit: Unit) -> list[dict]:
    """Nodes are drained one pod at a time; a single pod would only keep its node from it."""
    if unit.target.site.replicas_of(unit.service.name) < 2:
        return []
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": unit.selector},
        # A pod that serves nobody may go at any time.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    kind = "PodDisruptionBudget"
    return [{"apiVersion": POLICY, "kind": kind, "metadata": unit.meta(), "spec": spec}]


def _devices(unit: Unit) -> list[dict]:
    """The template of claims for GPUs, where the cluster hands them out that way (DRA)."""
    gpu = unit.target.site.gpu
    if not unit.definition.get("gpus") or not gpu.get("device_class"):
        return []
    exactly = {"deviceClassName": gpu["device_class"], "count": int(gpu.get("count", 1))}
    devices = {"requests": [{"name": pod.DEVICE, "exactly": exactly}]}
    return [
        {
            "apiVersion": RESOURCE,
            "kind": "ResourceClaimTemplate",
            "metadata": unit.meta(f"{unit.name}-{pod.DEVICE}"),
            "spec": {"spec": {"devices": devices}},
        }
    ]
