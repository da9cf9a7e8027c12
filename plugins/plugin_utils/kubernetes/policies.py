# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""NetworkPolicies: nothing, and for each service what its flows and its egress say. Pure."""

from __future__ import annotations

import ipaddress

from ansible_collections.intranet.mcp.plugins.module_utils.engine.definition import LABEL_SERVICE
from ansible_collections.intranet.mcp.plugins.module_utils.firewall import egress
from ansible_collections.intranet.mcp.plugins.module_utils.firewall.containers import (
    LINK_LOCAL,
    NOT_PUBLIC,
    PUBLIC_6,
)
from ansible_collections.intranet.mcp.plugins.module_utils.topology.cluster import object_name
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import (
    Topology,
    cidr,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes import connections, monitors
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.site import (
    NONE,
    KubernetesError,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import (
    SHARED,
    Target,
    Unit,
    peers,
)

EVERYWHERE = ("0.0.0.0/0", "::/0")
# Empty rules are said: what is not said is not applied, and what somebody else put there stays.
NOBODY = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}


def default(target: Target) -> dict:
    """Every pod of the namespace is closed both ways, but for what a policy below opens."""
    return _policy(target.meta("default-deny", SHARED), NOBODY)


def of(unit: Unit) -> dict:
    """What a service's pods may be asked by, and what they may ask."""
    spec = {
        "podSelector": {"matchLabels": unit.identity},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": _ingress(unit),
        "egress": _egress(unit),
    }
    return _policy(unit.meta(), spec)


def reaches_anything(unit: Unit) -> bool:
    """Whether it connects to anything, and so has names to ask for."""
    return bool(_outward(unit))


def _policy(metadata: dict, spec: dict) -> dict:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec,
    }


def _ingress(unit: Unit) -> list[dict]:
    target = unit.target
    found = connections.inside(target)
    rules = []
    for port in unit.ports:
        clients = [
            c.client for c in found if (c.service, c.port) == (unit.service.name, port.inside_port)
        ]
        allowed = [_pods(clients)] if clients else []
        allowed += _blocks(connections.from_hosts(target.topology, target.host, port))
        if target.topology.is_behind_entry(port):
            allowed += _others(unit, "ingress", "where the entry's pods are")
        if port in monitors.measured(unit):
            allowed += _others(unit, "metrics", "where Prometheus runs")
        if allowed:
            rules.append({"from": allowed, "ports": _tcp(port.inside_port)})
    return rules


def _others(unit: Unit, name: str, meaning: str) -> list[dict]:
    """Who else of the cluster may connect, as the site says it."""
    given = getattr(unit.target.site, name)
    if given.get("kind", NONE) == NONE:
        return []
    if not (found := peers(given)):
        raise KubernetesError(
            f"kubernetes_{name} names neither a namespace nor networks",
            f"{meaning}: {unit.place} is closed to everybody else",
            f"set kubernetes_{name}.namespace, or .networks for what has no pods",
        )
    return found


def _egress(unit: Unit) -> list[dict]:
    rules = _outward(unit)
    return [*rules, dns(unit)] if rules else []


def _outward(unit: Unit) -> list[dict]:
    """What it connects to: other pods, other hosts, and places that its entry declares."""
    target = unit.target
    by_port: dict[int, list[str]] = {}
    for found in connections.inside(target):
        if found.client == unit.service.name:
            by_port.setdefault(found.port, []).append(found.service)
    rules = [{"to": [_pods(names)], "ports": _tcp(port)} for port, names in sorted(by_port.items())]
    rules += [
        {"to": _blocks(networks), "ports": _tcp(port)}
        for networks, port in connections.to_hosts(target.topology, target.host, unit.service)
    ]
    return rules + [_declared(unit, text) for text in unit.service.egress]


def dns(unit: Unit) -> dict:
    """The way to the cluster's DNS."""
    said = unit.target.site.dns
    if not (found := peers(said)):
        raise KubernetesError(
            "kubernetes_dns names neither a namespace nor networks",
            "where the cluster's DNS is",
            "set kubernetes_dns.namespace, or .networks for a cache on each node",
        )
    ports = [
        {"protocol": protocol, "port": port}
        for port in said.get("ports", [53])
        for protocol in ("UDP", "TCP")
    ]
    return {"to": found, "ports": ports}


def _declared(unit: Unit, text: str) -> dict:
    """An entry of `egress`, less what no entry means: the platform, the cluster, link-local."""
    place = egress.parse(text)
    closed = _closed(unit)
    if place.kind == egress.ANY:
        found = [_without(network, closed) for network in EVERYWHERE]
    elif place.kind == egress.INTERNET:
        found = [
            _without(EVERYWHERE[0], [*closed, *NOT_PUBLIC]),
            _without(PUBLIC_6, closed),
        ]
    elif place.network:
        found = [_named(unit, text, place.network, closed)]
    else:
        addresses = _addresses(unit, text, place.name)
        found = [_named(unit, text, cidr(address), closed) for address in addresses]
    rule: dict = {"to": found}
    if place.port:
        # UDP, too: HTTP/3, and names of an own resolver.
        rule["ports"] = [{"protocol": protocol, "port": place.port} for protocol in ("TCP", "UDP")]
    return rule


def _closed(unit: Unit) -> list[str]:
    topology, site = unit.target.topology, unit.target.site
    if not site.closed_networks():
        raise KubernetesError(
            f"{unit.place} may connect to {', '.join(unit.service.egress)}, and the cluster's own "
            "networks are not known",
            "them, since such an entry never means other pods or nodes",
            "set kubernetes_networks: pods, services and nodes",
        )
    others = [other for other in topology.hosts if other != unit.target.host]
    addresses = [address for other in others for address in topology.addresses_of(other)]
    addresses += topology.shared_addresses
    return [*site.closed_networks(), *(cidr(address) for address in addresses), *LINK_LOCAL]


def _named(unit: Unit, text: str, network: str, closed: list[str]) -> dict:
    """A network that an entry names, less what is closed within it."""
    inner = ipaddress.ip_network(network)
    shut = [ipaddress.ip_network(other) for other in closed if other not in LINK_LOCAL]
    if any(inner.version == outer.version and inner.subnet_of(outer) for outer in shut):
        raise KubernetesError(
            f"{unit.place} has egress {text!r}, which is of the platform's own hosts or the "
            "cluster's networks",
            "places outside of both",
            "have the service that is meant list the group among its clients",
        )
    return _without(network, closed)


def _without(network: str, closed: list[str]) -> dict:
    outer = ipaddress.ip_network(network)
    inner = [ipaddress.ip_network(other) for other in closed]
    within = [n for n in inner if n.version == outer.version and n != outer and n.subnet_of(outer)]
    block: dict = {"cidr": network}
    if within:
        block["except"] = [str(n) for n in ipaddress.collapse_addresses(within)]
    return {"ipBlock": block}


def _addresses(unit: Unit, text: str, name: str) -> list[str]:
    """What a name stands for: a NetworkPolicy knows addresses alone."""
    if found := unit.target.addresses.get(name):
        return list(found)
    raise KubernetesError(
        f"{unit.place} has egress {text!r}, and {name} has no address",
        "a name that the control node's resolver knows",
        "correct it, or name the address",
    )


def names_of(topology: Topology, services: list[str]) -> list[str]:
    """Names that destinations of these services have, whose addresses have to be looked up."""
    entries = [topology.services[name] for name in services if name in topology.services]
    places = [egress.parse(text) for service in entries for text in service.egress]
    return sorted({place.name for place in places if place.name})


def _pods(services: list[str]) -> dict:
    names = sorted({object_name(service) for service in services})
    return {
        "podSelector": {
            "matchExpressions": [{"key": LABEL_SERVICE, "operator": "In", "values": names}]
        }
    }


def _blocks(networks: list[str]) -> list[dict]:
    return [{"ipBlock": {"cidr": network}} for network in dict.fromkeys(networks)]


def _tcp(port: int) -> list[dict]:
    return [{"protocol": "TCP", "port": port}]
