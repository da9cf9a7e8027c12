# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which networks a host's containers share, and where each network's packets may go. Pure.

A zone is what services of one group share, and each tool server is a zone of its own. On a host a
zone is a Docker network; a container is on the network of its zone and on those of the services
that it connects to. What leaves a network is filtered by its bridge (firewall.containers).
"""

from __future__ import annotations

import hashlib

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import BALANCER, Service
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology

# The kernel's limit for the name of an interface.
INTERFACE_CHARACTERS = 15


def name_of(network: str, zone: str) -> str:
    """The Docker network of a zone."""
    return f"{network}-{zone}"


def bridge_of(name: str, zone: str) -> str:
    """The bridge of a network: known before there is one, and different for each platform."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{zone[: INTERFACE_CHARACTERS - 7]}-{digest}"


def connects(topology: Topology, client: Service, service: Service) -> bool:
    """Whether the client's container connects to the service's, or to another port of it."""
    if client.name == service.name:
        return False
    return any(client.group in topology.client_groups(p) for p in topology.ports_of(service))


def zones_of(topology: Topology, service: Service, host: str) -> list[str]:
    """The zones whose networks the service's container is on: its own, then the others."""
    others = {
        other.zone
        for other in topology.containers_on(host)
        if connects(topology, service, other) and other.zone != service.zone
    }
    return [service.zone, *sorted(others)]


def networks_of(topology: Topology, service: Service, host: str) -> list[dict]:
    """Name and bridge of each network that the service's container is on, its own first."""
    if not service.has_port or topology.is_part(service):
        return []
    names = [(zone, name_of(topology.network, zone)) for zone in zones_of(topology, service, host)]
    return [{"name": name, "interface": bridge_of(name, zone)} for zone, name in names]


def exit_zone(zones: list[str]) -> str:
    """The zone by which a container leaves its host: the engine takes the first by name.

    That of a tool server is never first where there is another, or its rules would hold for others.
    """
    return min(zones)


def networks(topology: Topology, host: str) -> list[dict]:
    """Each network of the host: name, interface, and where its packets may go.

    egress: destinations outside the platform. flows: addresses and ports of other hosts. here:
    ports of this host's own address, for members of a cluster, which know one another by address.
    closed: addresses of the platform's other hosts and every port of the catalog, which are open to
    the flows alone.
    """
    containers = topology.containers_on(host)
    members: dict[str, list[Service]] = {service.zone: [] for service in containers}
    for service in containers:
        members[exit_zone(zones_of(topology, service, host))].append(service)
    return [_network(topology, host, zone, members[zone]) for zone in sorted(members)]


def _network(topology: Topology, host: str, zone: str, leaving: list[Service]) -> dict:
    name = name_of(topology.network, zone)
    others = [other for other in topology.hosts if other != host]
    return {
        "name": name,
        "interface": bridge_of(name, zone),
        "egress": list(dict.fromkeys(place for service in leaving for place in service.egress)),
        "flows": _flows(topology, host, leaving),
        "here": _here(topology, host, zone),
        "closed": {
            "addresses": [a for other in others for a in topology.addresses_of(other)]
            + topology.shared_addresses,
            "ports": sorted({s.port for s in topology.services.values() if s.has_port}),
        },
    }


def contacts(topology: Topology, host: str) -> list[dict]:
    """What each container of the host must reach, and may: what verify tries from inside it.

    service, ports (its own), reaches (others on this host), flows of the network it leaves by, and
    here, of each network it is in: it sends to the host's address in one through that one.
    """
    containers = topology.containers_on(host)
    ways = {network["name"]: network for network in networks(topology, host)}
    found = []
    for service in containers:
        zones = zones_of(topology, service, host)
        way = ways[name_of(topology.network, exit_zone(zones))]
        found.append(
            {
                "service": service.name,
                "ports": [port.inside_port for port in topology.ports_of(service)],
                "reaches": [s.name for s in containers if connects(topology, service, s)],
                "here": sorted({port for zone in zones for port in _here(topology, host, zone)}),
                "flows": way["flows"],
            }
        )
    return found


def _flows(topology: Topology, host: str, leaving: list[Service]) -> list[dict]:
    """What these containers connect to on other hosts, by service."""
    groups = {service.group for service in leaving}
    found = []
    for service in topology.services.values():
        if not service.has_port or not groups & {*topology.client_groups(service)}:
            continue
        hosts = [other for other in topology.hosts_of(service.name) if other != host]
        addresses = [address for other in hosts for address in topology.addresses_of(other)]
        if service.group == BALANCER and hosts:
            addresses += topology.shared_addresses
        if addresses:
            found.append({"service": service.name, "port": service.port, "addresses": addresses})
    return found


def _here(topology: Topology, host: str, zone: str) -> list[int]:
    return sorted(
        service.port
        for service in topology.services_on(host)
        if service.zone == zone and service.has_port and _is_cluster(topology, service)
    )


def _is_cluster(topology: Topology, service: Service) -> bool:
    return service.peers and len(topology.hosts_of(service.name)) > 1


def stale(found: dict, network: str, label: str, wanted: list[str]) -> list[str]:
    """Networks of this platform that it no longer has a use for.

    found: what service_state says of a host. The one network that all containers shared before
    they had one a zone has no label.
    """
    listed = found.get("host_networks") or []
    return sorted(
        entry["Name"]
        for entry in listed
        if entry["Name"] not in wanted
        and (entry["Name"] == network or (entry.get("Labels") or {}).get(label) == network)
    )
