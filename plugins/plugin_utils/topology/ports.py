# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ports of a host's services: where containers listen, and where the host publishes them. Pure."""

from __future__ import annotations

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import BALANCER, Service
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import (
    LOOPBACK,
    Endpoint,
    Topology,
)
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import networks_of


def ports(topology: Topology, host: str) -> dict[str, dict]:
    """Each service of the host: its port, those of its parts, and the networks of its container."""
    here = topology.services_on(host)
    return {
        service.name: {
            **_port(topology, service, host),
            "parts": [_port(topology, s, host) for s in here if s.part_of == service.name],
            "networks": networks_of(topology, service, host),
            "egress": bool(service.egress),
        }
        for service in here
    }


def health(topology: Topology, host: str) -> dict[str, str]:
    """Address that tells on the host whether a service is alive, of each that has one there.

    Not of the balancer, which is asked as people ask it.
    """
    return {
        service.name: Endpoint(LOOPBACK, service.port).url + service.health
        for service in topology.services_on(host)
        if service.health and service.group != BALANCER and topology.publish(service.name, host)
    }


def _port(topology: Topology, service: Service, host: str) -> dict:
    return {
        "port": service.port,
        "inside_port": service.inside_port,
        "publish": topology.publish(service.name, host),
    }
