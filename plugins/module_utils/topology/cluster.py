# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A Kubernetes cluster, which an inventory lists as one host of the group `kubernetes`. Pure.

Groups of services have it as their host, as any other. Within the cluster a service is reached by
the name of its Service, from other hosts at the cluster's address (its platform_address).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError

# The inventory group of clusters.
KUBERNETES = "kubernetes"
# What a StatefulSet adds to a name in the labels of its pods has to fit beside it.
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?")


# How an operator of PostgreSQL calls the Service of the primary.
PRIMARY = "{}-rw"


@dataclass(frozen=True)
class Cluster:
    """What other hosts must know of a cluster."""

    # Networks (CIDRs) from which connections of its pods arrive at other hosts.
    sources: tuple[str, ...] = ()
    # Services that an operator runs, whose primaries have a Service of their own.
    operated: tuple[str, ...] = ()

    def service_of(self, name: str) -> str:
        """By which name pods of the cluster reach a service."""
        own = object_name(name)
        return PRIMARY.format(own) if name in self.operated else own


def object_name(service: str) -> str:
    """What a service's objects are called, and with them its name in the cluster's DNS."""
    name = service.replace("_", "-")
    if not _NAME.fullmatch(name):
        raise TopologyError(
            f"service {service!r} cannot be named {name!r} in a cluster",
            "up to 52 of a-z, 0-9 and '-', a letter first",
            "rename it in platform_services or mcp_servers",
        )
    return name


def peers_name(service: str) -> str:
    """The name in the cluster's DNS that has the address of every pod of a service."""
    return f"{object_name(service)}-peers"
