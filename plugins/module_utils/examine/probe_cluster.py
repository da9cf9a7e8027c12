# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether a Kubernetes cluster has what the inventory says, unchanged, and whether it runs."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.examine.finding import (
    PASSED,
    WARNING,
    Finding,
)
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes import (
    compare,
    kinds,
    kubeconfig,
    labels,
    rollout,
)
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.client import ClusterClient

ARGUMENTS: dict[str, Any] = {
    **kubeconfig.ARGUMENTS,
    "namespace": {"type": "str", "required": True},
    "objects": {"type": "list", "elements": "dict", "required": True},
    "secrets": {"type": "list", "elements": "dict", "default": [], "no_log": False},
    "restarts": {"type": "int", "default": 3},
}
APPLY = "run site.yml, which brings it in line"
# How rows begin that applying the inventory mends.
MISSING, CHANGED, DRIFT = "missing", "changed", "drift"
# What the site makes itself, as it said in the inventory.
THEIRS, MAKE = "the site's", "have it made in the namespace, with these keys"
OF_OBJECTS = (MISSING, CHANGED, DRIFT)
PODS = labels.selector(labels.PART_OF)
OF_OTHERS = labels.selector(labels.MANAGED_BY, "!=")
POLICY = "NetworkPolicy"
# A container that ended longer ago has recovered since.
LOOP_MINUTES = 10


def examined(name: str, params: dict[str, Any]) -> list[Finding]:
    """Return what is wrong, and a line for each kind of check where nothing is."""
    client = ClusterClient(kubeconfig.read(params["kubeconfig"], params["context"]))
    policies = [found for found in params["objects"] if found["kind"] == POLICY]
    others = [found for found in params["objects"] if found["kind"] != POLICY]
    namespace = params["namespace"]
    checks = {
        "policies": (
            [*_declared(client, policies), *_foreign(client, namespace)],
            f"{len(policies)} as the inventory says, and no others",
        ),
        "objects": (
            [*_declared(client, others), *_secrets(client, namespace, params["secrets"])],
            f"{len(others)} as the inventory says",
        ),
        "rollouts": ([*_rollouts(client, others)], "complete"),
        "pods": ([*_pods(client, namespace, params["restarts"])], "ready, and none in a loop"),
    }
    found = []
    for what, (wrong, good) in checks.items():
        found += wrong or [Finding(f"{name} {what}", good, good, status=PASSED)]
    return found


def _declared(client: ClusterClient, objects: list[dict]):
    for wanted in objects:
        label = kinds.label(wanted)
        before = client.read_object(wanted)
        if before is None:
            yield Finding(f"{MISSING} {label}", "it is not there", "what the inventory says", APPLY)
            continue
        after = client.apply(wanted, is_dry=True)
        old, new = compare.difference(before, {**after, "kind": wanted["kind"]})
        if old != new:
            # Drift of configuration is advice where a site says so; what a policy opens is not.
            word = CHANGED if wanted["kind"] == POLICY else DRIFT
            fields = ", ".join(sorted({**old, **new}))
            found = f"its {fields} was changed by somebody else, or is yet to be applied"
            yield Finding(f"{word} {label}", found, "what the inventory says", APPLY)


def _foreign(client: ClusterClient, namespace: str):
    """Policies of others in the namespace: one policy opens what no other can close."""
    for one in client.list_objects(POLICY, namespace, OF_OTHERS):
        yield Finding(
            f"foreign {kinds.label(one)}",
            "it is none of the platform's, and what it opens stays open",
            "policies of the inventory alone",
            "remove it, or name it in verify_advisory if it is meant",
        )


def _secrets(client: ClusterClient, namespace: str, secrets: list[dict]):
    """Names and keys. One with a service is made by the site for it, and by nobody else."""
    for secret in secrets:
        metadata = {"name": secret["name"], "namespace": namespace}
        there = client.read_object({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
        missing = sorted(set(secret["keys"]) - set((there or {}).get("data") or {}))
        if there is None or missing:
            found = f"it has no {', '.join(missing)}" if there else "it is not there"
            word, action = (THEIRS, MAKE) if secret.get("service") else (MISSING, APPLY)
            expected = ", ".join(secret["keys"])
            yield Finding(f"{word} Secret {secret['name']}", found, expected, action)


def _rollouts(client: ClusterClient, objects: list[dict]):
    for wanted in objects:
        if wanted["kind"] in (*rollout.WAITED_FOR, rollout.JOB):
            current = client.read_object(wanted)
            if current and (waits_for := rollout.missing(current)):
                action = "see the pods below; roll back with the inventory of before"
                label = kinds.label(wanted)
                yield Finding(f"rollout {label}", waits_for, "all that the inventory says", action)
        if wanted["kind"] == "HorizontalPodAutoscaler":
            yield from _autoscaler(wanted, client.read_object(wanted) or {})


def _autoscaler(wanted: dict, current: dict):
    """One without numbers scales nothing, and says it nowhere else."""
    for condition in (current.get("status") or {}).get("conditions") or []:
        if (condition["type"], condition["status"]) == ("ScalingActive", "False"):
            found = condition.get("message", condition.get("reason", ""))
            action = "install metrics-server, or the adapter that serves its metric"
            label = kinds.label(wanted)
            yield Finding(label, found, "numbers to scale by", action, status=WARNING)


def _pods(client: ClusterClient, namespace: str, restarts: int):
    for pod in client.pods(namespace, PODS):
        name, status = f"pod {pod['metadata']['name']}", pod.get("status") or {}
        if status.get("phase") == "Succeeded" or "deletionTimestamp" in pod["metadata"]:
            continue
        reason, _has_ended = rollout.trouble(pod)
        if reason:
            yield Finding(name, reason, "ready", f"kubectl --namespace {namespace} logs {name[4:]}")
            continue
        for container in status.get("containerStatuses") or []:
            if container.get("restartCount", 0) >= restarts and _ended_lately(container):
                ended = container["lastState"]["terminated"]
                found = f"{container['restartCount']} restarts, the last after exit code "
                found += f"{ended.get('exitCode')} ({ended.get('reason', 'no reason')})"
                action = f"kubectl --namespace {namespace} logs --previous {name[4:]}"
                yield Finding(name, found, f"fewer than {restarts}", action)


def _ended_lately(container: dict) -> bool:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if not (at := ended.get("finishedAt")):
        return False
    utc = timezone.utc  # noqa: UP017 - targets may run Python 3.9
    when = datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=utc)
    return datetime.now(utc) - when < timedelta(minutes=LOOP_MINUTES)
