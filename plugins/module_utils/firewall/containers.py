# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""nftables rules for what containers send, a chain a network. Pure.

They sit before destination NAT, as the rules for what comes in: a packet still says where it was
meant to go, whether that is a port of this host, one that a container publishes, a container of
another network, or another machine.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.intranet.mcp.plugins.module_utils.firewall import egress

# Not the internet: this host, private and shared networks, link-local, reserved, multicast.
NOT_PUBLIC = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
PUBLIC_6 = "2000::/3"
# Metadata services of clouds hand out credentials here.
LINK_LOCAL = ("169.254.0.0/16", "fe80::/10")
# Said at once: a program in a container would wait for a minute on packets that are only dropped.
REFUSED = "counter reject with icmpx admin-prohibited"


def chains(
    networks: list[dict],
    managed_ports: list[int],
    ssh_ports: list[int],
    resolvers: list[str],
    known: dict[str, list[str]],
) -> list[tuple[str, list[str]]]:
    """Name and rules of each chain.

    networks: as _networks.networks returns them. resolvers: this host's name servers. known: the
    addresses of the names that destinations have.
    """
    bridges = _names(network["interface"] for network in networks)
    here = {*managed_ports, *ssh_ports}
    return [
        (_chain(network), _rules(network, bridges, here, resolvers, known)) for network in networks
    ]


def jump(networks: list[dict]) -> list[str]:
    """The rule that sends each network's packets to its chain."""
    if not networks:
        return []
    pairs = ", ".join(f'"{n["interface"]}" : jump {_chain(n)}' for n in networks)
    return [f"iifname vmap {{ {pairs} }}"]


def _chain(network: dict) -> str:
    return f"from-{network['interface']}"


def _rules(network, bridges, here, resolvers, known) -> list[str]:
    places = [egress.parse(text) for text in network["egress"]]
    is_open = any(place.kind == egress.ANY for place in places)
    closed = network["closed"]
    ports = _set(sorted({*closed["ports"], *here}))
    rules = [
        # Where bridged packets pass by here too (br_netfilter), neighbours stay neighbours.
        f'fib daddr oifname "{network["interface"]}" accept',
        *_local(network["here"]),
        *[
            rule
            for flow in network["flows"]
            for rule in _to(flow["addresses"], f"tcp dport {flow['port']}", flow["service"])
        ],
        *(_to(resolvers, "meta l4proto { tcp, udp } th dport 53", "DNS") if places else []),
        f"fib daddr oifname {bridges} {REFUSED}",
        f"fib daddr type local tcp dport {_set(sorted(here))} {REFUSED}",
        *_to(closed["addresses"], f"tcp dport {ports}", "", REFUSED),
        *_link_local(places),
        *[rule for place in places for rule in _declared(place, known)],
    ]
    if not is_open:
        rules.append(f"fib daddr type local {REFUSED}")
    return [*rules, *_outside(places), f'{REFUSED} comment "{network["name"]}"']


def _local(ports: list[int]) -> list[str]:
    return [f"fib daddr type local tcp dport {_set(ports)} accept"] if ports else []


def _link_local(places: list[egress.Destination]) -> list[str]:
    """Closed, but for what names an address in there itself: a wider network does not mean it."""
    inside = [p for p in places if p.network and _is_within(p.network, LINK_LOCAL)]
    opened = [rule for place in inside for rule in _to([place.network], _port(place), "declared")]
    return [*opened, *_to(LINK_LOCAL, "", "", REFUSED)]


def _declared(place: egress.Destination, known: dict[str, list[str]]) -> list[str]:
    if place.kind:
        return []
    addresses = [place.network] if place.network else known[place.name]
    return _to(addresses, _port(place), place.name or "declared")


def _outside(places: list[egress.Destination]) -> list[str]:
    rules = []
    for place in places:
        port = _port(place)
        if place.kind == egress.ANY:
            rules.append(_joined(port, "accept"))
        elif place.kind == egress.INTERNET:
            rules.append(_joined(f"ip daddr != {_set(NOT_PUBLIC)}", port, "accept"))
            rules.append(_joined(f"ip6 daddr {PUBLIC_6}", port, "accept"))
    return rules


def _port(place: egress.Destination) -> str:
    # UDP, too: HTTP/3, and names of an own resolver.
    return f"meta l4proto {{ tcp, udp }} th dport {place.port}" if place.port else ""


def _to(addresses, match: str, comment: str, verdict: str = "accept") -> list[str]:
    """One rule a family; nft refuses overlapping intervals in one set."""
    networks = [ipaddress.ip_network(address) for address in addresses]
    said = f'comment "{comment}"' if comment else ""
    rules = []
    for family, version in (("ip", 4), ("ip6", 6)):
        own = [*ipaddress.collapse_addresses(n for n in networks if n.version == version)]
        if own:
            rules.append(_joined(f"{family} daddr {_set(own)}", match, verdict, said))
    return rules


def _is_within(network: str, others: tuple[str, ...]) -> bool:
    inner = ipaddress.ip_network(network)
    outer = [ipaddress.ip_network(other) for other in others]
    return any(inner.version == o.version and inner.subnet_of(o) for o in outer)


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _set(items) -> str:
    return "{ " + ", ".join(str(item) for item in items) + " }"


def _names(interfaces) -> str:
    return _set(f'"{name}"' for name in interfaces)
