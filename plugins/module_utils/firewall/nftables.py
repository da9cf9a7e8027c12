# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The platform's nftables table as text, from the flows the topology allows. Pure.

Two hooks. `inbound` sits before destination NAT, where host ports and ports that Docker publishes
still look alike; it drops new connections to the platform's own ports, sends what containers send
to the chain of their network (firewall.containers), and decides nothing else. `forward` drops
packets of others that are routed straight to a container's address, past its published port. Every
other table, and every other port, is left alone.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.intranet.mcp.plugins.module_utils.common.errors import Unusable
from ansible_collections.intranet.mcp.plugins.module_utils.firewall import containers

ANY = "any"
# Protocols without ports, by number: a bare host may not know their names.
PROTOCOLS = {"vrrp": 112}

UNIT = """\
[Unit]
Description=Firewall of the intranet.mcp platform
# nftables.service flushes every table when it starts: ours comes after it, and again with it.
After=nftables.service ufw.service firewalld.service
PartOf=nftables.service
Before=docker.service network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} -f {path}
ExecStop=-{nft} delete table inet {table}

[Install]
WantedBy=multi-user.target
"""


def render(
    flows: list[dict],
    managed_ports: list[int],
    ssh_ports: list[int],
    networks: list[dict],
    table: str,
    resolvers: list[str] = (),
    known: dict[str, list[str]] | None = None,
) -> str:
    """The table. A file with this text replaces an older table in one step.

    networks, resolvers, known: as _container_rules takes them.
    """
    sent = containers.chains(networks, managed_ports, ssh_ports, [*resolvers], known or {})
    inbound = _inbound(flows, managed_ports, ssh_ports, networks)
    interfaces = [network["interface"] for network in networks]
    return replacing(
        table,
        f"table inet {table} {{\n"
        + "".join(_chain(name, rules) for name, rules in sent)
        + _chain("inbound", inbound, "prerouting", -110)
        + _chain("forward", _forward(interfaces), "forward", -10)
        + "}\n",
    )


def replacing(table: str, listing: str) -> str:
    """A script that swaps the table for the listing, or removes it where the listing is empty."""
    # Declaring it first makes the deletion work whether or not the table is there.
    return f"table inet {table}\ndelete table inet {table}\n{listing}"


def ssh_server_port(environments: list[str]) -> int:
    """The port Ansible came in by, from the environments of the module's ancestors; 0 if none."""
    for environment in environments:
        for entry in environment.split("\0"):
            name, _equals, value = entry.partition("=")
            if name == "SSH_CONNECTION" and len(value.split()) == 4:
                return int(value.split()[3])
    return 0


def _inbound(flows, managed_ports, ssh_ports, networks) -> list[str]:
    rules = [
        'iifname "lo" accept',
        "ct state established,related accept",
        *containers.jump(networks),
        f'tcp dport {_set(sorted(set(ssh_ports)))} accept comment "SSH is never filtered"',
        "fib daddr type != local accept",
    ]
    closed: dict[str, set[int]] = {"tcp": set(managed_ports)}
    for flow in flows:
        rules += _allow(flow)
        closed.setdefault(flow["proto"], set()).add(flow["port"])
    rules += [
        f"{_match(proto, _set(sorted(ports)))} counter drop"
        for proto, ports in sorted(closed.items())
        if ports
    ]
    return rules


def _match(proto: str, ports: object) -> str:
    return f"meta l4proto {PROTOCOLS[proto]}" if proto in PROTOCOLS else f"{proto} dport {ports}"


def _allow(flow: dict) -> list[str]:
    match = _match(flow["proto"], flow["port"])
    verdict = f'accept comment "{flow["service"]}"'
    if ANY in flow["sources"]:
        return [f"{match} {verdict}"]
    networks = [_network(source, flow) for source in flow["sources"]]
    return [
        f"{match} {family} saddr {_set(collapsed)} {verdict}"
        for family, version in (("ip", 4), ("ip6", 6))
        # nft refuses overlapping intervals in one set.
        if (
            collapsed := [
                *ipaddress.collapse_addresses(n for n in networks if n.version == version)
            ]
        )
    ]


def _forward(interfaces: list[str]) -> list[str]:
    if not interfaces:
        return []
    names = _names(interfaces)
    return [
        f"oifname != {names} accept",
        f"iifname {names} accept",
        "ct state established,related accept",
        "ct status dnat accept",
        "counter drop",
    ]


def _network(source: str, flow: dict):
    try:
        return ipaddress.ip_network(source)
    except ValueError as error:
        raise Unusable(
            f"source {source!r} of {flow['service']} is no address or network ({error}); expected "
            "something like 10.0.0.0/8, 192.168.1.7, fd00::/8 or 'any'. Correct the inventory "
            "(platform_users_networks, platform_address)"
        ) from error


def _chain(name: str, rules: list[str], hook: str = "", priority: int = 0) -> str:
    head = [f"type filter hook {hook} priority {priority}; policy accept;"] if hook else []
    lines = [f"\t\t{line}\n" for line in [*head, *rules]]
    return "".join([f"\tchain {name} {{\n", *lines, "\t}\n"])


def _set(items) -> str:
    return "{ " + ", ".join(str(item) for item in items) + " }"


def _names(interfaces: list[str]) -> str:
    return _set(f'"{name}"' for name in interfaces)
