# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What of a service definition a cluster gets, and what it is refused for. Pure.

A key of a definition is rendered, refused by name, or left to the nodes; there is no fourth way,
and a test compares the three with the keys that there are.
"""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.engine import definition as definitions
from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import BALANCER
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import KubernetesError

RENDERED = {
    "name": "names and labels",
    "image": "the container's image",
    "user": "runAsUser, runAsGroup and fsGroup, unless the cluster chooses them",
    "entrypoint": "command",
    "command": "args",
    "env": "env",
    "files": "ConfigMaps, mounted as /config",
    "secrets": "a Secret, mounted as /secrets",
    "secret_env": "env out of the same Secret",
    "volumes": "claims or scratch volumes",
    "binds": "claims that stand for directories of hosts",
    "tmpfs": "emptyDir in memory",
    "health": "probes",
    "read_only": "readOnlyRootFilesystem",
    "memory_mb": "requests and limits",
    "shm_mb": "emptyDir in memory at /dev/shm",
    "stop_seconds": "terminationGracePeriodSeconds",
    "gpus": "a resource of the node, or a claim for a device",
    "prepare": "a Job that ends before pods of a new version start",
    "reload": "a ConfigMap of its own, whose changes restart nothing",
    "extra_hosts": "hostAliases",
}
REFUSED = {
    "capabilities": "PodSecurity `restricted` gives a pod none",
    "host_network": "PodSecurity `restricted` keeps pods off their node's network",
    "hand_over": "it names other containers of one host, and pods have no common one",
}
# A node's kubelet limits the processes of each pod (podPidsLimit); a pod cannot say it.
LEFT_TO_NODES = ("pids",)


def check(definition: dict) -> dict:
    """The definition, once a cluster can run it."""
    definitions.check(definition)
    name = definition["name"]
    for key, reason in REFUSED.items():
        if definition.get(key):
            raise KubernetesError(
                f"service {name!r} has {key} {definition[key]!r}",
                f"none in a cluster: {reason}",
                "run it on a host outside of the cluster",
            )
    if name == BALANCER:
        raise KubernetesError(
            f"service {name!r} is to run in a cluster",
            "an Ingress or a Gateway in its place",
            f"take the cluster out of group {BALANCER}, and set kubernetes_ingress",
        )
    if str(definition["user"]).startswith("0:"):
        raise KubernetesError(
            f"service {name!r} runs as root",
            "a user of its own: PodSecurity `restricted` refuses root",
            "run it on a host outside of the cluster",
        )
    return definition


def check_count(unit) -> None:
    """Refuse replicas of what cannot have any."""
    service = unit.service
    if unit.most < 2:
        return
    where = f"kubernetes_replicas or kubernetes_autoscaling of {service.name}: {unit.most}"
    if service.frontend:
        raise KubernetesError(
            where,
            "1: its members agree on one that leads, which one StatefulSet does not bring about",
            "lower it, or give its group several hosts outside of the cluster",
        )
    if service.part_of and not unit.target.topology.is_part(service):
        raise KubernetesError(
            where,
            "1: a tool server keeps sessions in its process",
            "lower it",
        )
