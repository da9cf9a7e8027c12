# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which pods connect to which, and to and from which other hosts: the topology's flows. Pure.

The firewalls of hosts and the networks of containers follow from the same questions to the
topology (client_groups, zones); NetworkPolicies and Services follow from these answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import Service
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import (
    Topology,
    cidr,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.kubernetes.target import Target


@dataclass(frozen=True)
class Connection:
    """Pods of a service that connect to a port of another's, or of their own replicas."""

    client: str
    service: str
    port: int


def inside(target: Target) -> list[Connection]:
    """Every connection between pods of the cluster."""
    return [
        Connection(client.name, service.name, port.inside_port)
        for client in target.services
        for service in target.services
        for port in target.topology.ports_of(service)
        if _connects(target, client, service, port)
    ]


def from_hosts(topology: Topology, host: str, port: Service) -> list[str]:
    """Networks outside of the cluster from which one of its ports is used directly."""
    flows = (flow for flow in topology.flows(host) if flow.service == port.name)
    return [network for flow in flows for network in flow.sources]


def to_hosts(topology: Topology, host: str, client: Service) -> list[tuple[list[str], int]]:
    """Networks and port of everything on other hosts that a service of the cluster connects to."""
    found = []
    for service in topology.services.values():
        if not service.has_port or client.group not in topology.client_groups(service):
            continue
        others = [other for other in topology.hosts_of(service.name) if other != host]
        addresses = [address for other in others for address in topology.addresses_of(other)]
        if others and set(others) <= set(topology.balancers):
            addresses += topology.shared_addresses
        if addresses:
            found.append(([cidr(address) for address in addresses], service.port))
    return found


def _connects(target: Target, client: Service, service: Service, port: Service) -> bool:
    if client.name == service.name:
        return port.peers and target.site.most_of(service.name) > 1
    # What shares a zone shares a network on a host: exporters and whoever reads them.
    is_neighbour = client.zone == service.zone
    return is_neighbour or client.group in target.topology.client_groups(port)
