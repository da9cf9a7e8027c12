# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether what runs pods has brought about what it was told, and why it has not. Pure."""

from __future__ import annotations

WORKLOADS = ("Deployment", "StatefulSet")
JOB = "Job"
# A PostgreSQL of the operator CloudNativePG.
DATABASE = "Cluster"
WAITED_FOR = (*WORKLOADS, DATABASE)
# Reasons of a container that waits for nothing but time.
_PATIENT = ("ContainerCreating", "PodInitializing")


def left_to_scaling(before: dict | None, wanted: dict, manager: str) -> dict | None:
    """What keeps the number of pods where an autoscaler is to have it from now on.

    A field that nobody applies any more goes back to its default, which is one pod. The manager
    has the field if it applied it before.
    """
    if wanted["kind"] not in WORKLOADS or before is None or "replicas" in wanted["spec"]:
        return None
    has_it = any(
        one.get("manager") == manager and "f:replicas" in one.get("fieldsV1", {}).get("f:spec", {})
        for one in before["metadata"].get("managedFields", [])
    )
    if not has_it:
        return None
    metadata = {key: wanted["metadata"][key] for key in ("name", "namespace")}
    count = {"replicas": before["spec"].get("replicas", 1)}
    return {**{k: wanted[k] for k in ("apiVersion", "kind")}, "metadata": metadata, "spec": count}


def missing(found: dict) -> str:
    """What a Deployment or StatefulSet still waits for, or a Job; empty when it has come about."""
    if found["kind"] == JOB:
        return _of_job(found)
    spec, status = found.get("spec", {}), found.get("status") or {}
    if found["kind"] == DATABASE:
        return _of_database(spec, status)
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return "its controller has not seen the change"
    wanted = spec.get("replicas", 1)
    if found["kind"] == "Deployment":
        return _of_deployment(wanted, status)
    return _of_set(wanted, status)


def is_hopeless(found: dict) -> bool:
    """Whether its controller has given up."""
    if found["kind"] == JOB:
        return "Failed" in _conditions(found)
    conditions = (found.get("status") or {}).get("conditions") or []
    return any(one.get("reason") == "ProgressDeadlineExceeded" for one in conditions)


def pods_of(found: dict) -> dict:
    """The labels of its pods."""
    if found["kind"] == JOB:
        return {"batch.kubernetes.io/job-name": found["metadata"]["name"]}
    if found["kind"] == DATABASE:
        return {"cnpg.io/cluster": found["metadata"]["name"]}
    return found["spec"]["selector"]["matchLabels"]


def _conditions(found: dict) -> dict[str, dict]:
    """Those that hold, by type."""
    listed = (found.get("status") or {}).get("conditions") or []
    return {one["type"]: one for one in listed if one["status"] == "True"}


def _of_job(found: dict) -> str:
    hold = _conditions(found)
    if "Failed" in hold:
        return f"it failed ({hold['Failed'].get('reason', 'no reason')})"
    return "" if "Complete" in hold else "it has not ended"


def _of_database(spec: dict, status: dict) -> str:
    wanted, ready = spec.get("instances", 1), status.get("readyInstances", 0)
    if ready >= wanted:
        return ""
    said = status.get("phase") or "its operator has said nothing"
    return f"{ready} of {wanted} instances are ready: {said}"


def _of_deployment(wanted: int, status: dict) -> str:
    updated = status.get("updatedReplicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    if (old := status.get("replicas", 0) - updated) > 0:
        return f"{old} pods of before are still there"
    if (ready := status.get("availableReplicas", 0)) < updated:
        return f"{ready} of {wanted} pods are ready"
    return ""


def _of_set(wanted: int, status: dict) -> str:
    if (ready := status.get("readyReplicas", 0)) < wanted:
        return f"{ready} of {wanted} pods are ready"
    if status.get("updateRevision") != status.get("currentRevision"):
        return f"{status.get('updatedReplicas', 0)} of {wanted} pods are new"
    return ""


def trouble(pod: dict) -> tuple[str, bool]:
    """Why a pod is not ready, and whether its container ended before; empty where it is ready."""
    status = pod.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True":
        return "", False
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"no node takes it: {scheduled.get('message', '')}", False
    for container in status.get("containerStatuses") or []:
        state, last = container.get("state") or {}, container.get("lastState") or {}
        waiting, ended = state.get("waiting") or {}, last.get("terminated") or {}
        if waiting and waiting.get("reason") not in _PATIENT:
            return _said(waiting, ended), bool(ended)
        if state.get("terminated"):
            return _said({}, state["terminated"]), False
        if ended:
            return f"not ready again; {_said({}, ended)}", True
    return "not ready yet", False


def _said(waiting: dict, ended: dict) -> str:
    parts = [waiting.get("reason", ""), waiting.get("message", "")]
    if ended:
        parts.append(f"ended with {ended.get('exitCode')} ({ended.get('reason', 'no reason')})")
    return ": ".join(part for part in parts if part)
