# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Pods of a service: one container, as a namespace that enforces `restricted` takes it. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import LABEL_HASH
from ansible_collections.intranet.mcp.plugins.module_utils.kubernetes.labels import PART_OF
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import (
    configuration,
    monitors,
    policies,
    probes,
    storage,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    STATEFUL_SET,
    KubernetesError,
    object_named,
    quantity,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    NAME,
    Unit,
    port_name,
)

CPU = "100m"
# Which the controller of StatefulSets gives each pod.
POD_NAME = "statefulset.kubernetes.io/pod-name"
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
# Whoever reaches nothing is told at once that there is no such name, as on a Docker host.
NO_NAMES = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}}
# Names with two dots are asked for as they are, in place of four times with a suffix before.
NAMES = {"dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}
DEVICE = "gpu"


def template(unit: Unit) -> dict:
    """The template of a service's pods."""
    hashed = configuration.content_hash(unit)
    annotations = {**({LABEL_HASH: hashed} if hashed else {}), **monitors.annotations(unit)}
    metadata = {"labels": {**unit.selector, **unit.identity, **PART_OF}}
    if annotations:
        metadata["annotations"] = annotations
    container = {**_program(unit), **_serving(unit)}
    spec = _spec(unit, container, drain_seconds(unit))
    return {"metadata": metadata, "spec": {**spec, **_placement(unit), **_devices(unit)}}


def once(unit: Unit, name: str, said: dict, ordinal: int | None = None) -> dict:
    """The template of a pod that ends: the service's image and places with another command.

    said: `command`, and what else differs. ordinal: of the pod whose claims it fills. It computes
    nothing, so it holds no GPU. It runs where there are some all the same: the first pod to use a
    claim may decide on its zone or node.
    """
    labels = {NAME: name, **unit.identity, **PART_OF}
    other = {key: said[key] for key in ("entrypoint", "memory_mb") if key in said}
    changed = {**unit.definition, **other, "command": said["command"], "gpus": False}
    preparing = replace(unit, definition=changed)
    spec = _spec(preparing, _program(preparing), 0, ordinal)
    spec |= {**_beside_service(unit, ordinal), **_gpu_nodes(unit)}
    return {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", **spec}}


def _beside_service(unit: Unit, ordinal: int | None) -> dict:
    """On the node of the service's pod, which may be the only one that reaches its claim."""
    if ordinal is None:
        return {}
    labels = {**unit.selector, POD_NAME: f"{unit.name}-{ordinal}"}
    term = {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": labels}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    }


def drain_seconds(unit: Unit) -> int:
    """How long a pod goes on after it was taken out of its Service; not where nobody takes over."""
    is_alone = storage.kind_of(unit) == STATEFUL_SET and unit.most == 1
    return 0 if is_alone else int(unit.target.site.drain_seconds)


def _spec(unit: Unit, container: dict, drained: int, ordinal: int | None = None) -> dict:
    mounts = [*configuration.mounts(unit), *storage.mounts(unit, ordinal)]
    volumes = [volume for volume, _mount in mounts if volume]
    if mounts:
        container["volumeMounts"] = [mount for _volume, mount in mounts]
    stop = int(unit.definition.get("stop_seconds", 10))
    spec = {
        "serviceAccountName": unit.name,
        "automountServiceAccountToken": False,
        # Or each Service of the namespace would be in the environment: REDIS_PORT, LITELLM_PORT.
        "enableServiceLinks": False,
        # The program is not process 1, which would ignore signals and inherit orphans.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": stop + drained,
        "securityContext": _pod_security(unit),
        **(NAMES if policies.reaches_anything(unit) else NO_NAMES),
        "containers": [container],
    }
    if volumes:
        spec["volumes"] = volumes
    if hosts := unit.definition.get("extra_hosts"):
        spec["hostAliases"] = _host_aliases(unit, hosts)
    if names := pull_secrets(unit):
        spec["imagePullSecrets"] = names
    return spec


def pull_secrets(unit: Unit) -> list[dict]:
    """With what nodes pull images, as pods name it."""
    names = unit.target.site.image_pull_secrets
    return [{"name": object_named("kubernetes_image_pull_secrets", name)} for name in names]


def _host_aliases(unit: Unit, hosts: dict[str, str]) -> list[dict]:
    """Names by address, of which the API takes each once."""
    by_address: dict[str, list[str]] = {}
    for name, address in sorted(hosts.items()):
        try:
            by_address.setdefault(str(ipaddress.ip_address(address)), []).append(name)
        except ValueError as error:
            raise KubernetesError(
                f"{unit.place}: extra_hosts has {address!r} for {name}",
                "an address: a pod has no host that could be meant",
                "name the address",
            ) from error
    return [{"ip": address, "hostnames": names} for address, names in by_address.items()]


def _program(unit: Unit) -> dict:
    """The container, as far as it may end by itself."""
    definition = unit.definition
    container = {
        "name": unit.name,
        "image": unit.target.images.get(definition["image"], definition["image"]),
        "imagePullPolicy": "IfNotPresent",
        "args": [configuration.verbatim(word) for word in definition["command"]],
        "resources": resources(unit),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": bool(definition.get("read_only", True)),
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if definition.get("entrypoint"):
        container["command"] = [configuration.verbatim(word) for word in definition["entrypoint"]]
    if found := configuration.env(unit):
        container["env"] = found
    return container


def _serving(unit: Unit) -> dict:
    """What the container has beside its program while it serves others."""
    ports = [{"name": port_name(port), "containerPort": port.inside_port} for port in unit.ports]
    found = {"ports": ports, **probes.of(unit)}
    if seconds := drain_seconds(unit):
        # Done by the kubelet, so that no image needs a shell for it.
        found["lifecycle"] = {"preStop": {"sleep": {"seconds": seconds}}}
    return found


def _pod_security(unit: Unit) -> dict:
    context: dict = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if not unit.target.site.random_uids:
        uid, gid = (int(number) for number in str(unit.definition["user"]).split(":"))
        context |= {"runAsUser": uid, "runAsGroup": gid, "fsGroup": gid}
        # PostgreSQL refuses data that were opened to its group, as each start would do otherwise.
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    return context


def resources(unit: Unit) -> dict:
    """What a pod requests, and what it may have."""
    name = unit.service.name
    cpu = quantity(f"kubernetes_cpu.{name}", unit.target.site.cpu.get(name, CPU))
    memory = f"{unit.definition['memory_mb']}Mi"
    found: dict = {
        "requests": {"cpu": cpu, "memory": memory},
        # None of CPU: what is idle is for whoever can use it.
        "limits": {"memory": memory},
    }
    gpu = unit.target.site.gpu
    if unit.definition.get("gpus"):
        if gpu.get("device_class"):
            found["claims"] = [{"name": DEVICE}]
        else:
            found["limits"][gpu.get("resource", "nvidia.com/gpu")] = str(gpu.get("count", 1))
    return found


def _gpu_nodes(unit: Unit) -> dict:
    """Where pods with GPUs run."""
    gpu = unit.target.site.gpu
    if not unit.definition.get("gpus"):
        return {}
    found = {}
    if gpu.get("node_selector"):
        found["nodeSelector"] = dict(gpu["node_selector"])
    if gpu.get("tolerations"):
        found["tolerations"] = list(gpu["tolerations"])
    return found


def _devices(unit: Unit) -> dict:
    """Nodes of pods with GPUs, and the claim for a device where the cluster has them that way."""
    found = _gpu_nodes(unit)
    if unit.definition.get("gpus") and unit.target.site.gpu.get("device_class"):
        template_name = f"{unit.name}-{DEVICE}"
        found["resourceClaims"] = [{"name": DEVICE, "resourceClaimTemplateName": template_name}]
    return found


def _placement(unit: Unit) -> dict:
    """Replicas apart from each other, as far as there are nodes and zones."""
    if unit.most < 2:
        return {}
    of_service = {"labelSelector": {"matchLabels": unit.selector}}
    spread = {"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", **of_service}
    term = {"topologyKey": HOSTNAME, **of_service}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {
        "topologySpreadConstraints": [{"topologyKey": key, **spread} for key in (ZONE, HOSTNAME)],
        "affinity": {
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
        },
    }
