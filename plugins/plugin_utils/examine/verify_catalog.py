# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What verify has to know of the catalog about a host: its services, and who may connect. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import MONITORING
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology
from ansible_collections.intranet.mcp.plugins.plugin_utils.monitoring.targets import jobs
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.networks import contacts
from ansible_collections.intranet.mcp.plugins.plugin_utils.topology.ports import health

# Groups of which several hosts are one cluster.
CLUSTERED = ("postgres", "redis")


def of_host(topology: Topology, host: str) -> dict[str, Any]:
    """Return what `verify_hosts.probes` takes of the catalog."""
    here = topology.services_on(host)
    members = {group: topology.groups.get(group, []) for group in CLUSTERED}
    groups = [group for group, hosts in topology.groups.items() if host in hosts]
    return {
        "host": host,
        "groups": groups,
        "clusters": [group for group, hosts in members.items() if len(hosts) > 1],
        "members": members,
        # Where each service tells whether it is alive, and those that say so, whether it can work.
        "health": health(topology, host),
        "ready": {service.name: service.ready for service in here if service.ready},
        "ports": {service.name: service.port for service in here},
        "inside": {service.name: service.inside_port for service in here},
        # What Prometheus is to ask, where it runs here.
        "jobs": [job["name"] for job in jobs(topology, host)] if MONITORING in groups else [],
        "pages": topology.pages(host),
        "flows": {
            "allow": [flow.as_dict() for flow in topology.flows(host)],
            "managed": topology.managed_ports(host),
            "contacts": contacts(topology, host),
            "neighbours": topology.neighbours(host),
        },
    }
