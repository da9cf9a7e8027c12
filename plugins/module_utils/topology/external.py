# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Data that servers of the company keep, where the inventory has no host for them. Pure.

An external server is reached by its own address from everywhere, and each service that is a client
of the catalog's entry may connect to it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import (
    MONITORING,
    Service,
)

# Services that may be external, and the variable that says where.
VARIABLES = {"postgres": "platform_database", "redis": "platform_redis"}
# Their passwords, by the names that the platform's own servers have them under.
SECRETS = {"postgres": "postgres_password", "redis": "redis_password"}


@dataclass(frozen=True)
class External:
    """Where a server is. networks: CIDRs that it may move in; else its host says where it is."""

    host: str
    port: int
    networks: tuple[str, ...] = ()

    @property
    def destinations(self) -> tuple[str, ...]:
        """Where its clients may connect to, as an entry's `egress` says it."""
        places = self.networks or (self.host,)
        return tuple(f"{_bracketed(place)}:{self.port}" for place in places)


def read(said: dict[str, dict], services: dict[str, Service]) -> dict[str, External]:
    """The external servers. said: what the variable of each service says."""
    return {
        name: External(
            str(found["host"]),
            int(found.get("port") or services[name].port),
            tuple(found.get("networks") or ()),
        )
        for name, found in said.items()
        if name in services and found.get("host")
    }


def opened(services: dict[str, Service], external: dict[str, External]) -> dict[str, Service]:
    """The catalog with the way to external servers open for their clients.

    The monitoring is none of them: whoever runs such a server watches it.
    """
    found = dict(services)
    for name, place in external.items():
        groups = {*services[name].clients} - {MONITORING}
        for client in services.values():
            if client.group in groups and client.part_of not in services:
                known = found[client.name]
                found[client.name] = replace(known, egress=(*known.egress, *place.destinations))
    return found


def _bracketed(place: str) -> str:
    try:
        return f"[{place}]" if ipaddress.ip_network(place).version == 6 else place
    except ValueError:
        return place
