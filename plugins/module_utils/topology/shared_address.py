# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How several balancers share an address: who advertises to whom. Pure."""

from __future__ import annotations

import ipaddress

from ansible_collections.intranet.mcp.plugins.module_utils.topology.catalog import TopologyError
from ansible_collections.intranet.mcp.plugins.module_utils.topology.topology import Topology

# Adverts of a balancer that is alone stay on its own host.
NOBODY = {4: "127.0.0.1", 6: "::1"}
HIGHEST_PRIORITY = 100


def sharing(topology: Topology, balancer: str) -> dict:
    """What keepalived on this host has to know.

    All addresses move together. Adverts are of one family, that of the first address; those of the
    other one are `excluded` from the adverts, not from the move.
    """
    interfaces = topology.shared_interfaces()
    hosts = topology.balancers
    own = {address for host in hosts for address in topology.addresses_of(host)}
    if taken := sorted(own & set(topology.shared_addresses)):
        raise TopologyError(
            f"platform_balancer_address has {taken[0]}, a host's own address",
            "one that no machine has",
            "take a free address of the balancers' network",
        )
    family = interfaces[0].version
    peers = [_address_of(topology, host, family) for host in hosts if host != balancer]
    return {
        "address": _address_of(topology, balancer, family),
        "peers": peers or [NOBODY[family]],
        # Decides only who begins when all start at once: nobody preempts.
        "priority": HIGHEST_PRIORITY - hosts.index(balancer),
        "addresses": [str(i) for i in interfaces if i.version == family],
        "excluded": [str(i) for i in interfaces if i.version != family],
    }


def _address_of(topology: Topology, host: str, family: int) -> str:
    known = topology.addresses_of(host)
    for address in known:
        if ipaddress.ip_address(address).version == family:
            return address
    raise TopologyError(
        f"host {host!r} has no IPv{family} address (known: {', '.join(known)})",
        f"one, because the balancers share {topology.shared[0]}",
        "list one more in its platform_address, or put a shared address of the other family first",
    )
