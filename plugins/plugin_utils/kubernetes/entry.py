# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How services are reached: a Service each, and the cluster's entry for people. Pure."""

from __future__ import annotations

import base64

from ansible_collections.intranet.mcp.plugins.module_utils.balancer.entry_paths import (
    GATEWAY_PATHS,
    model_paths,
    portal_paths,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import (
    object_name,
    peers_name,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import connections
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    HTTP_ROUTE,
    NONE,
    SILENCE,
    KubernetesError,
    object_named,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    SHARED,
    Target,
    Unit,
    port_name,
)

GATEWAY, MODELS, PORTAL = "gateway", "litellm", "portal"
EXACT, PREFIX = "Exact", "Prefix"
ENTRY, CERTIFICATE = "entry", "entry-tls"
CERTIFICATE_KEYS = ("tls.crt", "tls.key")
# Paths of a route's rule, by the API's own bound.
MATCHES = 64
# A route of the Gateway API may be cut off by its controller's own bound otherwise.
FOREVER = {"request": "0s"}


def service(unit: Unit) -> list[dict]:
    """The Service, with each port as the catalog has it; open to other hosts that use one."""
    if not unit.ports:
        return []
    ports = [
        {
            "name": port_name(port),
            "port": port.port,
            "targetPort": port_name(port),
        }
        for port in unit.ports
    ]
    target = unit.target
    sources = [
        network
        for port in unit.ports
        for network in connections.from_hosts(target.topology, target.host, port)
    ]
    metadata, spec = unit.meta(), {"selector": unit.selector, "ports": ports}
    if sources:
        metadata |= _annotated(target.site.load_balancer.get("annotations", {}))
        spec |= _outside(list(dict.fromkeys(sources)), target.site.load_balancer)
    made = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    return [made, *_peers(unit)]


def _peers(unit: Unit) -> list[dict]:
    """The name for all pods, where they talk to each other; one that drains is among them."""
    if not unit.has_peers:
        return []
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": unit.selector,
        "ports": [
            # No name of a port that is monitored: pods are already, by the other Service.
            {"name": f"peers-{port.port}", "port": port.port, "targetPort": port_name(port)}
            for port in unit.ports
            if port.peers
        ],
    }
    metadata = unit.meta(peers_name(unit.service.name))
    return [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}]


def entry(target: Target, settings: dict) -> list[dict]:
    """What people reach from their own machines, under the one public name.

    settings: public_name, tls, and what a balancer is told: paths, operators, has_registration,
    timeout_seconds, and of the certificate its PEM and its key's, both empty where the site has
    none.
    """
    behind = {
        service.name: service
        for service in target.services
        if target.topology.is_behind_entry(service)
    }
    ingress = target.site.ingress
    if not behind or ingress.get("kind", NONE) == NONE:
        return []
    _check(settings)
    rules = []
    if GATEWAY in behind:
        rules.append((behind[GATEWAY], _paths(GATEWAY_PATHS)))
    if PORTAL in behind:
        rules.append((behind[PORTAL], _paths(portal_paths(settings))))
    if MODELS in behind:
        rules.append((behind[MODELS], [(PREFIX, path) for path in model_paths(settings)]))
    if ingress["kind"] == HTTP_ROUTE:
        return [_route(target, settings, rules)]
    return [*_certificate(target, settings), _ingress(target, settings, rules)]


def needed_secret(target: Target, settings: dict) -> dict | None:
    """Name and keys of the Secret with the certificate, where the site makes that Secret."""
    has_ingress = any(found["kind"] == "Ingress" for found in entry(target, settings))
    if not has_ingress or not (name := _certificate_name(target, settings)):
        return None
    if name == CERTIFICATE and target.with_secrets:
        return None
    return {"service": SHARED, "name": name, "keys": [*CERTIFICATE_KEYS]}


def _certificate_name(target: Target, settings: dict) -> str:
    """The Secret of the site, or ours; empty where the controller shows its own certificate."""
    if not settings["tls"]:
        return ""
    if given := target.site.ingress.get("tls_secret"):
        return object_named("kubernetes_ingress.tls_secret", given)
    return CERTIFICATE if settings["certificate"] else ""


def _certificate(target: Target, settings: dict) -> list[dict]:
    if _certificate_name(target, settings) != CERTIFICATE or not target.with_secrets:
        return []
    values = (settings["certificate"], settings["key"])
    encoded = (base64.b64encode(value.encode()).decode() for value in values)
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": target.meta(CERTIFICATE, SHARED),
            "type": "kubernetes.io/tls",
            "data": dict(zip(CERTIFICATE_KEYS, encoded, strict=True)),
        }
    ]


def _annotated(annotations: dict) -> dict:
    return {"annotations": dict(annotations)} if annotations else {}


def _outside(sources: list[str], load_balancer: dict) -> dict:
    """For hosts outside, whose own addresses the pods' NetworkPolicies have to see."""
    spec = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": sources,
    }
    if load_balancer.get("class"):
        spec["loadBalancerClass"] = load_balancer["class"]
    return spec


def _paths(served: tuple) -> list[tuple[str, str]]:
    kinds = {"path": EXACT, "path_beg": PREFIX}
    return [
        (kinds[match], path if match == "path" else path.rstrip("/"))
        for match, paths in served
        for path in paths.split()
    ]


def _check(settings: dict) -> None:
    if not settings["public_name"]:
        raise KubernetesError(
            "platform_public_name is empty",
            "the name by which people reach the cluster's entry",
            "set it, or kubernetes_ingress.kind to none",
        )
    if settings.get("operators"):
        raise KubernetesError(
            f"platform_operators_networks has {', '.join(settings['operators'])}",
            "none in a cluster, whose entry does not tell networks apart",
            "leave it empty: operators use `kubectl port-forward service/litellm`",
        )


def _ingress(target: Target, settings: dict, rules: list) -> dict:
    said = target.site.ingress
    paths = [
        {
            "path": path,
            "pathType": kind,
            "backend": {"service": {"name": object_name(to.name), "port": {"name": port_name(to)}}},
        }
        for to, paths in rules
        for kind, path in paths
    ]
    spec: dict = {"rules": [{"host": settings["public_name"], "http": {"paths": paths}}]}
    if said.get("class"):
        spec["ingressClassName"] = said["class"]
    if settings["tls"]:
        name = _certificate_name(target, settings)
        tls = {"hosts": [settings["public_name"]]}
        spec["tls"] = [tls | ({"secretName": name} if name else {})]
    silence = SILENCE.get(said.get("controller", ""))
    annotations = {silence: f"{settings['timeout_seconds']}s"} if silence else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": target.meta(ENTRY, SHARED)
        | _annotated({**annotations, **said.get("annotations", {})}),
        "spec": spec,
    }


def _route(target: Target, settings: dict, rules: list) -> dict:
    said = target.site.ingress
    parent = said.get("parent", {})
    if not parent.get("name"):
        raise KubernetesError(
            "kubernetes_ingress.parent names no Gateway",
            "its name, with its namespace and section where they are others",
            "set kubernetes_ingress.parent.name",
        )
    keys = {"name": "name", "namespace": "namespace", "section": "sectionName"}
    reference = {theirs: parent[ours] for ours, theirs in keys.items() if parent.get(ours)}
    kinds = {EXACT: "Exact", PREFIX: "PathPrefix"}
    spec = {
        "parentRefs": [reference],
        "hostnames": [settings["public_name"]],
        "rules": [
            {
                "matches": [
                    {"path": {"type": kinds[kind], "value": path}}
                    for kind, path in paths[first : first + MATCHES]
                ],
                "backendRefs": [{"name": object_name(to.name), "port": to.port}],
                "timeouts": FOREVER,
            }
            for to, paths in rules
            for first in range(0, len(paths), MATCHES)
        ],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": target.meta(ENTRY, SHARED) | _annotated(said.get("annotations", {})),
        "spec": spec,
    }
