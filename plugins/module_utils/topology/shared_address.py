# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How several balancers share an address: who advertises to whom, and who holds it. Pure."""

from __future__ import annotations

import ipaddress
import json

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


def held(listing: str, addresses: list[str]) -> list[str]:
    """Which of the addresses this host holds, from what `ip -json address` lists."""
    found = {
        ipaddress.ip_address(entry["local"])
        for interface in json.loads(listing)
        for entry in interface.get("addr_info", [])
        if "local" in entry
    }
    return [address for address in addresses if ipaddress.ip_address(address) in found]


def judge(found: dict[str, list[str] | None], addresses: list[str]) -> tuple[bool | None, str, str]:
    """Whether exactly one balancer holds all addresses; None where nobody can tell. Then what was
    found, and what to do.

    found: balancer -> addresses it holds, None where it could not be asked.
    """
    holders = {host: kept for host, kept in found.items() if kept}
    silent = [host for host, kept in found.items() if kept is None]
    listed = ", ".join(addresses)
    text = "; ".join(f"{host} holds {', '.join(kept)}" for host, kept in holders.items())
    text = text or f"nobody holds {listed}"
    if silent:
        text += f"; not asked: {', '.join(silent)}"
    if len(holders) == 1 and set(addresses) == {*next(iter(holders.values()))}:
        return (None if silent else True), text, "look at the silent host"
    if not holders and silent:
        return None, text, "look at the silent host"
    return (
        False,
        text,
        "read docker logs intranet-keepalived on the balancers: they must hear each other (IP "
        "protocol 112, not filtered between them), and HAProxy must answer where it is to be held",
    )
