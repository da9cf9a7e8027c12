# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who may talk to whom on a whole platform, for people to read. Pure.

The firewall, the networks of the containers and this come from the same topology.
"""

from __future__ import annotations

import re

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import BALANCER
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology
from ansible_collections.intranet.mcp.plugins.plugin_utils.common.table import aligned
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import (
    connects,
    contacts,
    networks,
)

HEADER = ("from", "to", "port", "on", "by")
NETWORK = "clients"
EGRESS = "egress"
CONTAINER = "container network"
POLICY = "network policy"
ENTRY = "cluster's entry"
HOST = "host port"


def matrix(topology: Topology) -> list[dict]:
    """Every allowed connection once: source, service, port (None where any), hosts, by.

    by: what lets it through. clients: a host's port, from networks outside the platform. host
    port: the same from another host. container network: on one host, without a host's port;
    network policy: the same in a cluster. cluster's entry: the Ingress or Gateway for people.
    egress: to a place outside that the source declares.
    """
    found: dict[tuple, set[str]] = {}
    for host in topology.hosts:
        for source, service, port, by in _on(topology, host):
            found.setdefault((source, service, port, by), set()).add(host)
    rows = [
        {"source": source, "service": service, "port": port, "hosts": sorted(hosts), "by": by}
        for (source, service, port, by), hosts in found.items()
    ]
    order = (NETWORK, ENTRY, HOST, CONTAINER, POLICY, EGRESS)
    return sorted(rows, key=lambda row: (order.index(row["by"]), row["service"], row["source"]))


def _on(topology: Topology, host: str):
    """Yield what is allowed on one host: what comes in, what stays, and what leaves for outside."""
    for flow in topology.flows(host):
        for source in flow.sources:
            names = _clients(topology, source, flow.service)
            by = HOST if names else NETWORK
            for name in names or [source]:
                yield name, flow.service, flow.port, by
    for service in topology.services_on(host):
        if topology.is_behind_entry(service):
            for network in topology.users_networks:
                yield network, service.name, topology.service(BALANCER).port, ENTRY
    containers = topology.containers_on(host)
    for client in containers:
        for service in containers:
            if connects(topology, client, service):
                by = POLICY if host in topology.clusters else CONTAINER
                yield client.name, service.name, service.inside_port, by
    for network in networks(topology, host):
        zone = network["name"].removeprefix(f"{topology.network}-")
        for place in network["egress"]:
            yield zone, place, None, EGRESS


def _clients(topology: Topology, source: str, service: str) -> list[str]:
    """Return the services that use this port from the address of a host; nothing for a network."""
    for host in topology.hosts:
        if host in topology.clusters:
            if source in topology.clusters[host].sources:
                groups = topology.client_groups(topology.service(service))
                pods = topology.containers_on(host)
                return [pod.name for pod in pods if pod.group in groups]
        elif source in topology.sources_of(host):
            using = [
                contact["service"]
                for contact in contacts(topology, host)
                if any(flow["service"] == service for flow in contact["flows"])
                and topology.service(contact["service"]).group
                in topology.client_groups(topology.service(service))
            ]
            return using or [f"host {host}"]
    return []


def table(rows: list[dict]) -> list[str]:
    """The matrix as aligned lines for a terminal."""
    cells = [HEADER] + [
        (
            row["source"],
            row["service"],
            str(row["port"] or "any"),
            ", ".join(row["hosts"]),
            row["by"],
        )
        for row in rows
    ]
    return aligned(cells)


def mermaid(rows: list[dict]) -> list[str]:
    """The matrix as a Mermaid flowchart; connections of the same two are one arrow."""
    arrows: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        arrows.setdefault((row["source"], row["service"]), set()).add(str(row["port"] or "any"))
    names = sorted({name for pair in arrows for name in pair})
    ids = {name: f"n{number}" for number, name in enumerate(names)}
    return [
        "flowchart LR",
        *(f'  {ids[name]}["{_label(name)}"]' for name in names),
        *(
            f"  {ids[source]} -->|{', '.join(sorted(ports))}| {ids[service]}"
            for (source, service), ports in arrows.items()
        ),
    ]


def _label(name: str) -> str:
    """Keep what would end or mark up a label out of it."""
    return re.sub(r'[^ -~]|["<>]', " ", name)
