# Copyright: intranet.mcp contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who reaches whom: the one place that turns an inventory into endpoints, flows and ports.

Pure: it takes the catalog (roles/platform) and the inventory's groups, and returns decisions.
Nothing here does I/O, so every rule is a unit test.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

# Clients of a service that are no inventory group.
USERS = "users"  # the company network: people and their CLIs
OPERATOR = "operator"  # whoever is logged in on the service's own host

LOOPBACK = "127.0.0.1"
WILDCARD = "0.0.0.0"  # noqa: S104  published on purpose, and only when a flow needs it


class TopologyError(Exception):
    """The inventory contradicts itself; the message says what was found and what to do."""


@dataclass(frozen=True)
class Service:
    """One entry of the catalog: what others must know of a service."""

    name: str
    group: str
    port: int
    clients: tuple[str, ...] = ()
    container_port: int = 0
    health: str = ""
    metrics: str = ""
    replicas: str = "one"
    part_of: str = ""

    @property
    def inside_port(self) -> int:
        return self.container_port or self.port


@dataclass(frozen=True)
class Endpoint:
    """Where a client reaches a service."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Flow:
    """Inbound traffic one host must accept. `sources` are CIDRs."""

    service: str
    port: int
    sources: tuple[str, ...]
    proto: str = "tcp"

    def as_dict(self) -> dict:
        return {
            "service": self.service,
            "port": self.port,
            "proto": self.proto,
            "sources": list(self.sources),
        }


@dataclass
class Topology:
    """The catalog laid over an inventory.

    groups: inventory group -> host names. addresses: host name -> addresses (v4 and v6) by which
    the others reach it. users_networks: CIDRs of the pseudo client `users`. names: host name ->
    further names it is known by.
    """

    services: dict[str, Service]
    groups: dict[str, list[str]]
    addresses: dict[str, list[str]]
    users_networks: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    container_prefix: str = ""

    def service(self, name: str) -> Service:
        if name not in self.services:
            known = ", ".join(sorted(self.services))
            raise TopologyError(
                f"unknown service {name!r}; the catalog (platform_services) has: {known}"
            )
        return self.services[name]

    def hosts_of(self, service: str) -> list[str]:
        return list(self.groups.get(self.service(service).group, []))

    def services_on(self, host: str) -> list[Service]:
        return [s for s in self.services.values() if host in self.groups.get(s.group, [])]

    def endpoint(self, name: str, client: str) -> Endpoint:
        """Where `client` (a host name) reaches the service: itself, its host, or the balancer."""
        service = self.service(name)
        hosts = self.hosts_of(name)
        if not hosts:
            raise TopologyError(
                f"service {name!r} has no host: put at least one host into group {service.group!r}"
            )
        if client in hosts:
            return Endpoint(self.container_prefix + name, service.inside_port)
        balancers = self.groups.get("load_balancer", [])
        if len(hosts) > 1 and balancers and service.replicas == "many":
            return Endpoint(self.address(balancers[0]), service.port)
        return Endpoint(self.address(hosts[0]), service.port)

    def user_endpoint(self, name: str) -> Endpoint:
        """Where people reach the service from their own machines."""
        service = self.service(name)
        hosts = self.groups.get("load_balancer") or self.hosts_of(name)
        if not hosts:
            raise TopologyError(
                f"service {name!r} has no host: put at least one host into group {service.group!r}"
            )
        return Endpoint(self.address(hosts[0]), service.port)

    def endpoints(self, name: str, client: str) -> list[Endpoint]:
        """Every replica as `client` reaches it, for clients that balance on their own."""
        service = self.service(name)
        return [
            Endpoint(self.container_prefix + name, service.inside_port)
            if host == client
            else Endpoint(self.address(host), service.port)
            for host in self.hosts_of(name)
        ]

    def known_as(self, name: str) -> list[str]:
        """Every name and address by which somebody may address the service, without port."""
        hosts = self.hosts_of(name) + self.groups.get("load_balancer", [])
        found = [self.container_prefix + name, name]
        for host in hosts:
            found += [host, *self.names.get(host, []), *self._addresses(host)]
        return _unique(found)

    def address(self, host: str) -> str:
        known = self.addresses.get(host) or []
        if not known:
            raise TopologyError(
                f"no address known for host {host!r}: set platform_address in the inventory"
            )
        return known[0]

    def flows(self, host: str) -> list[Flow]:
        """The inbound flows this host must accept; every other port of the catalog is closed."""
        found = []
        for service in self.services_on(host):
            sources: list[str] = []
            for client in service.clients:
                sources += self._sources(client, host)
            if sources:
                found.append(Flow(service.name, service.port, tuple(_unique(sources))))
        return sorted(found, key=lambda flow: (flow.port, flow.service))

    def publish(self, name: str, host: str) -> list[str]:
        """Addresses on which the service's port is published: none, loopback, or all."""
        service = self.service(name)
        if any(self._sources(client, host) for client in service.clients):
            return [WILDCARD]
        return [LOOPBACK] if OPERATOR in service.clients else []

    def managed_ports(self, host: str) -> list[int]:
        """Ports the catalog gives to services of this host, open or not."""
        return sorted({service.port for service in self.services_on(host)})

    def _sources(self, client: str, host: str) -> list[str]:
        """CIDRs from which `client` connects to `host` over the network (not inside it)."""
        if client == OPERATOR:
            return []
        if client == USERS:
            return list(self.users_networks)
        others = [other for other in self.groups.get(client, []) if other != host]
        return [cidr(address) for other in others for address in self._addresses(other)]

    def _addresses(self, host: str) -> list[str]:
        self.address(host)
        return self.addresses[host]


def cidr(address: str) -> str:
    """A host address as a CIDR: 10.0.0.5 -> 10.0.0.5/32."""
    try:
        return str(ipaddress.ip_network(address))
    except ValueError as error:
        raise TopologyError(
            f"{address!r} is not an IP address ({error}): set platform_address to the address "
            "by which the other hosts reach this one"
        ) from error


def build_services(catalog: dict, mcp_servers: dict) -> dict[str, Service]:
    """The catalog as services; MCP servers that run here become services of their own.

    A catalog entry with `members: mcp_servers` stands for one service per MCP server that has a
    port (a container of ours); servers that are only a `url` live elsewhere and have none.
    """
    services: dict[str, Service] = {}
    for name, entry in catalog.items():
        if entry.get("members") == "mcp_servers":
            for server, definition in mcp_servers.items():
                if not definition.get("url"):
                    services[f"tool-{server}"] = _service(
                        f"tool-{server}", {**entry, "port": definition.get("port")}, part_of=name
                    )
        else:
            services[name] = _service(name, entry)
    return services


def port_conflicts(topology: Topology) -> list[str]:
    """Two services that want one port on one host, as readable problems."""
    problems = []
    for host in sorted({host for hosts in topology.groups.values() for host in hosts}):
        holders: dict[int, list[str]] = {}
        for service in topology.services_on(host):
            holders.setdefault(service.port, []).append(service.name)
        problems += [
            f"port {port} on {host} is claimed by {' and '.join(sorted(names))}: "
            "give each service of a host its own port"
            for port, names in sorted(holders.items())
            if len(names) > 1
        ]
    return problems


def _service(name: str, entry: dict, part_of: str = "") -> Service:
    port = entry.get("port")
    try:
        number = int(port)
    except (TypeError, ValueError):
        number = 0
    if not 0 < number < 65536:
        raise TopologyError(f"service {name!r} has port {port!r}; expected a number 1 to 65535")
    return Service(
        name=name,
        group=entry["group"],
        port=number,
        clients=tuple(entry.get("clients", ())),
        container_port=int(entry.get("container_port", 0)),
        health=entry.get("health", ""),
        metrics=entry.get("metrics", ""),
        replicas=entry.get("replicas", "one"),
        part_of=part_of,
    )


def _unique(items: list[str]) -> list[str]:
    return list(dict.fromkeys(items))
